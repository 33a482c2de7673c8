"""Online meetings: the join address and the block in the body that Teams writes there.

Rules that hold here: an event is an online meeting as long as its body holds the join address; a body written without it ends
the meeting. The block stands below what the organiser wrote, between two lines of underscores.
Sources: learn.microsoft.com/graph/api/event-update ("body property and online meetings"), /graph/api/resources/event
(isOnlineMeeting, onlineMeeting).
"""

from __future__ import annotations

import html
from urllib.parse import quote

PROVIDER = "teamsForBusiness"
_LINE = "_" * 80
_GREY = "font-size:14px; color:#616161"


def join_url(uid: bytes, tenant: str, user_id: str) -> str:
    """The address of the meeting of an event; it never changes."""
    context = quote(f'{{"Tid":"{tenant}","Oid":"{user_id}"}}', safe="")
    thread = quote(f"19:meeting_{uid.hex()[-44:]}@thread.v2", safe="")
    return f"https://teams.microsoft.com/l/meetup-join/{thread}/0?context={context}"


def conference_id(url: str) -> str:
    """The meeting's number, three groups of three digits."""
    number = int.from_bytes(url.encode()[-40:], "big") % 10**9
    return f"{number:09d}"


def _block(url: str) -> str:
    number = conference_id(url)
    shown = f"{number[:3]} {number[3:6]} {number[6:]}"
    return (
        f'<br>\r\n<div class="me-email-text" style="max-width:520px; color:#242424">\r\n'
        f'<div style="margin-bottom:24px; overflow:hidden; white-space:nowrap">{_LINE}</div>\r\n'
        f'<div style="margin-bottom:12px"><span class="me-email-text" style="font-size:24px; font-weight:700">Microsoft Teams'
        f'</span>\r\n<a href="https://aka.ms/JoinTeamsMeeting?omkt=en-US" id="meet_invite_block.action.help" '
        f'class="me-email-link">Need help?</a></div>\r\n'
        f'<div style="margin-bottom:6px"><a href="{html.escape(url)}" id="meet_invite_block.action.join_link" '
        f'class="me-email-headline" style="font-size:20px; font-weight:600">Join the meeting now</a></div>\r\n'
        f'<div style="margin-bottom:6px"><span class="me-email-text-secondary" style="{_GREY}">Meeting ID: </span>'
        f'<span class="me-email-text">{shown}</span></div>\r\n'
        f'<div style="margin-bottom:24px; overflow:hidden; white-space:nowrap">{_LINE}</div>\r\n</div>\r\n'
    )


def with_block(body: str, url: str) -> str:
    """The body with the block below what it holds."""
    at = body.lower().rfind("</body>")
    at = len(body) if at < 0 else at
    return body[:at] + _block(url) + body[at:]


def has_block(body: str, url: str) -> bool:
    return url in html.unescape(body)
