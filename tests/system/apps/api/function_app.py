"""The product's JSON API alone: without the session's queue trigger the rings stay in the queue and can be counted."""

import sys
from pathlib import Path

import azure.functions as func

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from functions import issues, me, org, settings, status

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(issues.bp)
app.register_functions(me.bp)
app.register_functions(org.bp)
app.register_functions(settings.bp)
app.register_functions(status.bp)
