"""The doors for what is held: which items, why, and what their owner says to it.

Every answer is written down for the next session and rings; sent twice it is one answer. Source: behaviour.md 0.7, 0.9, S5.
"""

from typing import TYPE_CHECKING, Any, get_args

import azure.functions as func

from functions.answers import Answer, Call, Problem, door
from functions.layers import body_of

if TYPE_CHECKING:
    from shared.session.issues import HeldDeletions, Issue

bp = func.Blueprint()

SIDES = ("mail", "crm")


@door(bp, "me_issues")
def me_issues(call: Call) -> Answer:
    from shared.session import issues
    from shared.wire import wire

    found, deletions = issues.read(wire().store, call.place)
    return Answer({"issues": [_issue(one) for one in found], "deletions": [_deletions(one) for one in deletions]})


@door(bp, "me_issues_answer")
def me_issues_answer(call: Call) -> Answer:
    from shared.session import issues
    from shared.wire import wire

    said = body_of(call, "answer")["answer"]
    if said not in get_args(issues.Answer):
        raise Problem(400, "request.body", place="answer")
    name = call.request.route_params.get("issue", "")
    match issues.answer(wire().store, call.place, name, said, wire().clock.now()):
        case "unknown":
            raise Problem(404, "issue.unknown")
        case "unfit":
            raise Problem(409, "issue.answer")
    return _rung(call, "issue.answered")


@door(bp, "me_deletions_confirm")
def me_deletions_confirm(call: Call) -> Answer:
    """A confirmation is about what is held when it is read by the next session, and is used up by it."""
    from shared.session import deletes
    from shared.wire import wire

    body = body_of(call, "kind", "side")
    if not isinstance(body["kind"], str) or body["side"] not in SIDES:
        raise Problem(400, "request.body", place="kind, side")
    if not deletes.confirm(wire().store, call.place, body["kind"], body["side"], wire().clock.now()):
        raise Problem(409, "deletions.none")
    return _rung(call, "deletions.confirmed")


def _rung(call: Call, code: str) -> Answer:
    from shared.ports import Ring
    from shared.session.records import text_of
    from shared.wire import wire

    at = wire().clock.now()
    wire().bell.ring(Ring(call.entry.key, "user", at))
    return Answer({"at": text_of(at), **_told(code)}, 202)


def _issue(one: "Issue") -> dict[str, Any]:
    from shared.session.records import text_of

    return {
        "issue": one.name,
        "kind": one.kind,
        **_told(one.code),
        "fields": list(one.fields),
        "since": text_of(one.since) if one.since is not None else None,
        "answers": list(one.answers),
    }


def _deletions(one: "HeldDeletions") -> dict[str, Any]:
    return {"kind": one.kind, "side": one.side, "count": one.count}


def _told(code: str) -> dict[str, str]:
    from shared.texts import sentence

    return {"code": code, "text": str(sentence(code))}
