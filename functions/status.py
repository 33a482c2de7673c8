"""The open doors of the JSON API: health of the deployment, the API's document, what a code means.

They are for load balancers, clients and people without a token, so they name no mailbox and no setting's value.
"""

import azure.functions as func

from functions.answers import Answer, Problem, open_door

bp = func.Blueprint()


@open_door(bp, "health")
def health(req: func.HttpRequest) -> Answer:
    """{"status": "ok" | "failing", "checks": {name: code}}; 200 or 503."""
    checks = {"settings": _settings()}
    if checks["settings"] == "ok":
        checks |= {"storage": _storage(), "tokens": _tokens()}
    well = set(checks.values()) == {"ok"}
    return Answer({"status": "ok" if well else "failing", "checks": checks}, 200 if well else 503)


@open_door(bp, "openapi")
def openapi(req: func.HttpRequest) -> Answer:
    """The OpenAPI document of every route."""
    from functions.openapi import document

    return Answer(document())


@open_door(bp, "problem")
def problem(req: func.HttpRequest) -> Answer:
    """What a code means, in three parts; a code below a known one (`refused.*`) has that one's sentence."""
    from shared.texts import explained

    code = req.route_params["code"]
    found = explained(code)
    if found is None:
        raise Problem(404, "request.code")
    return Answer({"code": code, "what": found.what, "data": found.data, "act": found.act})


def _settings() -> str:
    from shared.settings import SettingsError, current

    try:
        current()
    except SettingsError:
        return "settings.missing"
    return "ok"


def _storage() -> str:
    from shared.core.errors import SyncError
    from shared.ports import Place
    from shared.wire import wire

    try:
        wire().store.get(Place("directory", wire().settings.tenant, "health", "probe"), "probe")
    except SyncError as problem:
        return problem.code
    return "ok"


def _tokens() -> str:
    from shared.access.tokens import SigningKeyMissing, check_key
    from shared.wire import wire

    try:
        check_key(wire().settings)
    except SigningKeyMissing as missing:
        return missing.code
    return "ok"
