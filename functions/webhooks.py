"""The doors for vendors' notifications: verify, ring, 202. They touch no storage but the queue, and load no SDK.

Answers (design section 2): handshake 200 text/plain; valid 202 and one ring; does not verify 401 with an empty body;
malformed 400; over 1 MB 413; the host answers a wrong method with 405. What only storage knows is the session's business.
Source: Microsoft Graph, "Receive change notifications through webhooks" (validationToken, clientState, 202).
"""

import html
import json
import typing

import azure.functions as func

from functions.quiet import quietly

MAX_BODY = 1024 * 1024
MAX_TOKEN = 512

bp = func.Blueprint()


@bp.function_name("graph_notify")
@bp.route("graph/{kind:alpha}/{mailbox}/{generation:int}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@bp.queue_output(arg_name="rings", queue_name="sessions", connection="AzureWebJobsStorage")
def graph_notify(req: func.HttpRequest, rings: func.Out[typing.List[str]]) -> func.HttpResponse:
    """`kind` is notify or lifecycle; the address carries the mailbox's key and the subscription's generation."""
    return quietly(lambda: _notified(req, rings))


def _notified(req: func.HttpRequest, rings: func.Out[typing.List[str]]) -> func.HttpResponse:
    if req.route_params["kind"] not in ("notify", "lifecycle"):
        return func.HttpResponse(status_code=404)
    if (token := req.params.get("validationToken")) is not None:
        return _handshake(token)
    body = req.get_body()
    if len(body) > MAX_BODY:
        return func.HttpResponse(status_code=413)
    states = _client_states(body)
    if states is None:
        return func.HttpResponse(status_code=400)
    mailbox, generation = req.route_params["mailbox"], int(req.route_params["generation"])
    if not _verified(states, mailbox, generation):
        return func.HttpResponse(status_code=401)
    rings.set([_ring(mailbox, "push" if req.route_params["kind"] == "notify" else "renew")])
    return func.HttpResponse(status_code=202)


def _handshake(token: str) -> func.HttpResponse:
    if len(token) > MAX_TOKEN:
        return func.HttpResponse(status_code=400)
    headers = {"X-Content-Type-Options": "nosniff"}
    return func.HttpResponse(html.escape(token), status_code=200, mimetype="text/plain", headers=headers)


def _client_states(body: bytes) -> list[str] | None:
    """The client state of every notification in the body, or None where it is not what the vendor sends."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return None
    values = given.get("value") if isinstance(given, dict) else None
    if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
        return None
    return [state if isinstance(state := value.get("clientState"), str) else "" for value in values]


def _verified(states: list[str], mailbox: str, generation: int) -> bool:
    from shared.core.keys import state_matches
    from shared.settings import current

    secrets = current().webhook_secrets
    matches = [
        state_matches(state, secrets, mailbox, generation) for state in states
    ]  # all are compared, whatever the first says
    return all(matches)


def _ring(mailbox: str, why: str) -> str:
    from shared.core import ringing
    from shared.wire import wire

    return ringing.encoded(mailbox, why, wire().clock.now())
