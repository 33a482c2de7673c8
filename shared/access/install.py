"""What set-up makes once for an installation: the tenant's name and every secret. There is no default secret anywhere.

The answer is the part of the environment that `shared.settings` reads; files get mode 0600 and their folder 0700.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def new_install(folder: Path) -> dict[str, str]:
    """Makes the secrets of a new installation below `folder` and answers the settings that name them."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signing = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    vault, token_key = folder / "vault.key", folder / "tokens.pem"
    for path, content in ((vault, secrets.token_bytes(32)), (token_key, signing)):
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
    return {
        "MAILSPAN_TENANT": "".join(secrets.choice(_BASE32) for _ in range(12)),
        "MAILSPAN_INSTALL_SECRET": base64.b64encode(secrets.token_bytes(32)).decode(),
        "MAILSPAN_WEBHOOK_SECRETS": base64.b64encode(secrets.token_bytes(32)).decode(),
        "MAILSPAN_VAULT": f"file:{vault}",
        "MAILSPAN_SIGNING_KEY_FILE": str(token_key),
    }
