"""Settings through the real runtime and Azurite: every setting is changed through the API and does what it says, in a session
with what the host stored; layers, roles, versions, audit, former states, the file. Answers are held against the document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest

from functions.layers import MAX_BODY
from functions.openapi import PROFILE_ADMINS, ROUTES
from shared.access import directory
from shared.access.audit import place_of
from shared.access.profiles import COMPANY_ONLY, Profiles
from shared.access.tokens import ROLES, issue
from shared.core.item_scope import ItemScope, Owner
from shared.core.mail import Address, Attachment
from shared.core.match import Opportunity, Person, links
from shared.core.model import Facts, Item, Link, Seen, Side
from shared.core.profile import SETTINGS, Profile
from shared.core.scope import Filters
from shared.ports import MailboxKey, Place, Put, Stream
from shared.session import records
from shared.store.mail_memory import MemoryCrm
from shared.store.vault import vault_of
from tests.property.capture_world import HOME, START, World
from tests.system.conftest import RunningHost
from tests.system.test_api import DOCUMENT, WAYS, Api, Deployment, held_against, refusal

NAMES = [setting.name for setting in SETTINGS]
GUARDED = [route for route in ROUTES if route.roles]
TYPED = "rival-lawyers.example"


class Desk(Api):
    """A connected mailbox whose owner may have any role, and sends bodies."""

    def __init__(self, deployment: Deployment, role: str = "user") -> None:
        super().__init__(deployment)
        self.role(role)

    def role(self, role: str) -> Desk:
        self.token = issue(self.settings, self.clock.now(), self.entry.key, role)  # type: ignore[arg-type]
        return self

    def send(self, operation: str, body: Any = None, *, item: str = "", query: str = "", etag: str = "", **more: str) -> Any:
        """Sends a body (bytes as they are), with If-Match where there is an `etag`; the answer is held to the document."""
        path, method = WAYS[operation]
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        headers |= {name.replace("_", "-"): text for name, text in more.items()}
        if etag:
            headers["If-Match"] = etag
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        address = (
            "/api/v1" + "/".join(quote(item, safe="") if part.startswith("{") else part for part in path.split("/")) + query
        )
        answer = self.host.call(method.upper(), address, headers=headers, data=data)
        held_against(DOCUMENT["paths"][path][method], answer)
        return answer

    def mine(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.call("me_settings").json()["settings"]}

    def set(self, **values: Any) -> Any:
        """Changes own settings as they are now."""
        return self.send("me_settings_change", {"settings": values}, etag=self.call("me_settings").headers["ETag"])

    def company(self, mode: str = "allow", **values: Any) -> Any:
        said = {name: None if value is None else {"value": value, "mode": mode} for name, value in values.items()}
        etag = self.call("settings_company").headers["ETag"]
        return self.send("settings_company_change", {"settings": said}, etag=etag)

    def profile(self, name: str, mode: str = "allow", **values: Any) -> Any:
        said = {name: None if value is None else {"value": value, "mode": mode} for name, value in values.items()}
        there = self.call("settings_profile", name)
        if there.status_code == 404:
            return self.send("settings_profile_change", {"settings": said}, item=name, If_None_Match="*")
        return self.send("settings_profile_change", {"settings": said}, item=name, etag=there.headers["ETag"])

    def assign(self, mailbox: str, profile: str | None) -> Any:
        etag = self.call("settings_mailbox", mailbox).headers["ETag"]
        return self.send("settings_mailbox_change", {"profile": profile}, item=mailbox, etag=etag)

    def in_force(self) -> Profile:
        """As a session in another process finds them."""
        return Profiles(self.store, vault_of(self.settings.vault), self.settings.tenant).of(self.entry.key)


@pytest.fixture(scope="module")
def deployment(
    start_module_host: Callable[..., RunningHost], azurite: Any, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    return Deployment(start_module_host, azurite, tmp_path_factory.mktemp("deployment"))


@pytest.fixture
def desk(deployment: Deployment) -> Desk:
    return Desk(deployment)


@pytest.fixture
def admin(deployment: Deployment) -> Iterator[Desk]:
    """An admin; afterwards the company's layer is empty again."""
    made = Desk(deployment, "admin")
    yield made
    made.role("admin")
    made.company(**dict.fromkeys(NAMES))
    assert made.call("settings_company").json()["settings"] == {}


