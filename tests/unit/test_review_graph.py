"""One mail that the vendor cannot give out is that mail's trouble."""

from __future__ import annotations

import pytest

from shared.core.errors import ItemError
from shared.core.mail import MailText
from tests.contract.graph_seen import Seen
from tests.contract.microsoft_world import Stand, mime

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]


@pytest.mark.parametrize("status", [403, 500])
def test_one_mail_the_vendor_cannot_give_out_does_not_hide_the_others(ms: Stand, seen: Seen, status: int) -> None:
    first, second = ms.deliver(mime("broken")), ms.deliver(mime("sound"))
    code = {403: "ErrorAccessDenied", 500: "ErrorInternalServerError"}[status]
    ms.fault(
        "status",
        match="GET /v1.0/users/{user}/messages/{message}",
        status=status,
        body={"error": {"code": code, "message": "-"}},
    )
    texts = seen.adapter.texts([first, second])
    assert isinstance(texts[first], ItemError)
    assert isinstance(texts[second], MailText)
