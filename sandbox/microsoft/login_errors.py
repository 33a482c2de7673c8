"""The refusals of Entra sign-in in its own words, as one table.

Rules that hold here: `raise Refused(name, what)`; numbers and words stand in the table and nowhere else. The names in
`FAULTS` are also kinds of `World.fault("microsoft-login", ...)`: the next redemption of a code or a refresh token ends so.
Source: learn.microsoft.com/entra/identity-platform/reference-error-codes.
"""

from __future__ import annotations

from collections.abc import Mapping

#: name -> (status, OAuth error, AADSTS number, words)
REFUSALS: Mapping[str, tuple[int, str, int, str]] = {
    "tenant": (400, "invalid_request", 90002, "Tenant '{what}' not found. Check to make sure you have the correct tenant ID."),
    "client": (400, "unauthorized_client", 700016, "Application with identifier '{what}' was not found in the directory."),
    "redirect": (
        400,
        "invalid_request",
        50011,
        ("The redirect URI '{what}' specified in the request does not match the redirect URIs configured for the application."),
    ),
    "missing": (400, "invalid_request", 900144, "The request body must contain the following parameter: '{what}'."),
    "response_type": (400, "unsupported_response_type", 700054, "response_type '{what}' is not enabled for the application."),
    "declined": (400, "access_denied", 65004, "User declined to consent to access the app."),
    "interaction": (400, "interaction_required", 50058, "A silent sign-in request was sent but no user is signed in."),
    "no_user": (400, "invalid_grant", 50034, "The user account {what} does not exist in the directory."),
    "secret": (401, "invalid_client", 7000215, "Invalid client secret provided."),
    "no_secret": (
        401,
        "invalid_client",
        7000218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    "public_secret": (
        401,
        "invalid_client",
        700025,
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    "grant_type": (400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '{what}'."),
    "bad_grant": (400, "invalid_grant", 9002313, "Invalid request. Request is malformed or invalid."),
    "code_used": (
        400,
        "invalid_grant",
        54005,
        (
            "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an "
            "existing refresh token."
        ),
    ),
    "code_expired": (
        400,
        "invalid_grant",
        70008,
        "The provided authorization code or refresh token has expired due to inactivity.",
    ),
    "code_redirect": (
        400,
        "invalid_grant",
        500112,
        ("The reply address '{what}' does not match the reply address provided when requesting Authorization code."),
    ),
    "verifier": (
        400,
        "invalid_grant",
        501481,
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    "other_client": (400, "invalid_grant", 70000, "Provided grant is invalid or malformed."),
    "refresh_expired": (400, "invalid_grant", 700082, "The refresh token has expired due to inactivity."),
    "revoked": (
        400,
        "invalid_grant",
        50173,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
    ),
    "consent": (
        400,
        "invalid_grant",
        65001,
        "The user or administrator has not consented to use the application. Send an interactive authorization request.",
    ),
    "mfa": (
        400,
        "invalid_grant",
        50076,
        "Due to a configuration change, you must use multi-factor authentication to access the resource.",
    ),
    "policy": (
        400,
        "invalid_grant",
        53003,
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    "replaced": (400, "invalid_grant", 70000, "The provided value for the 'refresh_token' parameter is not valid."),
    "scope": (
        400,
        "invalid_scope",
        70011,
        "The provided value for the input parameter 'scope' is not valid. The scope {what} is not valid.",
    ),
    "not_default": (
        400,
        "invalid_scope",
        1002012,
        (
            "The provided value for scope {what} is not valid. Client credential flows must have a scope value "
            "with /.default suffixed to the resource identifier."
        ),
    ),
}


FAULTS = ("refresh_expired", "revoked", "consent", "mfa", "policy")


class Refused(Exception):
    def __init__(self, name: str, what: object = "") -> None:
        self.status, self.error, self.number, words = REFUSALS[name]
        self.text = f"AADSTS{self.number}: {words.format(what=what)}"
        super().__init__(self.text)