# --- every setting does what it says --------------------------------------------------------------------------------------


@dataclass
class LinkingCrm(MemoryCrm):
    """Also keeps to which records each file was linked."""

    targets: list[Sequence[str]] = field(default_factory=list)

    def attach(self, record_ids: Sequence[str], name: str, content_type: str, stream: Stream) -> None:
        self.targets.append(list(record_ids))
        super().attach(record_ids, name, content_type, stream)


def captured(profile: Profile, **mail: Any) -> tuple[World, LinkingCrm]:
    """One session of mail capture over one mail, under these settings. `size`: of its one attachment, in MB."""
    world, size = World(("ann",)), mail.pop("size", 0)
    crm = world.crm = LinkingCrm(world.crm.before, world.crm.after)
    crm.people = (Person("003c", "Contact", ("c1@customer.test",), "2026-01-01", "001a"),)
    crm.opportunities = (Opportunity("006o", "001a", "005ann", "2026-01-01"),)
    world.profile = {name: profile[name] for name in NAMES}
    text = world.mail(1, **{"categories": (), "to": (Address(f"ann@{HOME}"),)} | mail)
    files = (Attachment("a", "offer.pdf", "application/pdf", size * 1024 * 1024, "file", False),) if size else ()
    world.put(replace(text, attachments=files), "ann")
    assert world.session("ann").result == "ok"
    return world, crm


def rule(profile: Profile, **mail: Any) -> Any:
    world, _ = captured(profile, **mail)
    return world.rules()


def record(name: str) -> Callable[..., Any]:
    def read(profile: Profile, **mail: Any) -> Any:
        _, crm = captured(profile, **mail)
        return getattr(crm.alive()[0].record, name)

    return read


def related(profile: Profile, **mail: Any) -> Any:
    return record("links")(profile, **mail).related


def targets(profile: Profile, **mail: Any) -> Any:
    return captured(profile, **mail)[1].targets


def clones(profile: Profile) -> Any:
    found = links((), people=(), blocked=frozenset(), opportunities=(), cases={}, subject="", own_user="", chosen=["a", "b"],
                  link_opportunities=True, clones=profile["clones"])  # fmt: skip
    return (found.clones, found.left_out)


@dataclass(frozen=True)
class Case:
    """`value` of the setting turns what is seen of a mail from `before` to `after`. `company`: what the company says first."""

    value: Any
    see: Callable[..., Any]
    before: Any
    after: Any
    mail: Mapping[str, Any] = field(default_factory=dict)
    company: Mapping[str, Any] = field(default_factory=dict)


def judged(profile: Profile, side: Side = "mail", text: Mapping[str, str] | None = None, **facts: Any) -> str:
    """The rule for an event of the mailbox made after activation, with somebody outside in it unless `facts` say else."""
    scope = ItemScope(Owner("0051", START), profile, Filters(profile, ["ann@home.example"]), START + timedelta(days=1))
    said = Facts(**{"made": START, "begins": START, "ends": START, "people": (("c1@customer.test", "none"),), **facts})
    fields = {"subject": "Talk", "private": "no", **(text or {})}
    return scope.judged(side, Seen("e1", "1", Item("event", fields), marked=False, facts=said)).rule


def waiting(profile: Profile) -> str:
    scope = ItemScope(Owner("0051", START), profile, Filters(profile, ["ann@home.example"]), START)
    seen = Seen("e1", "1", Item("event", {"subject": "Talk"}), facts=Facts(shared=True))
    return scope.terms(Link("k", "event"), seen).waits.get("subject", "")


