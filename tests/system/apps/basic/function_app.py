"""A small app that uses every kind of trigger and output the product uses. What it saw goes to the file SEEN names; what is
gated goes on when the file GATE names is there."""

import json
import os
import time
import typing
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
bp = func.Blueprint()


def saw(**values: object) -> None:
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write(json.dumps(values) + "\n")


def gated(what: str) -> None:
    saw(began=what)
    end = time.monotonic() + 25
    while not Path(os.environ["GATE"]).exists():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
    saw(ended=what)


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


@bp.route("fail/later", methods=["GET"])
async def fail_later(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("on purpose")


@bp.route("repeated", methods=["GET"])
def repeated(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps([req.headers.get("X-Tag"), req.params.get("tag")]))


@bp.route("gated", methods=["GET"])
def gated_request(req: func.HttpRequest) -> func.HttpResponse:
    gated("http")
    return func.HttpResponse("done")


@bp.route("locked", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def locked(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("open")


@bp.route("enqueue", methods=["POST"])
@bp.queue_output(arg_name="out", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
def enqueue(req: func.HttpRequest, out: func.Out[typing.List[str]]) -> func.HttpResponse:
    out.set(json.loads(req.get_body()))
    return func.HttpResponse(status_code=202)


@bp.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
@bp.queue_output(arg_name="out", queue_name="elsewhere", connection="AzureWebJobsStorage")
def work(msg: func.QueueMessage, out: func.Out[str]) -> None:
    text = msg.get_body().decode()
    saw(queue=text, count=msg.dequeue_count)
    if text == "large":
        out.set("x" * 100_000)
    if text == "gated":
        gated("queue")
    if text == "poison":
        raise ValueError("on purpose")


@bp.queue_trigger(arg_name="msg", queue_name="%QUEUE%-asked", connection="AzureWebJobsStorage")
@bp.queue_output(arg_name="$return", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
def pass_on(msg: func.QueueMessage) -> str:
    return msg.get_body().decode()


@bp.queue_trigger(arg_name="msg", queue_name="%QUEUE%-poison", connection="AzureWebJobsStorage")
def poison(msg: func.QueueMessage) -> None:
    saw(poison=msg.get_body().decode())


@bp.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
def tick(timer: func.TimerRequest) -> None:
    saw(timer=timer.past_due)
    if "GATE" in os.environ:
        gated("timer")


app.register_functions(bp)
