"""Every setting once: name, kind, default, range. `docs/sync.md` prints the same table and a test compares the two.

Resolution is tenant < profile < user: a later layer wins unless an earlier one says `force`. A stored layer is
{name: {"value": ..., "mode": "force" | "allow"}}; a bare value means allow. Unknown names and values out of range are
ignored on reading (an older code must be able to run on a newer row) and refused on writing (`checked`).
Source: behaviour.md 0, 1.1, 1.2, 2.3, 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["switch", "number", "choice", "list"]


@dataclass(frozen=True)
class Setting:
    """One setting. `low`/`high` bound a number (both included), `choices` bound a choice; `seed` is the name admins know."""

    name: str
    kind: Kind
    default: Any
    text: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    seed: str = ""


SETTINGS: tuple[Setting, ...] = (
    Setting("auto_save_mail", "switch", True, "Save mail with matched people by itself", seed="Auto-saving of emails"),
    Setting("auto_save_folders", "choice", "both", "Where mail is saved by itself", choices=("both", "inbox", "sent")),
    Setting("save_unmatched", "switch", False, "Save by itself also where nobody matches",
            seed="SalesforceEmailAutoTrackIncludingNotShared"),
    Setting("look_back_days", "number", 6, "Days before activation that are saved by themselves", low=0, high=365),
    Setting("private_items", "choice", "none", "Private items nobody marked: out, as busy (mail: out), or whole",
            choices=("none", "busy_only", "full")),
    Setting("save_body", "choice", "full", "What of the text is written to Salesforce", choices=("full", "none"),
            seed="SalesforceEmailSafeDescriptionSync"),
    Setting("save_bcc", "switch", False, "Write and match Bcc recipients"),
    Setting("internal_domains", "list", (), "The company's own mail domains"),
    Setting("blocklist", "list", (), "Addresses and domains never saved (company)", seed="ServiceAutoTrackBlackList"),
    Setting("user_blocklist", "list", (), "Addresses and domains never saved (own)"),
    Setting("user_allowed", "list", (), "Company entries the user took out of the own list"),
    Setting("block_free_mail", "switch", False, "Treat free-mail domains as blocked when saving by itself"),
    Setting("link_opportunities", "switch", True, "Relate mail to the newest open opportunity", seed="Link to Opportunities"),
    Setting("link_files", "switch", True, "Link attachments to the related record too",
            seed="SalesforceEmailLinkContentToBusinessObject"),
    Setting("save_attachments", "switch", True, "Save attachments as Files"),
    Setting("attachment_max_mb", "number", 25, "Largest attachment that is saved, in MB", low=1, high=150),
    Setting("clones", "switch", True, "Allow a copy of a mail for each further record",
            seed="Allow creating email duplicates in Salesforce"),
    Setting("auto_save_meetings", "switch", True, "Save meetings with somebody outside by themselves",
            seed="Auto-saving of events"),
    Setting("auto_save_appointments", "switch", False, "Save events without attendees by themselves",
            seed="appointment auto-sharing"),
    Setting("down_events", "switch", True, "Bring the user's Salesforce events into the calendar"),
    Setting("existing_items", "choice", "adopt", "What stood before activation: pair what is on both sides, or take all of it",
            choices=("adopt", "take")),
    Setting("meeting_changes", "choice", "hold", "Changes from Salesforce that attendees would be told of: wait, go, never",
            choices=("hold", "send", "never")),
    Setting("occurrence_days", "number", 30, "Days ahead in which occurrences of series are kept in step", low=7, high=180),
    Setting("interval_s", "number", 1800, "Seconds between sessions without a notification", low=1800, high=86400,
            seed="Synchronization interval (in seconds)"),
)  # fmt: skip

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
MAX_CLONES = 10


def valid(setting: Setting, value: Any) -> bool:
    match setting.kind:
        case "switch":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int) and not isinstance(value, bool) and setting.low <= value <= setting.high
        case "choice":
            return value in setting.choices
        case "list":
            return isinstance(value, (list, tuple)) and all(isinstance(entry, str) and entry for entry in value)


class Profile:
    """The settings in force for one mailbox: `profile["auto_save_mail"]`."""

    def __init__(self, *layers: Mapping[str, Any]) -> None:
        """`layers` from the widest (tenant) to the narrowest (user)."""
        self._values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
        forced: set[str] = set()
        for layer in layers:
            for name, stored in layer.items():
                value, mode = (stored["value"], stored.get("mode")) if isinstance(stored, Mapping) else (stored, "allow")
                if name in forced or name not in BY_NAME or not valid(BY_NAME[name], value):
                    continue
                self._values[name] = tuple(value) if BY_NAME[name].kind == "list" else value
                if mode == "force":
                    forced.add(name)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as a layer to store; raises ValueError naming the first setting that is unknown or out of range."""
    for name, stored in values.items():
        value = stored["value"] if isinstance(stored, Mapping) else stored
        if name not in BY_NAME:
            raise ValueError(f"unknown setting: {name}")
        if not valid(BY_NAME[name], value):
            raise ValueError(f"value out of range: {name}")
    return dict(values)