BCC = (Address("c2@customer.test"),)
AUTO = ["saved.auto"]
CASES: Mapping[str, Case] = {
    "auto_save_mail": Case(False, rule, AUTO, ["skipped.auto_off"]),
    "auto_save_folders": Case("sent", rule, AUTO, ["skipped.auto_off"]),
    "save_unmatched": Case(True, rule, ["skipped.unmatched"], AUTO, {"sender": "nobody@elsewhere.test"}),
    "look_back_days": Case(0, rule, AUTO, ["skipped.look_back"], {"received": START - timedelta(days=3)}),
    "private_items": Case("full", rule, ["skipped.private"], AUTO, {"private": True}),
    "save_body": Case("none", record("text"), "text 1", ""),
    "save_bcc": Case(True, record("bcc"), (), BCC, {"bcc": BCC}),
    "internal_domains": Case(["customer.test"], rule, AUTO, ["skipped.internal"]),
    "blocklist": Case(["customer.test"], rule, AUTO, ["skipped.blocked"]),
    "user_blocklist": Case(["c1@customer.test"], rule, AUTO, ["skipped.blocked"]),
    "user_allowed": Case(["customer.test"], rule, ["skipped.blocked"], AUTO, company={"blocklist": ["customer.test"]}),
    "block_free_mail": Case(True, rule, ["skipped.unmatched"], ["skipped.blocked"], {"sender": "bob@gmail.com"}),
    "link_opportunities": Case(False, related, "006o", "001a"),
    "link_files": Case(False, targets, [["m0", "006o"]], [["m0"]], {"size": 1}),
    "save_attachments": Case(False, targets, [["m0", "006o"]], [], {"size": 1}),
    "attachment_max_mb": Case(1, targets, [["m0", "006o"]], [], {"size": 2}),
    "auto_save_meetings": Case(False, judged, "saved.auto", "skipped.auto_off"),
    "auto_save_appointments": Case(True, judged, "skipped.auto_off", "saved.auto", {"people": ()}),
    "down_events": Case(False, judged, "saved.crm", "skipped.down_off", {"side": "crm"}),
    "existing_items": Case("take", judged, "skipped.before_activation", "saved.auto", {"made": START - timedelta(days=1)}),
    "meeting_changes": Case("never", waiting, "held.approval", "kept.meeting"),
    "occurrence_days": Case(180, judged, "skipped.window", "saved.auto", {"group": "s", "begins": START + timedelta(days=100)}),
    "clones": Case(False, clones, (("b",), ()), ((), ("b",))),
}


def test_every_setting_is_tried_here() -> None:
    assert {*CASES, "interval_s"} == set(NAMES)


@pytest.mark.parametrize("name", CASES)
def test_a_setting_changed_through_the_api_does_what_it_says(name: str, admin: Desk, desk: Desk) -> None:
    case = CASES[name]
    if case.company:
        assert admin.company(**case.company).status_code == 200
    assert case.see(desk.in_force(), **case.mail) == case.before
    by_whom = admin.company if name in COMPANY_ONLY else desk.set
    assert by_whom(**{name: case.value}).status_code == 200
    assert desk.mine()[name]["value"] == case.value
    assert case.see(desk.in_force(), **case.mail) == case.after
    assert by_whom(**{name: None}).status_code == 200
    assert case.see(desk.in_force(), **case.mail) == case.before
    assert desk.rings() == []


def test_a_longer_interval_makes_a_mailbox_late_later(desk: Desk) -> None:
    now = desk.clock.now()
    state = records.row(
        stage="active", failures=0, not_before="", health="ok", last_ok=records.text_of(now - timedelta(minutes=95))
    )
    desk.store.commit(desk.place, [Put(records.STATE, state)])
    assert desk.call("me_health").json()["status"] == "late"
    assert desk.set(interval_s=3600).status_code == 200
    assert desk.call("me_health").json()["status"] == "ok"


# --- layers ---------------------------------------------------------------------------------------------------------------


