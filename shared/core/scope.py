"""Is this mail ours, and why. Pure; the answer is always a rule, never just yes or no.

Rules that hold here: "Salesforce Unsync" beats every mark; a mark beats auto-saving but never the internal filter and
the blocklists (one external, unblocked address is enough); what lies in Drafts, Junk or Deleted Items is never saved; private
mail and invitations are saved by hand only. Every case is a row of tests/system/matching.csv.
Source: behaviour.md 0.2, 0.5, 0.11, S7, S8, S16, E1, E5, E6, M1, M6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core.mail import Mail
from shared.core.match import Links, Role, participants_of
from shared.core.profile import Profile

MARK = "Salesforce"
UNSYNC = "Salesforce Unsync"
ERROR_MARK = "Sync Error"
FOLDER = "Salesforce Emails"

#: Domains that anyone can have an address at (behaviour.md E6, third layer). Own list of the widely known ones.
FREE_MAIL = frozenset(
    "gmail.com googlemail.com yahoo.com yahoo.co.uk yahoo.de yahoo.fr ymail.com outlook.com hotmail.com hotmail.co.uk "
    "live.com msn.com icloud.com me.com mac.com aol.com gmx.com gmx.net gmx.de web.de t-online.de mail.com proton.me "
    "protonmail.com zoho.com yandex.com yandex.ru mail.ru qq.com 163.com 126.com orange.fr free.fr libero.it "
    "wanadoo.fr laposte.net comcast.net verizon.net att.net fastmail.com tutanota.com hey.com".split()
)

#: Where a mail lies decides before anything else: folder role -> the rule that refuses.
NEVER = {
    "drafts": "skipped.draft",
    "junkemail": "skipped.junk",
    "deleteditems": "skipped.deleted",
    "outbox": "skipped.draft",
}


#: By which value of "auto_save_folders" mail in this folder is saved by itself. Other folders: by none.
COVERED = {"inbox": ("both", "inbox"), "sentitems": ("both", "sent")}


@dataclass(frozen=True)
class Verdict:
    """`rule` is the ledger's code."""

    save: bool
    rule: str
    by_hand: bool = False


@dataclass(frozen=True)
class Parties:
    """Who takes part in a mail, in its order. `external` are the addresses that count; `blocked` and `internal` the others."""

    everybody: tuple[tuple[str, Role], ...]
    external: tuple[str, ...]
    blocked: frozenset[str]
    internal: frozenset[str]


def in_domains(address: str, entries: Iterable[str]) -> bool:
    """Whether an entry is the address itself, its domain, or a domain above it. All lower case."""
    domain = address.rpartition("@")[2]
    return any(address == e or domain == e or domain.endswith("." + e) for e in (entry.lstrip("@") for entry in entries))


class Filters:
    """The internal filter and the three blocklist layers of one mailbox, ready to ask. Addresses in lower case."""

    def __init__(self, profile: Profile, own_addresses: Iterable[str]) -> None:
        own = [address.lower() for address in own_addresses]
        # the company's domains, and at least that of the mailbox itself, so that every copy of a mail is judged alike
        home = {own[0].rpartition("@")[2]} - FREE_MAIL if own else set()
        self._internal = frozenset(entry.lower() for entry in profile["internal_domains"]) | home
        self._own = frozenset(own)
        allowed = {entry.lower() for entry in profile["user_allowed"]}
        company = {entry.lower() for entry in profile["blocklist"]} - allowed
        self._blocked = frozenset(company | {entry.lower() for entry in profile["user_blocklist"]})
        self._free_mail = FREE_MAIL if profile["block_free_mail"] else frozenset()

    def internal(self, address: str) -> bool:
        """Also what reaches the mailbox under one of its own addresses with a plus and more before the at sign (RFC 5233)."""
        name, _, domain = address.partition("@")
        own = f"{name.partition('+')[0]}@{domain}"
        return not self._own.isdisjoint((address, own)) or in_domains(address, self._internal)

    def blocked(self, address: str, *, by_hand: bool) -> bool:
        """An internal address is never blocked: it is kept out by being internal, and its User may still be linked."""
        listed = in_domains(address, self._blocked) or (not by_hand and in_domains(address, self._free_mail))
        return listed and not self.internal(address)


def judge(mail: Mail, *, activated: datetime, profile: Profile, filters: Filters) -> Verdict:
    """The rule for one mail before anybody is matched. `activated`: when its mailbox was connected, aware."""
    if refused := _never(mail):
        return Verdict(False, refused)
    by_hand = MARK in mail.categories or mail.marked_folder
    if not by_hand and (refused := _automatic(mail, activated, profile)):
        return Verdict(False, refused)
    parties = parties_of(mail, profile, filters, by_hand=by_hand)
    if not parties.external:
        return Verdict(False, "skipped.blocked" if parties.blocked else "skipped.internal", by_hand)
    return Verdict(True, "saved.marked" if by_hand else "saved.auto", by_hand)


def parties_of(mail: Mail, profile: Profile, filters: Filters, *, by_hand: bool) -> Parties:
    """Also of a mail that is not to be saved: a record of it that stands already is completed all the same."""
    everybody = tuple(participants_of(mail, profile))
    addresses = [address for address, _ in everybody]
    internal = frozenset(address for address in addresses if filters.internal(address))
    blocked = frozenset(address for address in addresses if filters.blocked(address, by_hand=by_hand))
    external = tuple(address for address in addresses if address not in internal | blocked)
    return Parties(everybody, external, blocked, internal)


def refused_after_match(verdict: Verdict, links: Links, profile: Profile) -> str:
    """The rule that refuses a mail which `judge` would save, now that it is known who is matched, or ""."""
    if verdict.by_hand or links.found or profile["save_unmatched"]:
        return ""
    return "skipped.unmatched"


def incoming(mail: Mail, filters: Filters) -> bool:
    """Whether the mail came from outside. Where it lies says nothing: every copy of it must give the same answer."""
    return mail.sender is None or not filters.internal(mail.sender.address)


def _never(mail: Mail) -> str:
    if UNSYNC in mail.categories:
        return "skipped.unsync"
    return "skipped.draft" if mail.draft else NEVER.get(mail.role, "")


def _automatic(mail: Mail, activated: datetime, profile: Profile) -> str:
    """The first rule that refuses a mail nobody marked, or ""."""
    first_day = activated - timedelta(days=profile["look_back_days"])
    refusals = (
        ("skipped.not_marked", mail.role not in COVERED),
        ("skipped.auto_off", not profile["auto_save_mail"] or profile["auto_save_folders"] not in COVERED.get(mail.role, ())),
        ("skipped.meeting", mail.meeting),
        ("skipped.private", mail.private and profile["private_items"] != "full"),
        ("skipped.look_back", mail.received < first_day),
    )
    return next((rule for rule, refused in refusals if refused), "")
