"""The refusals of Salesforce sign-in in its own words, as one table, and the pages a person sees.

Rules that hold here: `raise SignInRefused(name)`; codes and words stand in the table and nowhere else. What came with a
request is escaped. The pages work without script, so that a test can post the form's fields by itself.

It must never be answered in the array form of the REST API: OAuth errors are one object.

Source: Salesforce Help, "OAuth Authorization Flows" and "OAuth Error Codes"; RFC 6749, section 5.2.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

#: name -> (status, error, description)
REFUSALS: Mapping[str, tuple[int, str, str]] = {
    "client": (400, "invalid_client_id", "client identifier invalid"),
    "secret": (400, "invalid_client", "invalid client credentials"),
    "redirect": (400, "redirect_uri_mismatch", "redirect_uri must match configuration"),
    "response_type": (400, "unsupported_response_type", "response type not supported"),
    "grant_type": (400, "unsupported_grant_type", "grant type not supported"),
    "missing": (400, "invalid_request", "missing required parameter"),
    "declined": (400, "access_denied", "end-user denied authorization"),
    "immediate": (400, "immediate_unsuccessful", "interaction required"),
    "challenge": (400, "invalid_request", "invalid code challenge"),
    "no_challenge": (400, "invalid_request", "missing required code challenge"),
    "code": (400, "invalid_grant", "expired authorization code"),
    "verifier": (400, "invalid_grant", "invalid code verifier"),
    "refresh": (400, "invalid_grant", "expired access/refresh token"),
    "ip_restricted": (400, "invalid_grant", "ip restricted"),
    "inactive": (400, "invalid_grant", "inactive user"),
    "not_approved": (400, "invalid_grant", "user hasn't approved this consumer"),
    "assertion": (400, "invalid_grant", "invalid assertion"),
    "audience": (400, "invalid_grant", "audience is invalid"),
    "assertion_expired": (400, "invalid_grant", "expired authorization code"),
    "token": (400, "invalid_token", "invalid token"),
    "unsupported_token": (400, "unsupported_token_type", "this token type is not supported"),
}


class SignInRefused(Exception):
    def __init__(self, name: str) -> None:
        self.name = name
        self.status, self.error, self.text = REFUSALS[name]
        super().__init__(f"{self.error}: {self.text}")

    def body(self) -> dict[str, Any]:
        return {"error": self.error, "error_description": self.text}


def sent_back(asked: Mapping[str, str], values: Mapping[str, str]) -> str:
    """The address back to the app, with its `state`."""
    values = {**values, **({"state": asked["state"]} if "state" in asked else {})}
    target = asked["redirect_uri"]
    return f"{target}{'&' if '?' in target else '?'}{urlencode(values)}"


def form(asked: Mapping[str, str], users: Sequence[tuple[str, str]]) -> str:
    """One button per (username, name); a script posts the same fields with `username`."""
    hint = asked.get("login_hint", "").lower()
    fields = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">' for name, value in asked.items()
    )
    ordered = sorted(users, key=lambda user: user[0].lower() != hint)
    buttons = "".join(_button("username", username, f"{name} ({username})") for username, name in ordered)
    decline = _button("decline", "1", "Deny")
    scope = html.escape(asked.get("scope") or "everything the app may ask for")
    return page(
        "Sandbox sign-in: choose the Salesforce user the app may act for.",
        f'<p>It asks for: {scope}</p><form method="post" action="authorize">{fields}{buttons}{decline}</form>',
    )


def page(sentence: str, more: str = "") -> str:
    return f"<!doctype html><html lang='en'><title>Sandbox sign-in</title><h1>{html.escape(sentence)}</h1>{more}</html>"


def _button(name: str, value: str, shown: str) -> str:
    return f'<p><button name="{name}" value="{html.escape(value)}">{html.escape(shown)}</button></p>'