def test_a_mailbox_sees_every_setting_with_its_range_and_where_it_comes_from(admin: Desk, desk: Desk) -> None:
    shown = desk.mine()
    assert list(shown) == NAMES
    assert {one["layer"] for one in shown.values()} == {"default"}
    assert [shown["look_back_days"][part] for part in ("low", "high", "default", "kind")] == [0, 365, 6, "number"]
    assert shown["save_body"]["choices"] == ["full", "none"]
    assert shown["blocklist"]["seed"] == "ServiceAutoTrackBlackList"
    admin.company(save_bcc=True, look_back_days=1)
    admin.company("force", save_body="none")
    admin.profile("sales", look_back_days=2, attachment_max_mb=7)
    assert admin.assign(desk.entry.key, "sales").json()["profile"] == "sales"
    desk.set(attachment_max_mb=8)
    shown = desk.mine()
    found = {name: (one["value"], one["layer"], one["forced"]) for name, one in shown.items()}
    assert [found[name] for name in ("save_bcc", "save_body", "look_back_days", "attachment_max_mb", "clones")] == [
        (True, "company", False), ("none", "company", True), (2, "profile", False), (8, "user", False),
        (True, "default", False),
    ]  # fmt: skip
    assert [name for name, one in shown.items() if one["company_only"]] == ["internal_domains", "blocklist"]
    force = admin.profile("sales", "force", attachment_max_mb=9)
    assert force.json()["settings"]["attachment_max_mb"] == {"value": 9, "mode": "force"}
    one = desk.mine()["attachment_max_mb"]
    assert (one["value"], one["layer"], one["forced"]) == (9, "profile", True)
    assert admin.assign(desk.entry.key, None).json()["settings"] == {"attachment_max_mb": {"value": 8, "mode": "allow"}}
    assert desk.mine()["attachment_max_mb"]["value"] == 8


def test_what_a_wider_layer_forces_or_keeps_to_itself_is_refused_and_named(admin: Desk, desk: Desk) -> None:
    admin.company("force", save_body="none")
    for answer in (desk.set(clones=False, save_body="full"), admin.profile("strict", save_body="full")):
        assert refusal(answer) == (409, "settings.forced")
        assert "save_body" in answer.json()["title"]
    answer = desk.set(internal_domains=["a.test"])
    assert refusal(answer) == (409, "settings.company_only")
    assert "internal_domains" in answer.json()["title"]
    assert desk.mine()["clones"]["layer"] == "default"
    assert desk.set(save_body=None).status_code == 200


@pytest.mark.parametrize(
    ("values", "code", "named"),
    [
        ({"no_such": True}, "settings.unknown", "no_such"),
        ({"no_such": None}, "settings.unknown", "no_such"),
        ({"a <b> {c}": 1}, "settings.unknown", "…"),
        ({"look_back_days": 366}, "settings.range", "look_back_days"),
        ({"look_back_days": 1.0}, "settings.range", "look_back_days"),
        ({"clones": 1}, "settings.range", "clones"),
        ({"save_body": ["full"]}, "settings.range", "save_body"),
        ({"user_blocklist": [1]}, "settings.range", "user_blocklist"),
        ({"user_blocklist": {"value": ["a"]}}, "settings.range", "user_blocklist"),
    ],
)
def test_an_unknown_setting_or_a_value_out_of_range_is_named_and_nothing_is_changed(
    desk: Desk, admin: Desk, values: dict[str, Any], code: str, named: str
) -> None:
    for answer in (desk.set(save_bcc=True, **values), admin.company(save_bcc=True, **values)):
        assert refusal(answer) == (400, code)
        assert named in answer.json()["title"]
        assert "<b>" not in answer.text
    assert desk.mine()["save_bcc"]["layer"] == "default"


BODIES = [b"", b"x", b"[]", b"null", b"{}", b'{"settings": []}', b'{"settings": {}, "more": 1}', b"\xff", b"[" * 100_000]


def test_a_body_that_has_another_shape_is_refused(desk: Desk, admin: Desk) -> None:
    for operation in ("me_settings_change", "settings_company_change"):
        for body in BODIES:
            assert refusal(admin.send(operation, body, etag="*")) == (400, "request.body")
        assert refusal(admin.send(operation, b" " * (MAX_BODY + 1), etag="*")) == (413, "request.body_too_large")
    for said in (True, {"mode": "force"}, {"value": True, "mode": "x"}, {"value": True, "mode": None}, {"value": 1, "x": 1}):
        answer = admin.send("settings_company_change", {"settings": {"clones": said}}, etag="*")
        assert refusal(answer) == (400, "request.body")
    assert admin.call("settings_company").json()["settings"] == {}


