"""Which object has rules of its own. A table; the rules stand in the modules it names.

It must never hold a rule itself. Source: Object Reference, the page of each object.
"""

from __future__ import annotations

from sandbox.salesforce import activities, business, event_people, events, field_security, files, invitees, mail
from sandbox.salesforce.rules import Rules

RULES: dict[str, Rules] = {
    "Contact": Rules(before=business.person_name),
    "Lead": Rules(before=business.person_name),
    "User": Rules(before=business.person_name),
    "Opportunity": Rules(before=business.opportunity_stage),
    "Case": Rules(before=business.case_status),
    "Task": Rules(gather=event_people.gather, before=activities.task, after=event_people.saved, junctions=("TaskWhoIds",)),
    "Event": Rules(
        gather=events.gather,
        update=events.check_update,
        before=events.check,
        after=events.saved,
        gone=events.binned,
        junctions=("EventWhoIds",),
    ),
    "EventRelation": Rules(
        gather=invitees.gather,
        before=invitees.check,
        after=invitees.saved,
        gone=invitees.relation_binned,
        back=invitees.relation_back,
    ),
    "EmailMessage": Rules(
        before=mail.check, update=mail.check_update, after=mail.saved, gone=mail.binned, junctions=tuple(mail.JUNCTIONS)
    ),
    "EmailMessageRelation": Rules(before=mail.check_relation),
    "ContentVersion": Rules(before=files.check_version, after=files.version_saved),
    "PermissionSet": Rules(before=field_security.check_set),
    "FieldPermissions": Rules(before=field_security.check_permission, after=field_security.permission_saved),
    "PermissionSetAssignment": Rules(before=field_security.check_assignment),
    "ContentDocumentLink": Rules(before=files.check_link, after=files.link_saved, gone=files.link_binned),
}
