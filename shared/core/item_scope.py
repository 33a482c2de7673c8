"""Is this event, contact or task ours, and on which terms. Pure; the answer is always a rule. The twin of `scope` for items.

Rules that hold here (behaviour.md 0.2 to 0.11, 2.1, S9 to S11, C2, C4):
- "Salesforce Unsync" beats every mark; a mark beats auto-saving, the internal filter and privacy, never a blocklist that leaves
  nobody, and never the window.
- By itself a mailbox's item is saved where the profile says so, the user made or accepted it, it was made after activation, is
  not private, and is not among colleagues alone. What stood on both sides before is paired, not made again.
- From the CRM comes what belongs to the user, was made after activation, lies in the window and is wanted (down-sync).
- What is linked stays ours while its mark stays, or while it never had one; outside the window it rests. A record that was the
  user's and was given to somebody else is ours no longer (behaviour.md C9).
- A change from the CRM that other people would be told of waits, and never reaches a meeting somebody else organises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core import fields as law
from shared.core.model import Facts, Item, Link, Seen, Side, Value
from shared.core.plan import FREE, Terms
from shared.core.profile import Profile
from shared.core.scope import UNSYNC, Filters

#: How far a window reaches, in days: single items back and ahead (24 months).
BACK_DAYS, AHEAD_DAYS = 14, 731
#: What of a private item nobody marked crosses where the profile says "busy_only": its times, under this subject.
BUSY = "Busy"
_SHOWN_BUSY: Mapping[str, Value] = {"subject": BUSY, "location": "", "description": "", "people": (), "answers": ()}
#: Every answer of this page: rule -> when it is given. docs/sync.md prints it.
RULES: Mapping[str, str] = {
    "skipped.unsync": 'has the category "Salesforce Unsync", whatever else is on it',
    "skipped.window": "lies outside the window (below)",
    "saved.marked": 'mailbox: has the category "Salesforce"',
    "skipped.blocked": "mailbox: everybody outside in it is on a blocklist (free mail: where it is blocked, unless marked)",
    "skipped.auto_off": "mailbox, not marked: saving such events by themselves is off",
    "skipped.private": "mailbox, not marked: private, and the profile keeps private items out",
    "skipped.declined": "mailbox, not marked: the user declined it",
    "skipped.not_accepted": "mailbox, not marked: somebody else's, and not accepted, not even tentatively",
    "skipped.internal": "mailbox, not marked: a meeting among colleagues alone",
    "skipped.before_activation": "made before the mailbox was connected, and nothing like it stands on the other side",
    "saved.auto": "mailbox, not marked: none of the rules above refuses it",
    "skipped.down_off": "Salesforce: bringing events down is off",
    "skipped.other_owner": "Salesforce: belongs to another user",
    "saved.crm": "Salesforce: none of the rules above refuses it",
    "unmarked": "linked: its mark was taken off; it rests until it is marked again",
    "kept.not_organizer": "linked, changed in Salesforce: somebody else organises it, so the mailbox keeps it",
    "kept.busy_only": "linked, changed in Salesforce: private, of which only the times are there",
    "kept.meeting": "linked, changed in Salesforce: a meeting, and the profile never changes those",
    "deleted.mail.past": "linked, deleted in the mailbox: long over, so it was cleared away; the record stays as what happened",
    "held.approval": "linked, changed in Salesforce: attendees would be told; waits for the user",
}
#: profile "meeting_changes" -> the rule by which a field that others see is kept back
KEPT = {"hold": "held.approval", "never": "kept.meeting"}


@dataclass(frozen=True)
class Judged:
    """`pair`: it is not taken by itself, but what stands on the other side already may be its pair."""

    save: bool
    rule: str
    pair: bool = False


@dataclass(frozen=True)
class Owner:
    """Whose items these are. `user`: the CRM user; `activated`: when the mailbox was connected (UTC)."""

    user: str
    activated: datetime


class ItemScope:
    """The rules of one mailbox at one time. `now` in UTC."""

    def __init__(self, owner: Owner, profile: Profile, filters: Filters, now: datetime) -> None:
        self._owner, self._profile, self._filters, self._now = owner, profile, filters, now

    def judged(self, side: Side, seen: Seen) -> Judged:
        """About an item that is linked to nothing."""
        assert seen.item is not None
        facts = seen.facts
        if facts.never:
            return Judged(False, facts.never)
        if UNSYNC in facts.marks:
            return Judged(False, "skipped.unsync")
        if rule := self._outside(seen.facts):
            return Judged(False, rule)
        if side == "crm":
            return self._from_crm(seen)
        if seen.marked:
            return Judged(False, "skipped.blocked") if self._all_blocked(facts) else Judged(True, "saved.marked")
        rule = self._automatic(seen.item, facts)
        if not rule and self._is_old(facts):
            return Judged(self._takes_all, "saved.auto" if self._takes_all else "skipped.before_activation", pair=True)
        return Judged(not rule, rule or "saved.auto")

    def rests(self, link: Link, seen: Seen) -> str:
        """Why a linked item of the mailbox is neither read nor written for the time being, or ""."""
        if rule := self._outside(seen.facts):
            return rule
        return "unmarked" if link.marked and not seen.marked else ""

    def is_over(self, link: Link) -> bool:
        """Whether it ended before the window: people and retention rules clear such items away, and nobody takes them back."""
        return 0 < link.over < (self._now - timedelta(days=BACK_DAYS)).timestamp()

    def unsynced(self, seen: Seen) -> bool:
        return UNSYNC in seen.facts.marks

    @property
    def user(self) -> str:
        """The CRM user whose items these are."""
        return self._owner.user

    def owns(self, crm: Seen) -> bool:
        return crm.facts.owner[:15] == self._owner.user[:15]

    def gave_away(self, link: Link, crm: Seen) -> bool:
        """Whether the record was the user's and is somebody else's now."""
        was_ours = bool(link.owner) and link.owner[:15] == self._owner.user[:15]
        return was_ours and bool(crm.facts.owner) and not self.owns(crm)

    def terms(self, link: Link, mail: Seen | None) -> Terms:
        """On which terms a linked pair is carried, as the mailbox's end is now."""
        if link.follows:
            return Terms(follows=True)
        if mail is None or mail.item is None:
            return FREE
        table = law.KINDS[link.kind]
        if not mail.facts.own:
            return Terms(waits={one.name: "kept.not_organizer" for one in table})
        waits: dict[str, str] = {}
        if mail.facts.shared and (rule := KEPT.get(self._profile["meeting_changes"], "")):
            waits = {one.name: rule for one in table if one.others_see}
        if self._busy_only(link, mail):
            waits |= dict.fromkeys(_SHOWN_BUSY, "kept.busy_only")
        return Terms(waits=waits)

    def shown(self, link: Link | None, mail: Seen) -> Seen:
        """The item as far as it crosses: a private one that nobody marked may show its times alone."""
        if mail.item is None or not self._busy_only(link, mail):
            return mail
        known = {name: value for name, value in _SHOWN_BUSY.items() if name in mail.item.fields or name == "subject"}
        values: Mapping[str, Value] = {**mail.item.fields, **known}
        return Seen(mail.id, mail.version, Item(mail.item.kind, values), mail.key, mail.marked, mail.facts)

    # the single questions

    @property
    def _takes_all(self) -> bool:
        return bool(self._profile["existing_items"] == "take")

    def _busy_only(self, link: Link | None, mail: Seen) -> bool:
        by_hand = mail.marked or (link is not None and link.marked)
        return _private(mail.item) and not by_hand and self._profile["private_items"] == "busy_only"

    def _outside(self, facts: Facts) -> str:
        past = facts.ends is not None and facts.ends < self._now - timedelta(days=BACK_DAYS)
        ahead = self._profile["occurrence_days"] if facts.group else AHEAD_DAYS
        far = facts.begins is not None and facts.begins > self._now + timedelta(days=ahead)
        return "skipped.window" if past or far else ""

    def _is_old(self, facts: Facts) -> bool:
        return facts.made is not None and facts.made < self._owner.activated

    def _from_crm(self, seen: Seen) -> Judged:
        facts = seen.facts
        if not self._profile["down_events"]:
            return Judged(False, "skipped.down_off")
        if facts.owner and not self.owns(seen):
            return Judged(False, "skipped.other_owner")
        if self._is_old(facts) and not self._takes_all:
            return Judged(False, "skipped.before_activation")
        return Judged(True, "saved.crm")

    def _automatic(self, item: Item, facts: Facts) -> str:
        """The first rule that refuses an item nobody marked, or "". What keeps it out for good comes before what only does not
        save it by itself: the former may not be paired either."""
        meeting = bool(facts.people)
        refusals = (
            ("skipped.private", _private(item) and self._profile["private_items"] == "none"),
            ("skipped.declined", facts.answer == "declined"),
            ("skipped.internal", meeting and all(self._filters.internal(address) for address, _ in facts.people)),
            ("skipped.blocked", meeting and not self._external(facts, by_hand=False)),
            ("skipped.not_accepted", not facts.own and facts.answer not in ("accepted", "tentative")),
            ("skipped.auto_off", not self._profile["auto_save_meetings" if meeting else "auto_save_appointments"]),
        )
        return next((rule for rule, refused in refusals if refused), "")

    def _external(self, facts: Facts, *, by_hand: bool) -> list[str]:
        addresses = [address for address, _ in facts.people if not self._filters.internal(address)]
        return [address for address in addresses if not self._filters.blocked(address, by_hand=by_hand)]

    def _all_blocked(self, facts: Facts) -> bool:
        outside = [address for address, _ in facts.people if not self._filters.internal(address)]
        return bool(outside) and not self._external(facts, by_hand=True)


def _private(item: Item | None) -> bool:
    return item is not None and item.fields.get("private") == "yes"
