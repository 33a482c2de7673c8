"""The Salesforce world: a stateful stand-in for one org, its sign-in and its REST API, on one https origin.

Rules that hold here:
- What it says is held to the vendor's contract on every answer (`contract.py`); what the product relies on stands in FACTS.md,
  each row with its test; what is unsure about the vendor is a switch `salesforce.<name>` in `World.switches`.
- A resource is a row of `routes.py`; anything else is answered 501 with a sentence.
- A call is counted under vendor "salesforce" as the vendor counts (a composite is one), sign-in under "salesforce-login".
- A request is one transaction: what it wrote is kept when it is answered, and undone when it is refused whole.
- State is in memory and is touched in the event loop's thread only.
- The server must let request lines through that are longer than the vendor's limit of 16,384 bytes (`LONGEST_LINE`).

It must never hold product knowledge, and never answer what the vendor would not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.frame import World, vendor_application
from sandbox.salesforce import about, faults, field_security, routes, series
from sandbox.salesforce.activities import found_statuses
from sandbox.salesforce.budget import Budget
from sandbox.salesforce.call import Answer, Call, Part
from sandbox.salesforce.contract import Contract, sign_in_problems
from sandbox.salesforce.event_people import SHARED_FIELDS, SHARED_OBJECTS
from sandbox.salesforce.faults import VENDOR
from sandbox.salesforce.query import Queries
from sandbox.salesforce.records import Records
from sandbox.salesforce.refused import Refused, refuse
from sandbox.salesforce.schema import Schema
from sandbox.salesforce.sessions import Client, Session, Sessions
from sandbox.salesforce.sign_in import DEFAULT_SCOPE, LOGIN_VENDOR, SignIn
from sandbox.salesforce.store import Row

__all__ = ["LONGEST_LINE", "OrgSettings", "Salesforce"]

LONGEST_URI = 16_384
#: For the `max_line_size` of the server, so that the vendor's 414 is answered by us and not by the server's own limit.
LONGEST_LINE = 65_536
MAX_BODY = 64 * 1024 * 1024
ADMIN = "admin@sandbox.example.com"
#: Objects that an org without Enhanced Email (and Email-to-Case) does not have.
MAIL_OBJECTS = frozenset({"EmailMessage", "EmailMessageRelation"})
#: A custom field that a client keeps its own key in.
KEY_FIELD = {
    "type": "string", "length": 64, "externalId": True, "unique": True, "caseSensitive": True, "groupable": True,
}  # fmt: skip
ROLLED_EVERY = timedelta(hours=1)
#: Routes whose answer depends on names in their body.
ASKED_IN_BODY = ("POST /services/data/{version}/composite", "POST /services/data/{version}/composite/sobjects/{object}")
#: What a request carries from its handler to the contract check: its session, and (route name, path, query, call).
SESSION = web.RequestKey("salesforce_session", Session)
ASKED = web.RequestKey("salesforce_asked", tuple)
NO_SESSION = Session("", "", "", datetime.min.replace(tzinfo=UTC))


@dataclasses.dataclass
class OrgSettings:
    """What an admin sets in Setup. Changes hold from the next call on.

    `api_limit`: calls per 24 hours; `api_used_before`: how many of them others made. `duplicate_rule`: None, "alert" or
    "block" (contacts and leads by e-mail address).
    """

    enhanced_email: bool = True
    shared_activities: bool = False
    multiday_events: bool = False
    api_limit: int = 100_000
    api_used_before: int = 0
    session_timeout_s: float = 7200.0
    duplicate_rule: str | None = None


class Salesforce:
    """One org. `base_url` (https, no slash at the end) must be set before the first call is served."""

    def __init__(self, world: World, *, base_url: str | None = None) -> None:
        self.world = world
        self.base_url = base_url or ""
        self.sign_in = SignIn(self)
        self.reset()

    # --- what sample data, the page and tests use

    def reset(self) -> None:
        """An empty org: its admin, no other users, no clients, no tokens, standard fields, settings as new."""
        self.settings = OrgSettings()
        self._busy = False
        self._rolled_at = self.now()
        self._records = Records(self.world, Schema(self.world), self.settings)
        self.queries = Queries(self._records)
        self.budget = Budget(self.now, lambda: self.settings.api_limit, lambda: self.settings.api_used_before)
        self.contract = Contract(self._records.schema)
        admin_id = self._found()
        self.sessions = Sessions(self.now, self._is_active, lambda: self.settings.session_timeout_s, self.org_id)
        self.admin_id = admin_id

    @property
    def records(self) -> Records:
        """Reads and direct writes; sample data and the page obey all rules."""
        schema, shared = self._records.schema, self.settings.shared_activities
        hidden = (frozenset() if self.settings.enhanced_email else MAIL_OBJECTS) | (frozenset() if shared else SHARED_OBJECTS)
        if hidden != schema.hidden:
            schema.hide(hidden)
        if shared != schema.has(SHARED_FIELDS[0]):
            schema.have(SHARED_FIELDS, shared)
        if not self._busy:
            self._catch_up()
        return self._records

    @cached_property
    def signing_key(self) -> rsa.RSAPrivateKey:
        """What id tokens are signed with."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def now(self) -> datetime:
        return self.world.clock.now()

    def switch(self, name: str, default: Any) -> Any:
        return self.world.switches.get(f"salesforce.{name}", default)

    def add_user(self, username: str, first_name: str, last_name: str, email: str, *, active: bool = True) -> str:
        """Its 005 id. Raises `Refused` DUPLICATE_USERNAME for a name in use."""
        if self.user_named(username) is not None:
            raise refuse("DUPLICATE_USERNAME", f"Duplicate Username: {username} is already in use.", ("Username",))
        number = self._records.store.count("User")
        fields = {
            "Username": username, "FirstName": first_name, "LastName": last_name, "Email": email, "IsActive": active,
            "Alias": f"u{number}", "CommunityNickname": f"user{number}", "TimeZoneSidKey": "Europe/Vienna",
            "LocaleSidKey": "en_US", "EmailEncodingKey": "UTF-8", "LanguageLocaleKey": "en_US", "ProfileId": self._profile_id,
        }  # fmt: skip
        return self._records.create("User", fields, self.admin_id)

    def users(self) -> list[Row]:
        return list(self._records.store.all("User"))

    def user_named(self, username: str) -> Row | None:
        return next((user for user in self.users() if user["Username"].lower() == username.lower()), None)

    def add_calendar(self, name: str, kind: str = "Public") -> str:
        """A calendar of nobody: "Public" ones own events, a "Resource" is invited. Its 023 id."""
        return str(self._records.system_create("Calendar", {"Name": name, "Type": kind}, self.admin_id)["Id"])

    def add_key_field(self, name: str) -> None:
        """Gives Task, Event and Contact a unique key, as the package of a client does when an admin deploys it."""
        for owner in ("Activity", "Contact"):
            self._records.schema.add_field(owner, {"name": name, **KEY_FIELD})

    def change_occurrence(self, event_id: str, fields: dict[str, Any], user_id: str) -> None:
        """A person's edit of "only this event" of a series. Raises `Refused`."""
        series.change_alone(self.records, event_id, fields, user_id)

    def add_client(
        self,
        client_id: str,
        *,
        secret: str | None = None,
        redirect_uris: Iterable[str] = (),
        jwt_public_key_pem: str | None = None,
        pre_authorised: Iterable[str] = (),
    ) -> None:
        """An app; without `secret` a public one. `pre_authorised` are the user names that JWT bearer is open to."""
        names = frozenset(name.lower() for name in pre_authorised)
        self.sessions.clients[client_id] = Client(client_id, secret, tuple(redirect_uris), jwt_public_key_pem, names)

    def issue_token(self, username: str, client_id: str, scope: str = DEFAULT_SCOPE) -> dict[str, Any]:
        """The token answer a sign-in of that user would have ended with. Raises KeyError for an unknown user or client."""
        user = self.user_named(username)
        if user is None:
            raise KeyError(username)
        return self.sign_in.issued(user, self.sessions.clients[client_id].id, scope)

    def identity_url(self, user_id: str) -> str:
        return f"{self.base_url}/id/{self.org_id}/{user_id}"

    # --- serving

    def application(self) -> web.Application:
        """Sign-in and REST on one origin."""
        rest_routes = [
            (route.method, path, self._serve) for route in routes.ROUTES for path in (route.template, route.template + "/")
        ]
        rest_routes.append(("*", routes.ROOT + "/{anything:.*}", self._serve))
        rest = vendor_application(
            self.world, VENDOR, rest_routes, check=self._check, count_as=_count, not_built=_not_built, max_body=MAX_BODY
        )
        login = vendor_application(self.world, LOGIN_VENDOR, self.sign_in.routes(), check=sign_in_problems, max_body=MAX_BODY)
        application = web.Application(client_max_size=MAX_BODY)
        for part in (login, rest):
            for resource in part.router.resources():
                if part is rest or resource.canonical != "/{anything}":
                    application.router.register_resource(resource)
        return application

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        payload, parts = await _read(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            with self._transaction():
                answer = self._answer(request, headers, payload, parts)
            if ASKED in request and faults.is_lost(self.world, request[ASKED][0]):
                raise faults.lost()
        except Refused as refusal:
            answer = Answer(refusal.status, refusal.body())
        sent_headers = {**(answer.headers), **(self.budget.header() if SESSION in request else {})}
        if isinstance(answer.body, bytes):
            return web.Response(body=answer.body, status=answer.status, headers=sent_headers, content_type=answer.content_type)
        if answer.body is None:
            return web.Response(status=answer.status, headers=sent_headers)
        return web.json_response(answer.body, status=answer.status, headers=sent_headers)

    def _answer(self, request: web.Request, headers: Mapping[str, str], payload: bytes, parts: Mapping[str, Part]) -> Answer:
        if len(request.raw_path.encode()) > LONGEST_URI:
            raise refuse("URI_TOO_LONG", "The URI of the request is longer than 16,384 bytes.")
        path = request.rel_url.raw_path
        found = routes.find(request.method, path)
        session = NO_SESSION
        if found is None or not found[0].is_open:
            if faults.ends_session(self.world, found[0].name if found else path):
                self.sessions.end(headers.get("authorization", "").partition(" ")[2])
            session = self.sessions.caller(headers.get("authorization"))
            request[SESSION] = session
        if found is None:
            raise _unknown(request.method, path)
        route, places = found
        call = Call(self, places.get("version", ""), places, dict(request.query), headers, session, payload, parts)
        request[ASKED] = (route.name, path, dict(request.query), call)
        if not route.is_open:
            records = self._records
            records.schema.seen_as = partial(field_security.as_seen, records, session.user_id)
            about.check_version(call)
            faults.strike(self.world, route.name, is_part=False)
            self.budget.take()
        return route.handler(call)

    def run_part(self, outer: Call, method: str, url: str, headers: Mapping[str, str], body: Any, all_or_none: bool) -> Answer:
        """One part of a composite: the same handlers, no call of its own. Raises `Refused`."""
        path, _, query_text = url.partition("?")
        found = routes.find(method, path)
        if found is None:
            raise _unknown(method, path)
        route, places = found
        if not route.is_nested:
            raise refuse("INVALID_INPUT", f"The resource {path} is not supported in a composite request.")
        faults.strike(self.world, route.name, is_part=True)
        if rule := self.world.fault(VENDOR, "status", route.name):
            return Answer(rule.status, rule.body, rule.headers)
        query = dict(parse_qsl(query_text, keep_blank_values=True))
        inherited = {name: value for name, value in outer.headers.items() if name.startswith("sforce-")}
        call = Call(
            self, places["version"], places, query, {**inherited, **headers}, outer.session,
            given={} if body is None else body, all_or_none=all_or_none,
        )  # fmt: skip
        about.check_version(call)
        return route.handler(call)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """What was written inside is kept at the end, or undone where it ends in an exception."""
        store = self._records.store
        self._catch_up()
        self._busy = True
        try:
            yield
        except BaseException:
            store.rollback(0)
            raise
        finally:
            store.commit()
            self._records.schema.seen_as = None
            self._busy = False

    def _check(self, request: web.Request, _template: str, status: int, answered: Any) -> list[str] | None:
        asked = request.get(ASKED)
        if asked is None:
            return self.contract.problems("", "", {}, None, status, answered)
        name, path, query, call = asked
        sent = call.json() if name in ASKED_IN_BODY and status == 200 else None
        return self.contract.problems(name, path, query, sent, status, answered)

    # --- inside

    def _catch_up(self) -> None:
        """What the platform does by itself as time passes: flows that are due; once an hour, series that are to grow."""
        self._records.flows.run_due()
        if self.now() - self._rolled_at >= ROLLED_EVERY:
            self._rolled_at = self.now()
            series.roll(self._records)
        self._records.store.commit()

    def _found(self) -> str:
        """Makes the organisation, the profile and the admin of an empty org; the admin's id."""
        records = self._records
        org = records.system_create("Organization", {"Name": "Sandbox", "InstanceName": "SBX1"}, "")
        self.org_id = str(org["Id"])
        profile = records.system_create("Profile", {"Name": "System Administrator", "UserType": "Standard"}, "")
        self._profile_id = str(profile["Id"])
        fields = {
            "Username": ADMIN, "LastName": "Admin", "Email": ADMIN, "IsActive": True, "Alias": "admin",
            "CommunityNickname": "admin", "TimeZoneSidKey": "Europe/Vienna", "LocaleSidKey": "en_US",
            "EmailEncodingKey": "UTF-8", "LanguageLocaleKey": "en_US", "ProfileId": self._profile_id, "UserType": "Standard",
        }  # fmt: skip
        admin_id = str(records.system_create("User", fields, "")["Id"])
        for name, row in (("Organization", org), ("Profile", profile), ("User", {"Id": admin_id})):
            records.system_update(name, row["Id"], {"CreatedById": admin_id, "LastModifiedById": admin_id})
        found_statuses(records, admin_id)
        records.store.commit()
        return admin_id

    def _is_active(self, user_id: str) -> bool:
        user = self._records.store.get("User", user_id)
        return user is not None and bool(user["IsActive"])


def _count(request: web.Request, _name: str) -> Mapping[str, int]:
    """As the vendor counts: one per call, none for the open list of versions."""
    found = routes.find(request.method, request.rel_url.raw_path)
    if found is None:
        return {f"{request.method} (not built)": 1}
    return {} if found[0].is_open else {found[0].name: 1}


def _not_built(sentence: str) -> web.Response:
    return web.json_response(refuse("NOT_BUILT", sentence).body(), status=501)


def _unknown(method: str, path: str) -> Refused:
    """405 for another method of a known resource, 501 for a resource the stand-in does not have."""
    if allowed := routes.allowed_methods(path):
        return refuse("METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {','.join(allowed)}")
    return refuse("NOT_BUILT", f"The sandbox has not built {method} {path}; build it with the product line that calls it.")


async def _read(request: web.Request) -> tuple[bytes, dict[str, Part]]:
    """The body, or the parts of a multipart body."""
    if request.content_type != "multipart/form-data":
        return await request.read(), {}
    parts: dict[str, Part] = {}
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if isinstance(part, BodyPartReader):
            content = bytes(await part.read())
            parts[str(part.name)] = Part(content, part.headers.get("Content-Type", ""), part.filename)
    return b"", parts
