"""Derived fields of people, opportunities and cases.

It must never refuse a write: these objects have no rules beyond those of their fields.

Source: Object Reference, pages Contact, Lead, User, Opportunity (standard stages of a new org), Case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

#: stage -> (probability in percent, closed, won, forecast category)
STAGES = {
    "Prospecting": (10, False, False, "Pipeline"),
    "Qualification": (10, False, False, "Pipeline"),
    "Needs Analysis": (20, False, False, "Pipeline"),
    "Value Proposition": (50, False, False, "Pipeline"),
    "Id. Decision Makers": (60, False, False, "Pipeline"),
    "Perception Analysis": (70, False, False, "Pipeline"),
    "Proposal/Price Quote": (75, False, False, "BestCase"),
    "Negotiation/Review": (90, False, False, "BestCase"),
    "Closed Won": (100, True, True, "Closed"),
    "Closed Lost": (0, True, False, "Omitted"),
}
FIRST_CASE_NUMBER = 1001


def person_name(_records: Records, row: Row, _old: Row | None) -> None:
    """Name is first and last name; it is never written."""
    row["Name"] = " ".join(part for part in (row["FirstName"], row["LastName"]) if part) or None


def opportunity_stage(_records: Records, row: Row, old: Row | None) -> None:
    probability, closed, won, forecast = STAGES.get(row["StageName"] or "", (0, False, False, "Pipeline"))
    moved = old is None or old["StageName"] != row["StageName"]
    given = row["Probability"] is not None and (old is None or old["Probability"] != row["Probability"])
    if moved and not given:
        row["Probability"] = float(probability)
    row |= {"IsClosed": closed, "IsWon": won, "ForecastCategory": forecast}
    row["ForecastCategoryName"] = row["ForecastCategoryName"] or forecast.replace("BestCase", "Best Case")
    if row["Amount"] is not None:
        row["ExpectedRevenue"] = round(row["Amount"] * (row["Probability"] or 0) / 100, 2)


def case_status(records: Records, row: Row, old: Row | None) -> None:
    if old is None:
        row["CaseNumber"] = f"{FIRST_CASE_NUMBER + records.store.count('Case'):08d}"
    row["IsClosed"] = row["Status"] == "Closed"
    row["ClosedDate"] = (row["ClosedDate"] or records.now()) if row["IsClosed"] else None
    contact = records.referred(row["ContactId"])
    row["ContactEmail"] = contact["Email"] if contact else None
    row["ContactPhone"] = contact["Phone"] if contact else None
    if contact and row["AccountId"] is None:
        row["AccountId"] = contact["AccountId"]
