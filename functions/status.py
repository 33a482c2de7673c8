"""Health of the deployment: `GET /api/v1/health`, open to load balancers, so it names no mailbox and no setting's value."""

import json

import azure.functions as func

bp = func.Blueprint()


@bp.function_name("health")
@bp.route("v1/health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    """{"status": "ok" | "failing", "checks": {name: code}}; 200 or 503."""
    checks = {"settings": _settings()}
    if checks["settings"] == "ok":
        checks["storage"] = _storage()
    well = set(checks.values()) == {"ok"}
    body = json.dumps({"status": "ok" if well else "failing", "checks": checks})
    return func.HttpResponse(body, status_code=200 if well else 503, mimetype="application/json")


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