def test_a_layer_that_grows_beyond_a_row_is_refused_as_too_large(desk: Desk) -> None:
    big = [f"{n:0300}.test" for n in range(350)]
    assert desk.set(user_blocklist=big).status_code == 200
    assert refusal(desk.set(user_allowed=big)) == (413, "request.body_too_large")
    assert desk.mine()["user_allowed"]["value"] == []


# --- versions -------------------------------------------------------------------------------------------------------------


def test_a_change_says_which_version_it_was_made_from(desk: Desk) -> None:
    body = {"settings": {"clones": False}}
    first = desk.call("me_settings").headers["ETag"]
    assert refusal(desk.send("me_settings_change", body)) == (428, "settings.version_missing")
    assert refusal(desk.send("me_settings_change", body, etag="*")) == (412, "settings.changed")  # nothing is there
    second = desk.send("me_settings_change", body, If_None_Match="*").headers["ETag"]
    assert second == desk.call("me_settings").headers["ETag"] != first
    for etag in (first, f"W/{second}", second.strip('"'), '"x"'):
        assert refusal(desk.send("me_settings_change", {"settings": {"clones": True}}, etag=etag)) == (412, "settings.changed")
    assert refusal(desk.send("me_settings_change", body, If_None_Match="*")) == (412, "settings.changed")
    assert desk.mine()["clones"]["value"] is False
    third = desk.send("me_settings_change", {"settings": {"clones": True}}, etag=f'"x", {second}').headers["ETag"]
    assert third not in (first, second)
    assert desk.send("me_settings_change", {"settings": {"save_bcc": True}}, etag="*").status_code == 200


def test_of_two_who_change_the_same_version_one_is_told(admin: Desk, deployment: Deployment) -> None:
    other = Desk(deployment, "admin")
    admin.company(clones=False)
    etag = admin.call("settings_company").headers["ETag"]
    said = [{"settings": {"look_back_days": {"value": n}}} for n in (1, 2)]
    answers = [one.send("settings_company_change", body, etag=etag) for one, body in zip((admin, other), said, strict=True)]
    assert [answer.status_code for answer in answers] == [200, 412]
    assert admin.call("settings_company").json()["settings"]["look_back_days"] == {"value": 1, "mode": "allow"}


# --- roles ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
def test_a_route_opens_to_its_roles_and_tells_others_nothing(route: Any, role: str, desk: Desk) -> None:
    item = desk.entry.key
    answer = desk.role(role).send(route.name, {}, item=item)
    if role in route.roles:
        asks_the_org = route.name == "org_key_field"  # there is none behind this mailbox
        assert answer.status_code in ((500,) if asks_the_org else (200, 400, 404, 428))
    else:
        assert refusal(answer) == (403, "settings.role")


def test_every_route_of_settings_that_is_not_ones_own_wants_a_role() -> None:
    settings = {route.name for route in ROUTES if route.path.startswith("settings/")}
    assert {route.name for route in GUARDED} == settings | {"org_key_field"}
    assert all(set(route.roles) <= set(PROFILE_ADMINS) and "admin" in route.roles for route in GUARDED)


def test_a_profile_admin_makes_profiles_but_does_not_touch_the_companys(admin: Desk, deployment: Deployment) -> None:
    admin.company(clones=False)
    helper, user = Desk(deployment, "profile_admin"), Desk(deployment)
    assert helper.profile("team", look_back_days=9).status_code == 200
    assert helper.assign(user.entry.key, "team").status_code == 200
    assert user.mine()["look_back_days"]["value"] == 9
    assert refusal(helper.company(clones=True)) == (403, "settings.role")
    entries = helper.call("settings_audit").json()["entries"]
    of_company = next(one["id"] for one in entries if one["layer"] == "company")
    etag = helper.call("settings_company").headers["ETag"]
    answer = helper.send("settings_restore", {"to": "before"}, item=of_company, etag=etag)
    assert refusal(answer) == (403, "settings.role")
    assert admin.call("settings_company").json()["settings"] == {"clones": {"value": False, "mode": "allow"}}


