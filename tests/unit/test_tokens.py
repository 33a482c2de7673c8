"""The product's own tokens: what a forger, an old token or another deployment gets is a refusal, and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared.access.install import new_install
from shared.access.tokens import ROLES, Identity, SigningKeyMissing, TokenExpired, TokenRefused, issue, verify
from shared.ports import MailboxKey, Place, TenantId
from shared.settings import Settings, read

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MAILBOX = MailboxKey("k" * 26)
OTHERS = {
    "MAILSPAN_STORAGE": "account",
    "MAILSPAN_PUBLIC_URL": "https://sync.example.com",
    "MAILSPAN_MICROSOFT_TENANT": "t",
    "MAILSPAN_MICROSOFT_CLIENT_ID": "c",
    "MAILSPAN_MICROSOFT_CLIENT_SECRET": "s",
    "MAILSPAN_SALESFORCE_CLIENT_ID": "c",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return read({**new_install(tmp_path_factory.mktemp("install")), **OTHERS})


def signing_key(settings: Settings) -> Any:
    return serialization.load_pem_private_key(Path(settings.signing_key_file).read_bytes(), None)


def kid(settings: Settings) -> str:
    return str(jwt.get_unverified_header(issue(settings, NOW, MAILBOX))["kid"])


def claims(settings: Settings) -> dict[str, Any]:
    token = issue(settings, NOW, MAILBOX)
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def signed(settings: Settings, values: dict[str, Any], **header: str) -> str:
    """A token with these claims, signed with the deployment's real key: only the claims can be wrong."""
    return jwt.encode(values, signing_key(settings), algorithm="ES256", headers={"kid": kid(settings), **header})


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("role", ROLES)
def test_a_token_proves_tenant_mailbox_and_role_and_leads_to_the_mailboxs_own_place(settings: Settings, role: Any) -> None:
    found = verify(settings, NOW, issue(settings, NOW, MAILBOX, role))
    assert found == Identity(settings.tenant, MAILBOX, role)
    assert found.place == Place("state", settings.tenant, "mailbox", MAILBOX)


def test_the_claims_are_the_ones_the_design_names(settings: Settings) -> None:
    began = int(NOW.timestamp())
    assert claims(settings) == {
        "iss": "https://sync.example.com",
        "aud": "api",
        "sub": MAILBOX,
        "tenant": settings.tenant,
        "role": "user",
        "iat": began,
        "exp": began + 900,
    }
    header = jwt.get_unverified_header(issue(settings, NOW, MAILBOX))
    assert (header["alg"], len(header["kid"])) == ("ES256", 43)


def test_a_token_is_good_for_fifteen_minutes_of_the_products_clock(settings: Settings) -> None:
    token = issue(settings, NOW, MAILBOX)
    assert verify(settings, NOW + timedelta(seconds=899), token).mailbox == MAILBOX
    with pytest.raises(TokenExpired) as refused:
        verify(settings, NOW + timedelta(seconds=900), token)
    assert refused.value.code == "token.expired"


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "tenant", "role", "iat", "exp"])
def test_a_token_without_one_of_its_claims_is_refused(settings: Settings, missing: str) -> None:
    values = claims(settings)
    assert verify(settings, NOW, signed(settings, values)).mailbox == MAILBOX
    del values[missing]
    with pytest.raises(TokenRefused):
        verify(settings, NOW, signed(settings, values))


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "foreign issuer": {"iss": "https://other.example.com"},
    "issuer with a slash more": {"iss": "https://sync.example.com/"},
    "wrong audience": {"aud": "sidebar"},
    "audience among others": {"aud": ["api", "other"]},
    "other tenant": {"tenant": "othertenant2"},
    "unknown role": {"role": "root"},
    "no mailbox": {"sub": ""},
    "a number for a mailbox": {"sub": 1},
    "an end that is text": {"exp": "2099-01-01"},
    "an end that is a truth": {"exp": True},
    "an end without end": {"exp": float("inf")},
}


@pytest.mark.parametrize("case", WRONG_CLAIMS)
def test_a_token_with_a_wrong_claim_is_refused_though_its_signature_is_right(settings: Settings, case: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        verify(settings, NOW, signed(settings, claims(settings) | WRONG_CLAIMS[case]))
    assert refused.value.code == "token.refused"


def unsigned(settings: Settings) -> str:
    return f"{part({'alg': 'none', 'kid': kid(settings)})}.{part(claims(settings))}."


def hmac_with_the_public_key(settings: Settings) -> str:
    pem = signing_key(settings).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    text = f"{part({'alg': 'HS256', 'kid': kid(settings)})}.{part(claims(settings))}"
    made = hmac.HMAC(pem, hashes.SHA256())
    made.update(text.encode())
    return f"{text}.{base64.urlsafe_b64encode(made.finalize()).rstrip(b'=').decode()}"


def foreign_key(settings: Settings) -> str:
    return jwt.encode(claims(settings), ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": kid(settings)})


def rsa_key(settings: Settings) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims(settings), key, "RS256", {"kid": kid(settings)})


def changed_role(settings: Settings) -> str:
    head, _, tail = issue(settings, NOW, MAILBOX).split(".")
    return f"{head}.{part(claims(settings) | {'role': 'admin'})}.{tail}"


FORGERIES: dict[str, Callable[[Settings], str]] = {
    "unsigned": unsigned,
    "HS256 keyed with the public key": hmac_with_the_public_key,
    "signed by somebody else": foreign_key,
    "signed with RSA": rsa_key,
    "claims changed after signing": changed_role,
    "another key's name": lambda settings: signed(settings, claims(settings), kid="other"),
    "no signature": lambda settings: issue(settings, NOW, MAILBOX).rpartition(".")[0] + ".",
    "nothing": lambda settings: "",
    "no token": lambda settings: "a.b.c",
    "not ASCII": lambda settings: "ü.ü.ü",
}


@pytest.mark.parametrize("case", FORGERIES)
def test_a_forged_token_is_refused(settings: Settings, case: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        verify(settings, NOW, FORGERIES[case](settings))
    assert refused.value.code == "token.refused"


def test_another_installation_refuses_our_token_even_at_the_same_address_and_tenant(settings: Settings, tmp_path: Path) -> None:
    other = read({**new_install(tmp_path), **OTHERS, "MAILSPAN_TENANT": settings.tenant})
    with pytest.raises(TokenRefused):
        verify(other, NOW, issue(settings, NOW, MAILBOX))
    elsewhere = replace(settings, tenant=TenantId("othertenant2"))
    with pytest.raises(TokenRefused):
        verify(elsewhere, NOW, issue(settings, NOW, MAILBOX))


@pytest.mark.parametrize("content", [None, b"", b"no key", "p384", "rsa"])
def test_without_a_p256_key_nothing_is_issued_and_nothing_verified(settings: Settings, tmp_path: Path, content: Any) -> None:
    keys: dict[Any, Callable[[], Any]] = {
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    file = tmp_path / "key.pem"
    if content in keys:
        content = keys[content]().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    if content is not None:
        file.write_bytes(content)
    without = replace(settings, signing_key_file=str(file))
    with pytest.raises(SigningKeyMissing):
        issue(without, NOW, MAILBOX)
    with pytest.raises(SigningKeyMissing):
        verify(without, NOW, issue(settings, NOW, MAILBOX))
