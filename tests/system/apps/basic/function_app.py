"""A small app that uses every kind of trigger and output the product uses. What it saw goes to the file SEEN names."""

import json
import os
import typing
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
bp = func.Blueprint()


def saw(**values: object) -> None:
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write(json.dumps(values) + "\n")


@bp.route("echo/{name:alpha}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    given = {"name": req.route_params["name"], "q": req.params.get("q"), "body": req.get_body().decode("latin-1")}
    return func.HttpResponse(json.dumps(given), mimetype="application/json", headers={"X-Seen": "yes"})


@bp.route("echo/literal", methods=["GET"])
async def literal(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("literal")
    response.headers["Set-Cookie"] = "seen=yes; Path=/; HttpOnly"
    return response


@bp.route("fail", methods=["GET"])
def fail(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("on purpose")


@bp.route("locked", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def locked(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("open")


@bp.route("enqueue", methods=["POST"])
@bp.queue_output(arg_name="out", queue_name="work", connection="AzureWebJobsStorage")
def enqueue(req: func.HttpRequest, out: func.Out[typing.List[str]]) -> func.HttpResponse:
    out.set(json.loads(req.get_body()))
    return func.HttpResponse(status_code=202)


@bp.queue_trigger(arg_name="msg", queue_name="work", connection="AzureWebJobsStorage")
@bp.queue_output(arg_name="out", queue_name="elsewhere", connection="AzureWebJobsStorage")
def work(msg: func.QueueMessage, out: func.Out[str]) -> None:
    text = msg.get_body().decode()
    saw(queue=text, count=msg.dequeue_count)
    if text == "large":
        out.set("x" * 100_000)
    if text == "poison":
        raise ValueError("on purpose")


@bp.queue_trigger(arg_name="msg", queue_name="work-poison", connection="AzureWebJobsStorage")
def poison(msg: func.QueueMessage) -> None:
    saw(poison=msg.get_body().decode())


@bp.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
def tick(timer: func.TimerRequest) -> None:
    saw(timer=timer.past_due)


app.register_functions(bp)
