"""The function app: registers the blueprints of `functions/`, nothing else. Imports are paid at use, not here."""

import azure.functions as func

from functions import sessions, status, webhooks

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (sessions, status, webhooks):
    app.register_functions(module.bp)
