"""A small app with a short functionTimeout and a function that runs over it. What it saw goes to the file SEEN names."""

import os
import time
import uuid
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
WORKER = str(uuid.uuid4())


@app.route("worker", methods=["GET"])
def worker(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(WORKER)


@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="out", queue_name="%QUEUE%-done", connection="AzureWebJobsStorage")
def stuck(msg: func.QueueMessage, out: func.Out[str]) -> None:
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write('{"began": true}\n')
    while not Path(os.environ["GATE"]).exists():
        time.sleep(0.01)
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write('{"ended": true}\n')
    out.set("done")


@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%-poison", connection="AzureWebJobsStorage")
def poison(msg: func.QueueMessage) -> None:
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write('{"poison": true}\n')