def test_what_is_not_there_is_404_and_what_cannot_be_a_name_400(admin: Desk) -> None:
    for name in ("none-such", "default", "A", "a b", "ä", "a" * 41):
        assert refusal(admin.call("settings_profile", name)) == (404, "settings.profile_unknown")
        assert refusal(admin.assign(admin.entry.key, name)) == (404, "settings.profile_unknown")
    for name in ("default", "A", "a b", "ä", "a" * 41):
        answer = admin.send("settings_profile_change", {"settings": {}}, item=name, If_None_Match="*")
        assert refusal(answer) == (400, "settings.profile_name")
    for key in ("z" * 26, "x", "a|b", "0alias_x"):
        assert refusal(admin.call("settings_mailbox", key)) == (404, "mailbox.unknown")
        assert refusal(admin.call("settings_audit", query=f"?mailbox={quote(key)}")) == (404, "mailbox.unknown")
    for entry in ("x", f"{0:016}_{0:016x}"):
        assert refusal(admin.send("settings_restore", {"to": "after"}, item=entry, etag="*")) == (404, "settings.entry_unknown")
    assert refusal(admin.call("settings_audit", query="?limit=0")) == (400, "request.limit")
    assert refusal(admin.call("settings_audit", query="?next=x")) == (400, "request.next")


# --- audit, former states, the file ---------------------------------------------------------------------------------------


def test_the_audit_says_who_changed_what_and_a_former_state_comes_back(admin: Desk) -> None:
    admin.company(blocklist=[TYPED], clones=False)
    admin.company("force", clones=True, save_bcc=True)
    admin.company(blocklist=None)
    page = admin.call("settings_audit", query="?limit=2").json()
    rest = admin.call("settings_audit", query=f"?limit=200&next={page['next']}").json()["entries"]
    newest, middle, first = [*page["entries"], *rest][:3]
    assert [(one["who"], one["role"], one["action"], one["layer"]) for one in (newest, middle, first)] == [
        (admin.entry.key, "admin", "change", "company")
    ] * 3
    assert newest["changes"] == [{"setting": "blocklist", "before": {"value": [TYPED], "mode": "allow"}, "after": None}]
    assert [one["setting"] for one in middle["changes"]] == ["clones", "save_bcc"]
    assert middle["changes"][0]["before"] == {"value": False, "mode": "allow"}
    assert middle["changes"][0]["after"] == {"value": True, "mode": "force"}
    etag = admin.call("settings_company").headers["ETag"]
    assert refusal(admin.send("settings_restore", {"to": "after"}, item=first["id"], etag='"x"')) == (412, "settings.changed")
    assert refusal(admin.send("settings_restore", {"to": "x"}, item=first["id"], etag=etag)) == (400, "request.body")
    back = admin.send("settings_restore", {"to": "after"}, item=first["id"], etag=etag)
    assert back.json()["settings"] == {
        "blocklist": {"value": [TYPED], "mode": "allow"}, "clones": {"value": False, "mode": "allow"},
    }  # fmt: skip
    assert admin.call("settings_audit").json()["entries"][0]["action"] == "restore"
    again = admin.send("settings_restore", {"to": "after"}, item=first["id"], etag=back.headers["ETag"])
    assert again.headers["ETag"] == back.headers["ETag"]
    gone = admin.send("settings_restore", {"to": "before"}, item=first["id"], etag=back.headers["ETag"])
    assert gone.json()["settings"] == {}
    stored = [dict(row.value) for place in _places(admin) for row in admin.store.scan(place)]
    assert len(stored) >= 5
    assert TYPED not in json.dumps(stored)


