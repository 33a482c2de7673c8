"""The switches of the Microsoft world: what is unsure about the vendor, or set by a tenant.

Rules that hold here: `World.switches["microsoft.<name>"]` sets one; every switch has a row in FACTS.md, and the tests run with
it both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.frame import World

#: switch -> (what it is without being set, what it decides)
SWITCHES: Mapping[str, tuple[Any, str]] = {
    "category_filter": (True, "a category test may stand beside a lastModifiedDateTime range in one $filter"),
    "if_match": (True, "messages and events heed If-Match"),
    "delta_expand": ("taken", "`refused` (400), `failed` (500) or `ignored`: messages/delta and $expand of kept properties"),
    "delta_headers": ("shown", "`refused` (400) or `ignored`: messages/delta and internetMessageHeaders in $select"),
    "delta_filtered_most": (5000, "messages that the first round of a messages/delta with a $filter hands out"),
    "folder_delta_select": (True, "mailFolders/delta takes $select"),
    "folder_delta_page": (1000, "the largest odata.maxpagesize that mailFolders/delta takes; more is 400"),
    "search_folder_delta": (False, "messages/delta works on a search folder"),
    "sensitive_needs_advanced": (True, "subject, body and people of what is no draft need Mail-Advanced.ReadWrite"),
    "removed_reason": ("by_kind", "`deleted`: delta calls every removal so, also a move to another folder"),
    "delta_life_s": (30 * 86400.0, "seconds until a delta link is dead of age"),
    "delta_death": ("410", "`syncStateNotFound`: an aged delta link gives that code instead of 410 with a Location"),
    "opening_touches": (True, "opening a mail or an event moves its last-modified time even when it was read before"),
    "delete_to": ("deleteditems", "well-known folder where a deleted mail goes first"),
    "delta_reduced": (True, "calendarView/delta shows an unchanged occurrence with its times alone"),
    "delta_master": (True, "calendarView/delta shows a series beside its occurrences"),
    "delta_out_of_window": (True, "calendarView/delta tells changes outside its window as @removed"),
    "delta_gone_occurrence": (False, "calendarView/delta tells an occurrence its series has no more as @removed"),
    "private_patch_mails": (False, "a patch of what only the organiser sees mails the attendees too"),
    "attendee_delete_declines": (False, "an attendee who deletes an invitation declines it"),
    "requests_per_10_min": (10_000, "requests of one app to one mailbox within ten minutes; more are 429"),
    "concurrency": (4, "requests of one app to one mailbox at a time; more are 429"),
    "refresh_grace": (None, "seconds for which a replaced refresh token still works; None = as long as it lives"),
}


def switch(world: World, name: str) -> Any:
    """What the table says, unless the world says otherwise. Raises KeyError for a name that is no switch."""
    usual, _ = SWITCHES[name]
    return world.switches.get(f"microsoft.{name}", usual)
