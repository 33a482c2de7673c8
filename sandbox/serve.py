"""What the sandbox's process holds: one world, the two vendors in it, the sample data, and who may talk to them.

Rules that hold here:
- The product's registrations at the vendors are made from the product's own settings, so that both sides agree by themselves;
  outside scripts have a registration of their own at each vendor, so that nothing they do counts against the product's limits.
- `reset` puts the vendors back to the sample data. The product keeps its state and is not told: see docs/running.md.
- The world's clock and the product's clock file always say the same.

It must never be imported by the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.connect import REDIRECTS
from sandbox.frame import World
from sandbox.microsoft import Mailbox, Microsoft
from sandbox.salesforce import Salesforce
from sandbox.sample import Sample, User, load
from shared.access import tokens
from shared.core.keys import mailbox_key
from shared.ports import MailboxKey
from shared.settings import Settings

SCRIPTS = "sandbox-scripts"
SCRIPT_SCOPES = (
    "User.Read", "Mail.ReadWrite", "Mail-Advanced.ReadWrite", "Calendars.ReadWrite", "MailboxSettings.ReadWrite", "Mail.Send",
)  # fmt: skip
APP_PERMISSIONS = ("Mail.ReadWrite", "Calendars.ReadWrite", "MailboxSettings.ReadWrite", "User.Read.All")


class Sandbox:
    """One running sandbox. `addresses`: https origins of "world", "microsoft" and "salesforce", without a slash at the end."""

    def __init__(self, settings: Settings, addresses: Mapping[str, str], *, seed: int = 1, canaries: bool = False) -> None:
        self.settings, self.addresses = settings, addresses
        self._seed, self._canaries = seed, canaries
        self.world = World(seed)
        self.world.clock.advance(_seconds(settings.clock_file))
        self.microsoft = Microsoft(self.world, base_url=addresses["microsoft"])
        self.microsoft.ca_file = settings.ca_file or None
        self.salesforce = Salesforce(self.world, base_url=addresses["salesforce"])
        self.sample = self._filled()

    def reset(self) -> None:
        """The vendors as they were at the start, faults, switches, counts and outbox cleared; the clock stays."""
        world = self.world
        world.random.seed(self._seed)
        world.latency_s, world.notify_delay_s = 0.0, (0.0, 0.0)
        for kept in (world.rules, world.switches, world.outbox, world.violations, world.answers, world.validated, world.calls):
            kept.clear()
        self.microsoft.reset()
        self.salesforce.reset()
        self.sample = self._filled()

    def _filled(self) -> Sample:
        settings = self.settings
        redirects = {vendor: settings.public_url + path for vendor, path in REDIRECTS.items()}
        self.microsoft.add_tenant(settings.microsoft_tenant)
        sample = load(self.world, self.microsoft, self.salesforce, seed=self._seed, canaries=self._canaries)
        self.microsoft.add_client(
            settings.microsoft_client_id, settings.microsoft_client_secret, (redirects["microsoft"],), APP_PERMISSIONS
        )
        self.microsoft.add_client(SCRIPTS)
        self.salesforce.add_client(
            settings.salesforce_client_id,
            secret=settings.salesforce_client_secret or None,
            redirect_uris=(redirects["salesforce"],),
            jwt_public_key_pem=_public_key(settings.salesforce_jwt_key_file),
            pre_authorised=[user.username for user in sample.users if user.connection == "org"],
        )
        self.salesforce.add_client(SCRIPTS)
        return sample

    # --- people

    def mailbox(self, address: str) -> Mailbox:
        """Raises ValueError with a sentence for an address that no mailbox has."""
        found = self.microsoft.find_mailbox(address)
        if found is None:
            there = ", ".join(mailbox.address for mailbox in self.microsoft.mailboxes())
            raise ValueError(f"There is no mailbox {address or '(none named)'} here. There are: {there}.")
        return found

    def user(self, user: User) -> dict[str, str]:
        """One user with fresh tokens, in the form of `endpoints.json`."""
        now = self.world.clock.now()
        key = MailboxKey(mailbox_key(self.settings.install_secret, "microsoft", user.address))
        return {
            "mailbox": user.address,
            "vendor": "microsoft",
            "salesforce_connection": user.connection,
            "mailbox_token": self.microsoft.issue_token(user.address, SCRIPTS, SCRIPT_SCOPES)["access_token"],
            "salesforce_user_id": user.user_id,
            "salesforce_token": self.salesforce.issue_token(user.username, SCRIPTS, "api")["access_token"],
            "product_token": tokens.issue(self.settings, now, key),
        }

    def counts(self, user: User) -> dict[str, Any]:
        """{"mailbox", "mails", "saved"}: mails there, and mail records that this user wrote into the org."""
        records = self.salesforce.records
        rows = records.store.all("EmailMessage") if records.schema.find("EmailMessage") else ()
        saved = sum(1 for row in rows if row["CreatedById"] == user.user_id and not row["IsDeleted"])
        return {"mailbox": user.address, "mails": len(self.mailbox(user.address).messages()), "saved": saved}

    # --- time

    def advance(self, seconds: float) -> None:
        """Moves the world's time, and the product's with it. Raises ValueError for time that runs backwards."""
        if seconds < 0:
            raise ValueError("Time goes forward only: advance_s must not be negative.")
        self.world.clock.advance(seconds)
        if self.settings.clock_file:
            part = Path(self.settings.clock_file + ".part")
            part.write_text(str(self.world.clock.advanced.total_seconds()))
            part.replace(self.settings.clock_file)


def _seconds(clock_file: str) -> float:
    """What the clock file says at the start; 0 where there is none."""
    try:
        return float(Path(clock_file).read_text()) if clock_file else 0.0
    except (OSError, ValueError):
        return 0.0


def _public_key(private_key_file: str) -> str | None:
    """The public half of the product's JWT key, as an admin uploads it to the org."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    if not private_key_file:
        return None
    key = load_pem_private_key(Path(private_key_file).read_bytes(), password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
