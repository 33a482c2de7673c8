"""The doors of a mailbox's owner: how it stands, sync now, pause, resume, and why each item was or was not saved.

Every route is in `functions.openapi.ROUTES`; the token says whose mailbox it is, so no address names one. The three POSTs
change what is asked for and nothing more when sent again, and `sync` with the same Idempotency-Key is one sync.
Source: behaviour.md 0.9, S3 to S5, 3.1 row 6.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import azure.functions as func

from functions.answers import Answer, Call, Problem, door
from functions.openapi import DEFAULT_LIMIT, MAX_IDEMPOTENCY_KEY, MAX_LIMIT

if TYPE_CHECKING:
    from shared.ports import LedgerEntry
    from shared.session.standing import Standing
    from shared.store.ledger import LedgerPage

bp = func.Blueprint()

_ITEM_KEY = re.compile(r"[a-z2-7]{32}")
_CODE = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")


@door(bp, "me")
def me(call: Call) -> Answer:
    """Me: the entry, how it stands, and what is known of the org's API budget."""
    entry = call.entry
    return Answer(
        {
            "mailbox": entry.key,
            "address": entry.address,
            "vendor": entry.vendor,
            "org": entry.org,
            "user": entry.username,
            "connection": entry.connection,
            "role": call.identity.role,
            **_standing_fields(_standing(call)),
            "api": _api(call),
        }
    )


@door(bp, "me_health")
def me_health(call: Call) -> Answer:
    return _health(call)


@door(bp, "me_sync")
def me_sync(call: Call) -> Answer:
    """Rings as the owner; at most one ring a minute."""
    from shared.session import standing
    from shared.texts import sentence
    from shared.wire import wire

    repeat = _repeat(call)
    try:
        at = standing.force(wire().store, wire().bell, wire().clock, call.place, call.entry.key, repeat)
    except standing.TooSoon as soon:
        raise Problem(409, soon.code, {"Retry-After": str(soon.wait_s)}, wait_s=soon.wait_s) from None
    except standing.IsPaused as paused:
        raise Problem(409, paused.code) from None
    code = "sync.started"
    return Answer({"at": _when(at), "code": code, "text": str(sentence(code))}, 202)


@door(bp, "me_pause")
def me_pause(call: Call) -> Answer:
    from shared.session import standing
    from shared.wire import wire

    _repeat(call)
    standing.pause(wire().store, wire().clock, call.place)
    return _health(call)


@door(bp, "me_resume")
def me_resume(call: Call) -> Answer:
    from shared.session import standing
    from shared.wire import wire

    _repeat(call)
    standing.resume(wire().store, wire().bell, wire().clock, call.place, call.entry.key)
    return _health(call)


@door(bp, "me_ledger")
def me_ledger(call: Call) -> Answer:
    return _ledger(_page(call))


@door(bp, "me_ledger_item")
def me_ledger_item(call: Call) -> Answer:
    """The decisions about one item; 404 where it was never seen or its decisions are pruned."""
    page = _page(call, _item_keys(call.request.route_params.get("item", "")))
    if not page.entries and not call.request.params.get("next"):
        raise Problem(404, "ledger.unknown")
    return _ledger(page)


def _standing(call: Call) -> "Standing":
    from shared.session import standing
    from shared.wire import wire

    interval_s = wire().profiles.of(call.entry.key)["interval_s"]
    return standing.read(wire().store, call.place, wire().clock.now(), interval_s)


def _health(call: Call) -> Answer:
    found = _standing(call)
    times = {
        "activated": found.activated,
        "last_tried": found.last_tried,
        "next_try": found.not_before,
        "paused_at": found.paused,
    }
    when = {name: _when(moment) for name, moment in times.items()}
    return Answer({**_standing_fields(found), "failures": found.failures, **when})


def _standing_fields(found: "Standing") -> dict[str, Any]:
    return {
        "status": found.status,
        "stage": found.stage,
        "health": _told(found.code),
        "last_ok": _when(found.last_ok),
        "paused": found.paused is not None,
        "issues": found.issues,
    }


def _api(call: Call) -> Mapping[str, Any] | None:
    """What the org's budget row says, None where nothing was heard yet or newer code wrote it."""
    from shared.core.errors import NewerRow
    from shared.session import records
    from shared.wire import wire

    row = wire().store.get(wire().org_place(call.entry.org), "budget")
    try:
        value = records.read(row) if row is not None else None
    except NewerRow:
        return None
    if value is None:
        return None
    return {"band": value["band"], "share": value["share"], "heard": _when(records.moment_of(value["heard"]))}


def _repeat(call: Call) -> str:
    """A key of the Idempotency-Key, so that what a client wrote is not kept; "" where there is none."""
    from shared.core.keys import item_key
    from shared.wire import wire

    given = call.request.headers.get("Idempotency-Key")
    if given is None:
        return ""
    if not 1 <= len(given) <= MAX_IDEMPOTENCY_KEY:
        raise Problem(400, "request.idempotency_key", longest=MAX_IDEMPOTENCY_KEY)
    return item_key(wire().settings.install_secret, "request", given)


def _page(call: Call, items: Sequence[str] = ()) -> "LedgerPage":
    from shared.store.ledger import BadCursor, TableLedger
    from shared.wire import wire

    text = call.request.params.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise Problem(400, "request.limit", most=MAX_LIMIT)
    ledger = TableLedger(wire().store, call.identity.tenant, call.entry.key)
    try:
        return ledger.entries(call.request.params.get("next", ""), int(text), items)
    except BadCursor as bad:
        raise Problem(400, bad.code) from None


def _item_keys(item: str) -> list[str]:
    """The keys an address's last part may mean: a ledger key, or a Message-ID in any of the forms clients send it in."""
    from shared.core.keys import item_key
    from shared.wire import wire

    keys = {item} if _ITEM_KEY.fullmatch(item) else set()
    decoded = item.replace("%2F", "/").replace("%2f", "/")  # the one escape that the host leaves in a path
    for form in {item, decoded}:
        bare = form.strip().removeprefix("<").removesuffix(">")
        keys |= {item_key(wire().settings.install_secret, "mail", text) for text in (form, f"<{bare}>")}
    return sorted(keys)


def _ledger(page: "LedgerPage") -> Answer:
    return Answer({"entries": [_entry(entry) for entry in page.entries], "next": page.next or None})


def _entry(entry: "LedgerEntry") -> dict[str, Any]:
    """The decision with its sentence; what else had a part in it is told apart from the names of fields."""
    from shared.texts import explained

    because = [name for name in entry.fields if _CODE.fullmatch(name) and explained(name)]
    return {
        "item": entry.item,
        "kind": entry.kind,
        "rule": entry.rule,
        "text": _told(entry.rule)["text"],
        "at": _when(entry.at),
        "session": entry.session_id,
        "side": entry.side,
        "because": [_told(code) for code in because],
        "fields": [name for name in entry.fields if name not in because],
    }


def _told(code: str) -> dict[str, str]:
    from shared.texts import sentence

    return {"code": code, "text": str(sentence(code))}


def _when(moment: datetime | None) -> str | None:
    from shared.session.records import text_of

    return text_of(moment) if moment is not None else None
