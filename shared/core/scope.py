"""Is this mail ours, and why. Pure; the answer is always a rule, never just yes or no.

Rules that hold here: "Salesforce Unsync" beats every mark; a mark beats auto-saving but never the internal filter and
the blocklists (one external, unblocked address is enough); what lies in Drafts, Junk or Deleted Items is never saved.
Source: behaviour.md 0.2, 0.11, S7, S8, E1, E5, E6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

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


@dataclass(frozen=True)
class Verdict:
    """`rule` is the ledger's code; `external` are the addresses that count for matching, in the given order."""

    save: bool
    rule: str
    external: tuple[str, ...] = ()
    by_hand: bool = False


@dataclass(frozen=True)
class Place:
    """Where a mail lies: `role` is inbox, sentitems, drafts, junkemail, deleteditems, outbox or "" for any other folder;
    `marked_folder` = in "Salesforce Emails" or below it."""

    role: str
    marked_folder: bool = False


def in_domains(address: str, entries: Iterable[str]) -> bool:
    """Whether an entry is the address itself, its domain, or a domain above it. All lower case."""
    domain = address.rpartition("@")[2]
    return any(address == e or domain == e or domain.endswith("." + e) for e in (entry.lstrip("@") for entry in entries))


class Filters:
    """The internal filter and the three blocklist layers of one mailbox, ready to ask. Addresses in lower case."""

    def __init__(self, profile: Profile, own_addresses: Iterable[str]) -> None:
        self._internal = frozenset(entry.lower() for entry in profile["internal_domains"])
        self._own = frozenset(address.lower() for address in own_addresses)
        allowed = {entry.lower() for entry in profile["user_allowed"]}
        company = {entry.lower() for entry in profile["blocklist"]} - allowed
        self._blocked = frozenset(company | {entry.lower() for entry in profile["user_blocklist"]})
        self._free_mail = FREE_MAIL if profile["block_free_mail"] else frozenset()

    def internal(self, address: str) -> bool:
        return address in self._own or in_domains(address, self._internal)

    def blocked(self, address: str, *, by_hand: bool) -> bool:
        return in_domains(address, self._blocked) or (not by_hand and in_domains(address, self._free_mail))


def judge(
    *,
    addresses: tuple[str, ...],
    categories: tuple[str, ...],
    place: Place,
    draft: bool,
    meeting: bool,
    received: datetime,
    activated: datetime,
    profile: Profile,
    filters: Filters,
) -> Verdict:
    """The rule for one mail before anybody is matched. `addresses`: From, To, Cc (and Bcc where the profile says so)."""
    if UNSYNC in categories:
        return Verdict(False, "skipped.unsync")
    if draft:
        return Verdict(False, "skipped.draft")
    if refused := NEVER.get(place.role):
        return Verdict(False, refused)
    by_hand = MARK in categories or place.marked_folder
    if not by_hand and (refused := _automatic(place, meeting, received, activated, profile)):
        return Verdict(False, refused)
    outside = tuple(address for address in addresses if not filters.internal(address))
    if not outside:
        return Verdict(False, "skipped.internal", by_hand=by_hand)
    external = tuple(address for address in outside if not filters.blocked(address, by_hand=by_hand))
    if not external:
        return Verdict(False, "skipped.blocked", by_hand=by_hand)
    return Verdict(True, "saved.marked" if by_hand else "saved.auto", external, by_hand)


def _automatic(place: Place, meeting: bool, received: datetime, activated: datetime, profile: Profile) -> str:
    covered = {"inbox": ("both", "inbox"), "sentitems": ("both", "sent")}.get(place.role)
    if covered is None:
        return "skipped.not_marked"
    if not profile["auto_save_mail"] or profile["auto_save_folders"] not in covered:
        return "skipped.auto_off"
    if meeting:
        return "skipped.meeting"
    if received < activated - timedelta(days=profile["look_back_days"]):
        return "skipped.look_back"
    return ""
