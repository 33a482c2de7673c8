"""The vendor's own Python SDK, unpatched, through the calendar of the Microsoft world."""

from __future__ import annotations

from datetime import date

import pytest
from msgraph import GraphServiceClient
from msgraph.generated.models.attendee import Attendee
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.date_time_time_zone import DateTimeTimeZone
from msgraph.generated.models.day_of_week import DayOfWeek
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.event import Event
from msgraph.generated.models.event_type import EventType
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.online_meeting_provider_type import OnlineMeetingProviderType
from msgraph.generated.models.patterned_recurrence import PatternedRecurrence
from msgraph.generated.models.recurrence_pattern import RecurrencePattern
from msgraph.generated.models.recurrence_pattern_type import RecurrencePatternType
from msgraph.generated.models.recurrence_range import RecurrenceRange
from msgraph.generated.models.recurrence_range_type import RecurrenceRangeType
from msgraph.generated.models.response_type import ResponseType
from msgraph.generated.models.single_value_legacy_extended_property import SingleValueLegacyExtendedProperty
from msgraph.generated.users.item.calendar.get_schedule.get_schedule_post_request_body import GetSchedulePostRequestBody
from msgraph.generated.users.item.events.item.accept.accept_post_request_body import AcceptPostRequestBody
from msgraph.generated.users.item.events.item.cancel.cancel_post_request_body import CancelPostRequestBody

from tests.contract.microsoft_calendar import CARL, outbox
from tests.contract.microsoft_world import ADA, BO, Stand
from tests.contract.test_microsoft_sdk import asking, drive

pytestmark = [
    pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
]
pytest_plugins = ("tests.contract.microsoft_fixtures",)
BEGIN, END = "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"
STAMP = "String {66f5a359-4659-4638-81a3-d1d2b2f5c5b4} Name SfRecordId"


def moment(text: str) -> DateTimeTimeZone:
    return DateTimeTimeZone(date_time=text, time_zone="W. Europe Standard Time")


def meeting(*addresses: str, recurrence: PatternedRecurrence | None = None) -> Event:
    return Event(
        subject="Offer", start=moment("2026-12-01T10:00:00"), end=moment("2026-12-01T11:00:00"), recurrence=recurrence,
        attendees=[Attendee(email_address=EmailAddress(address=address)) for address in addresses] or None,
        body=ItemBody(content_type=BodyType.Html, content="<p>Agenda</p>"), transaction_id="from the sdk",
    )  # fmt: skip


def tuesdays() -> PatternedRecurrence:
    return PatternedRecurrence(
        pattern=RecurrencePattern(type=RecurrencePatternType.Weekly, interval=1, days_of_week=[DayOfWeek.Tuesday]),
        range=RecurrenceRange(type=RecurrenceRangeType.NoEnd, start_date=date(2026, 12, 1)),
    )


def test_the_sdk_makes_reads_changes_and_cancels_a_meeting(ms: Stand) -> None:
    async def work(graph: GraphServiceClient) -> None:
        user = graph.users.by_user_id(ADA)
        wanted = meeting(BO, CARL)
        wanted.is_online_meeting, wanted.online_meeting_provider = True, OnlineMeetingProviderType.TeamsForBusiness
        wanted.single_value_extended_properties = [SingleValueLegacyExtendedProperty(id=STAMP, value="00U1")]
        made = await user.calendar.events.post(wanted, asking())
        assert made.online_meeting.join_url in made.body.content.replace("&amp;", "&")
        assert (await user.calendar.events.post(wanted, asking())).id == made.id
        single = user.events.by_event_id(made.id)
        query = single.EventItemRequestBuilderGetQueryParameters
        expand = [f"singleValueExtendedProperties($filter=id eq '{STAMP}')"]
        read = await single.get(asking(query(expand=expand, select=["subject", "start"])))
        assert (read.single_value_extended_properties[0].value, read.body) == ("00U1", None)
        etag = read.additional_data["@odata.etag"]
        assert (await single.patch(Event(subject="New"), asking(If_Match=etag))).subject == "New"
        with pytest.raises(ODataError) as stale:
            await single.patch(Event(subject="Newer"), asking(If_Match=etag))
        assert stale.value.response_status_code == 412
        await single.cancel.post(CancelPostRequestBody(comment="Ill"))

    drive(ms, work)
    assert [kind for kind, _, _ in outbox(ms)] == ["invitation", "update", "cancellation"]


def test_the_sdk_expands_a_series_and_follows_its_delta(ms: Stand) -> None:
    async def work(graph: GraphServiceClient) -> None:
        user = graph.users.by_user_id(ADA)
        made = await user.events.post(meeting(recurrence=tuesdays()), asking())
        assert made.type == EventType.SeriesMaster
        view = user.calendar_view
        query = view.CalendarViewRequestBuilderGetQueryParameters
        month = query(start_date_time=BEGIN, end_date_time=END, orderby=["start/dateTime"])
        seen = (await view.get(asking(month))).value
        assert [one.original_start.day for one in seen] == [1, 8, 15, 22, 29]
        instances = user.events.by_event_id(made.id).instances
        inner = instances.InstancesRequestBuilderGetQueryParameters(start_date_time=BEGIN, end_date_time=END)
        assert [one.id for one in (await instances.get(asking(inner))).value] == [one.id for one in seen]
        delta = view.delta
        first = delta.DeltaRequestBuilderGetQueryParameters(start_date_time=BEGIN, end_date_time=END)
        page = await delta.get(asking(first))
        assert [one.type for one in page.value] == [EventType.SeriesMaster, *[EventType.Occurrence] * 5]
        await user.events.by_event_id(made.id).delete()
        later = await delta.with_url(page.odata_delta_link).get(asking())
        assert [(one.id, one.additional_data["@removed"]) for one in later.value] == [(made.id, {"reason": "deleted"})]

    drive(ms, work)


def test_the_sdk_answers_an_invitation_and_asks_for_free_times(ms: Stand) -> None:
    async def work(graph: GraphServiceClient) -> None:
        made = await graph.users.by_user_id(ADA).events.post(meeting(BO), asking())
        his = graph.users.by_user_id(BO)
        copy = (await his.events.get(asking())).value[0]
        await his.events.by_event_id(copy.id).accept.post(AcceptPostRequestBody(send_response=True))
        read = await graph.users.by_user_id(ADA).events.by_event_id(made.id).get(asking())
        assert read.attendees[0].status.response == ResponseType.Accepted
        asked = GetSchedulePostRequestBody(
            schedules=[BO], start_time=moment("2026-12-01T10:00:00"), end_time=moment("2026-12-01T12:00:00"),
            availability_view_interval=60,
        )  # fmt: skip
        answer = await graph.users.by_user_id(ADA).calendar.get_schedule.post(asked)
        assert answer.value[0].availability_view == "20"

    drive(ms, work)
