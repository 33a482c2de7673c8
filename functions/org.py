"""The doors about a mailbox's Salesforce org: how records are told apart there, and the key field that an admin has made.

Without the key field the product works in lookup mode, whose one weakness is told here (design section 5).
"""

import uuid

import azure.functions as func

from functions.answers import Answer, Call, Problem, door
from functions.layers import settings_door

bp = func.Blueprint()


@door(bp, "org")
def org(call: Call) -> Answer:
    return _org(call)


@settings_door(bp, "org_key_field")
def org_key_field(call: Call) -> Answer:
    """Makes what is missing as the admin's own Salesforce user; right to call where all is there."""
    from shared.core.errors import Refused
    from shared.wire import wire

    try:
        wire().make_key_field(call.entry)
    except Refused as refused:
        raise Problem(409, "org.key_field_refused", reason=refused.code) from None
    return _org(call)


def _org(call: Call) -> Answer:
    from shared.texts import sentence
    from shared.wire import wire

    mode = "key" if wire().event_crm(call.entry, uuid.uuid4().hex, by_person=True).keyed else "lookup"
    return Answer({"org": call.entry.org, "mode": mode, "code": f"org.{mode}", "text": str(sentence(f"org.{mode}"))})
