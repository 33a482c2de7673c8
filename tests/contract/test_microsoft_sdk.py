"""The vendor's own Python SDK, unpatched, through the Microsoft world with its certificate verified."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta
from typing import Any

import httpx
import pytest
from kiota_abstractions.authentication import AccessTokenProvider, AllowedHostsValidator, BaseBearerTokenAuthenticationProvider
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.headers_collection import HeadersCollection
from msgraph import GraphServiceClient
from msgraph.generated.models.message import Message
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.outlook_category import OutlookCategory
from msgraph.generated.models.subscription import Subscription
from msgraph.graph_request_adapter import GraphRequestAdapter, options
from msgraph_core import GraphClientFactory

from tests.contract.microsoft_world import ADA, IMMUTABLE, Stand, mime
from tests.contract.test_microsoft_mail import with_attachments

pytestmark = pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning")
pytest_plugins = ("tests.contract.microsoft_fixtures",)


class Token(AccessTokenProvider):
    def __init__(self, token: str) -> None:
        self.token = token

    async def get_authorization_token(self, uri: str, additional_authentication_context: dict[str, Any] | None = None) -> str:
        return self.token

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        return AllowedHostsValidator(["localhost"])


def drive(ms: Stand, work: Callable[[GraphServiceClient], Awaitable[None]]) -> None:
    """Runs `work` with a client as an application builds it, trusting the local authority and nothing else."""

    async def run() -> None:
        async with httpx.AsyncClient(verify=ms.authority.client_context()) as plain:
            http = GraphClientFactory.create_with_default_middleware(client=plain, options=options)
            adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Token(ms.token)), http)
            adapter.base_url = f"{ms.url}/v1.0"
            await work(GraphServiceClient(request_adapter=adapter))

    asyncio.run(run())


def asking(parameters: Any = None, **headers: str) -> RequestConfiguration[Any]:
    collected = HeadersCollection()
    for name, value in {"Prefer": IMMUTABLE, **{name.replace("_", "-"): value for name, value in headers.items()}}.items():
        collected.add(name, value)
    return RequestConfiguration(query_parameters=parameters, headers=collected)


def test_the_sdk_reads_the_user_folders_and_mails(ms: Stand) -> None:
    one = ms.deliver(with_attachments(), categories=["Red"])

    async def work(graph: GraphServiceClient) -> None:
        user = graph.users.by_user_id(ADA)
        assert (await user.get()).mail == ADA
        folders = (await user.mail_folders.get()).value
        assert "Inbox" in [folder.display_name for folder in folders]
        query = user.messages.MessagesRequestBuilderGetQueryParameters
        listed = await user.messages.get(asking(query(filter="categories/any(c:c eq 'Red')", select=["subject"], top=5)))
        assert [(message.id, message.subject, message.body) for message in listed.value] == [(one, "Offer", None)]
        single = user.messages.by_message_id(one)
        message = await single.get(asking(single.MessageItemRequestBuilderGetQueryParameters(expand=["attachments"])))
        assert [type(part).__name__ for part in message.attachments] == ["FileAttachment", "FileAttachment", "ItemAttachment"]
        assert message.attachments[1].content_bytes.startswith(b"%PDF-1.7")
        raw = await single.content.get()
        assert b"Subject: Offer" in raw

    drive(ms, work)


def test_the_sdk_follows_delta_links(ms: Stand) -> None:
    sent = [ms.deliver(mime(f"Mail {n}")) for n in range(12)]

    async def work(graph: GraphServiceClient) -> None:
        delta = graph.users.by_user_id(ADA).mail_folders.by_mail_folder_id("inbox").messages.delta
        page = await delta.get(asking())
        items = list(page.value)
        while page.odata_next_link:
            page = await delta.with_url(page.odata_next_link).get(asking())
            items += page.value
        assert {message.id for message in items} == set(sent)
        ms.box(lambda box: box.purge(sent[0]))
        changed = await delta.with_url(page.odata_delta_link).get(asking())
        assert [message.additional_data for message in changed.value] == [{"@removed": {"reason": "deleted"}}]

    drive(ms, work)


def test_the_sdk_categorises_under_a_version_moves_and_deletes(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))

    async def work(graph: GraphServiceClient) -> None:
        message = graph.users.by_user_id(ADA).messages.by_message_id(one)
        seen = await message.get(asking())
        etag = seen.additional_data["@odata.etag"]
        changed = await message.patch(Message(categories=["Salesforce"]), asking(If_Match=etag))
        assert changed.categories == ["Salesforce"]
        with pytest.raises(ODataError) as stale:
            await message.patch(Message(categories=[]), asking(If_Match=etag))
        assert (stale.value.response_status_code, stale.value.error.code) == (412, "ErrorIrresolvableConflict")
        from msgraph.generated.users.item.messages.item.move.move_post_request_body import MovePostRequestBody

        moved = await message.move.post(MovePostRequestBody(destination_id="archive"), asking())
        assert moved.id == one
        await message.delete()
        made = await graph.users.by_user_id(ADA).outlook.master_categories.post(OutlookCategory(display_name="Salesforce"))
        assert made.id and made.display_name == "Salesforce"

    drive(ms, work)


def test_the_sdk_subscribes_and_the_receiver_hears(ms: Stand) -> None:
    async def work(graph: GraphServiceClient) -> None:
        wanted = Subscription(
            change_type="created", notification_url=f"{ms.hooks}/notify", resource=f"users/{ADA}/messages", client_state="s",
            expiration_date_time=ms.world.clock.now().astimezone(UTC) + timedelta(days=1),
        )  # fmt: skip
        made = await graph.subscriptions.post(wanted, asking())
        assert (await graph.subscriptions.by_subscription_id(made.id).get()).resource == wanted.resource

    drive(ms, work)
    one = ms.deliver(mime("Hi"))
    assert [told["resourceData"]["id"] for told in ms.receiver.wait(1)] == [one]


def test_the_sdk_waits_as_long_as_it_is_told(ms: Stand) -> None:
    ms.fault("throttled", match="GET", detail=1)

    async def work(graph: GraphServiceClient) -> None:
        assert (await graph.users.by_user_id(ADA).get()).mail == ADA

    drive(ms, work)
    assert ms.world.calls.snapshot()["microsoft"] == {"GET /v1.0/users/{user}": 2}


def test_the_sdk_refuses_a_server_of_another_authority(ms: Stand) -> None:
    async def run() -> None:
        adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Token(ms.token)))
        adapter.base_url = f"{ms.url}/v1.0"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await GraphServiceClient(request_adapter=adapter).users.by_user_id(ADA).get()

    asyncio.run(run())
