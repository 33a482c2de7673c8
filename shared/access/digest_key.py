"""The tenant's digest key: what turns a value into the digest that stands for it in links (design section 3).

Rules that hold here: made once, by whoever needs it first; sealed by the vault under the tenant's name, and never changed, for
a changed one would make every item look edited. Where it cannot be opened nothing is synced: guessing would cost edits.
"""

from __future__ import annotations

import base64
import contextlib
import secrets

from shared.access.seal import seal, unseal
from shared.core.errors import RowExists
from shared.ports import Insert, LinkStore, Place, TenantId, Vault
from shared.session import records

ROW = "digest_key"


def digest_key(store: LinkStore, vault: Vault, tenant: TenantId) -> bytes:
    """32 bytes, the same in every process. Raises SealBroken, and what store and vault raise."""
    place, purpose = Place("state", tenant, "tenant", "keys"), (tenant, ROW)
    if store.get(place, ROW) is None:
        fresh = base64.b64encode(secrets.token_bytes(32)).decode()
        with contextlib.suppress(RowExists):
            store.commit(place, [Insert(ROW, records.row(sealed=seal(vault, purpose, fresh)))])
    row = store.get(place, ROW)
    if row is None:
        raise LookupError(ROW)
    return base64.b64decode(unseal(vault, purpose, records.read(row)["sealed"]))
