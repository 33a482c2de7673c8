"""The function app: registers the blueprints of `functions/`, nothing else. Imports are paid at use, not here."""

import azure.functions as func

from functions import issues, me, org, sessions, settings, status, timers, webhooks

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (issues, me, org, sessions, settings, status, timers, webhooks):
    app.register_functions(module.bp)
