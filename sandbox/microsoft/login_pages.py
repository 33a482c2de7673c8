"""What sign-in shows in a browser: the page to choose a mailbox, and the ways back to the app.

Rules that hold here: everything that came with a request is escaped; the pages work without script, so that a test can post the
form's fields by itself. Source: learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow (response_mode).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from aiohttp import web

from sandbox.microsoft.mailbox import Mailbox


def sent_back(asked: Mapping[str, str], values: Mapping[str, str]) -> web.Response:
    """The way back to the app: query, fragment or form_post, with its `state`."""
    values = {**values, **({"state": asked["state"]} if "state" in asked else {})}
    target, mode = asked["redirect_uri"], asked.get("response_mode", "query")
    if mode == "form_post":
        fields = "".join(_hidden(name, value) for name, value in values.items())
        form = f'<form method="post" action="{html.escape(target)}">{fields}<button>Continue</button></form>'
        return web.Response(
            text=page("Signed in.", form + "<script>document.forms[0].submit()</script>"), content_type="text/html"
        )
    joint = "#" if mode == "fragment" else "&" if "?" in target else "?"
    return web.Response(status=302, headers={"Location": f"{target}{joint}{urlencode(values)}"})


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'


def form(asked: Mapping[str, str], mailboxes: Sequence[Mailbox]) -> str:
    """One button per mailbox; a script posts the same fields with `mailbox`."""
    hint = asked.get("login_hint", "").lower()
    mailboxes = sorted(mailboxes, key=lambda box: box.address.lower() != hint)
    fields = "".join(_hidden(name, value) for name, value in asked.items())
    buttons = "".join(_button("mailbox", box.address, f"{box.name} ({box.address})") for box in mailboxes)
    decline = _button("decline", "1", "Decline")
    scopes = "".join(f"<li>{html.escape(scope)}</li>" for scope in asked["scope"].split())
    return page(
        "Sandbox sign-in: choose the mailbox the app may use.",
        f'<p>It asks for:</p><ul>{scopes}</ul><form method="post" action="authorize">{fields}{buttons}{decline}</form>',
    )


def page(sentence: str, more: str = "") -> str:
    return f"<!doctype html><html lang='en'><title>Sandbox sign-in</title><h1>{html.escape(sentence)}</h1>{more}</html>"


def _button(name: str, value: str, shown: str) -> str:
    return f'<p><button name="{name}" value="{html.escape(value)}">{html.escape(shown)}</button></p>'
