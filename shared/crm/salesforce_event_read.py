"""Asks Salesforce for events together with who takes part in them.

Rules that hold here: deleted and archived events are answered too, deleted relations are not; where the ids are known before,
both are asked for in one call, else the relations follow in a second one, because an Event may stand in no sub-select.

It must never answer an event twice for a value that was named twice.

Source: REST API Developer Guide, "QueryAll", "Composite"; SOQL and SOSL Reference, "Semi-Joins with IN" (objects that a
sub-select may not name).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.crm import salesforce_ask
from shared.crm.salesforce_client import Client
from shared.crm.salesforce_event_map import Org, Row
from shared.crm.salesforce_event_people import Relation

#: events, each with its relations; None where this user has none to see
Found = list[tuple[Row, list[Relation] | None]]


def relation_statements(org: Org, ids: Iterable[str]) -> list[tuple[str, str]]:
    head = f"SELECT {org.relation_columns()} FROM EventRelation WHERE ("
    among = [salesforce_ask.literal(one) for one in ids]
    return [
        ("EventRelation", soql)
        for soql in salesforce_ask.packed(head, ["EventId"], among, ") AND IsDeleted = false")
    ]  # fmt: skip


def relations_in(rows: Mapping[str, Sequence[Row]]) -> dict[str, list[Relation]]:
    """The relations by event."""
    found: dict[str, list[Relation]] = {}
    for row in rows.get("EventRelation", ()):
        relation = Relation.of(row)
        found.setdefault(relation.event, []).append(relation)
    return found


def read_events(
    client: Client, org: Org, name: str, values: Iterable[str], *, condition: str = "", with_relations: bool = False
) -> Found:
    """The events of which the field has one of the values, deleted and archived ones too, with their relations (None where
    this user has none to see). `with_relations`: the values are ids, and the relations are asked for in the same call."""
    among = [salesforce_ask.literal(one) for one in dict.fromkeys(values)]
    head = f"SELECT {org.columns()} FROM Event WHERE ("
    asked = [("Event", soql) for soql in salesforce_ask.packed(head, [name], among, f"){condition}")]
    may_relate = org.relation.exists
    if with_relations and may_relate:
        asked += relation_statements(org, dict.fromkeys(values))
    return with_people(client, org, asked, known=with_relations)


def with_people(client: Client, org: Org, asked: Sequence[tuple[str, str]], *, known: bool = False) -> Found:
    """The events of the statements with their relations; `known`: the statements ask for both."""
    found = client.ask(asked, archived=("Event", "EventRelation")) if asked else {"Event": []}
    rows = found["Event"]
    if not org.relation.exists:
        return [(row, None) for row in rows]
    if rows and not known:
        ids = [str(row["Id"]) for row in rows if not row["IsDeleted"]]
        found = client.ask(relation_statements(org, ids), archived=("EventRelation",))
    relations = relations_in(found)
    return [(row, relations.get(row["Id"], [])) for row in rows]