def test_a_mailboxs_changes_are_in_an_audit_of_its_own_and_go_with_it(admin: Desk, desk: Desk) -> None:
    admin.profile("sales", clones=True)
    desk.set(user_blocklist=[TYPED])
    admin.assign(desk.entry.key, "sales")
    query = f"?mailbox={desk.entry.key}"
    entries = admin.call("settings_audit", query=query).json()["entries"]
    assert [(one["who"], one["action"], one["layer"], one["name"]) for one in entries] == [
        (admin.entry.key, "assign", "user", desk.entry.key), (desk.entry.key, "change", "user", desk.entry.key),
    ]  # fmt: skip
    assert entries[0]["changes"] == [{"setting": "profile", "before": None, "after": {"value": "sales"}}]
    etag = admin.call("settings_mailbox", desk.entry.key).headers["ETag"]
    back = admin.send("settings_restore", {"to": "before"}, item=entries[1]["id"], query=query, etag=etag).json()
    assert (back["profile"], back["settings"]) == (None, {})
    assert {one["name"] for one in admin.call("settings_audit").json()["entries"]}.isdisjoint({desk.entry.key})
    tenant = desk.settings.tenant
    assert directory.disconnect(desk.store, desk.clock, desk.settings.install_secret, tenant, desk.entry.key)
    assert list(desk.store.scan(place_of(tenant, desk.entry.key))) == []
    assert [row.key for row in desk.store.scan(_places(desk)[0]) if desk.entry.key in row.key] == []


def test_one_file_holds_the_company_and_its_profiles_and_brings_them_back(admin: Desk, desk: Desk) -> None:
    admin.company("force", internal_domains=["own.test"])
    admin.profile("filed", look_back_days=4)
    desk.set(user_blocklist=[TYPED])
    answer = admin.call("settings_export")
    file, etag = answer.json(), answer.headers["ETag"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="mailspan-settings.json"'
    assert TYPED not in answer.text
    assert file["company"] == {"internal_domains": {"value": ["own.test"], "mode": "force"}}
    admin.company(internal_domains=None, clones=False)
    admin.profile("filed", look_back_days=5)
    assert refusal(admin.send("settings_import", file, etag=etag)) == (412, "settings.changed")
    changed = json.loads(json.dumps(file))
    changed["profiles"]["filed"]["look_back_days"]["value"] = 400
    now = admin.call("settings_export").headers["ETag"]
    assert refusal(admin.send("settings_import", changed, etag=now)) == (400, "settings.range")
    assert admin.call("settings_export").headers["ETag"] == now
    back = admin.send("settings_import", file, etag=now)
    assert back.json() == file
    assert admin.call("settings_audit").json()["entries"][0]["action"] == "import"
    only_new = {"v": 1, "company": file["company"], "profiles": {"made-new": {"clones": {"value": False}}}}
    made = admin.send("settings_import", only_new, etag=back.headers["ETag"]).json()
    assert made["profiles"]["filed"] == file["profiles"]["filed"]
    assert made["profiles"]["made-new"] == {"clones": {"value": False, "mode": "allow"}}
    assert "made-new" in [one["name"] for one in admin.call("settings_profiles").json()["profiles"]]
    for wrong in (
        {**file, "v": 2},
        {**file, "v": True},
        {**file, "profiles": []},
        {"v": 1},
        {**file, "company": {"clones": None}},
    ):
        assert refusal(admin.send("settings_import", wrong, etag="*")) == (400, "request.body")
    for named in ({"default": {}}, {"A": {}}):
        assert refusal(admin.send("settings_import", {**file, "profiles": named}, etag="*")) == (400, "settings.profile_name")


def test_bodies_that_the_document_describes_are_those_that_are_taken(admin: Desk) -> None:
    schema = {"$ref": "#/components/schemas/SettingsFile", "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(admin.call("settings_export").json())
    for route in ROUTES:
        path, method = WAYS[route.name]
        assert ("requestBody" in DOCUMENT["paths"][path][method]) == bool(route.body)
        assert not (route.matched and not route.etag)


def _places(desk: Api) -> list[Place]:
    tenant = desk.settings.tenant
    return [Place("state", tenant, "tenant", "settings"), place_of(tenant), place_of(tenant, MailboxKey(desk.entry.key))]
