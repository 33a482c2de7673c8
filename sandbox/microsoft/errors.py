"""The refusals of Microsoft Graph in its own words, as one table.

Rules that hold here: a handler refuses by raising `refusal(name, ...)`; the words stand in the table below and nowhere else,
so that what the stand-in says can be read against the vendor's pages. Sources: learn.microsoft.com/graph/errors, the pages
"List messages", "message: delta", "Create subscription", "JSON batching", and the codes of the EWS response code list.

It must never decide anything: which refusal applies is for the handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

#: name -> (status, code, message with {places})
REFUSALS: Mapping[str, tuple[int, str, str]] = {
    "no_token": (401, "InvalidAuthenticationToken", "Access token is empty."),
    "bad_token": (401, "InvalidAuthenticationToken", "Access token validation failure. {why}"),
    "token_expired": (401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."),
    "me_needs_user": (400, "BadRequest", "/me request is only valid with delegated authentication flow."),
    "denied": (403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    "no_user": (404, "ErrorInvalidUser", "The requested user '{user}' is invalid."),
    "no_directory_object": (
        404,
        "Request_ResourceNotFound",
        "Resource '{user}' does not exist or one of its queried reference-property objects are not present.",
    ),
    "no_mailbox": (
        404,
        "MailboxNotEnabledForRESTAPI",
        "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    ),
    "no_item": (404, "ErrorItemNotFound", "The specified object was not found in the store."),
    "bad_id": (400, "ErrorInvalidIdMalformed", "Id is malformed."),
    "bad_segment": (400, "BadRequest", "Resource not found for the segment '{segment}'."),
    "no_resource": (404, "ResourceNotFound", "Resource not found for the segment '{segment}'."),
    "stale": (
        412,
        "ErrorIrresolvableConflict",
        (
            "The send or update operation could not be performed because the change key passed in the request "
            "does not match the current change key for the item."
        ),
    ),
    "bad_json": (
        400,
        "BadRequest",
        ("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."),
    ),
    "bad_body": (400, "RequestBodyRead", "{why}"),
    "unknown_body_property": (
        400,
        "RequestBodyRead",
        (
            "The property '{name}' does not exist on type 'microsoft.graph.{type}'. Make sure to only use "
            "property names that are defined by the type or mark the type as open type."
        ),
    ),
    "read_only": (400, "ErrorInvalidPropertySet", "Set action is invalid for property. Property: {name}."),
    "bad_header_name": (
        400,
        "InvalidInternetMessageHeader",
        "The internet message header name '{name}' should start with 'x-' or 'X-'.",
    ),
    "bad_parameter": (400, "RequestBodyRead", "The parameter '{name}' in the request payload is not a valid parameter."),
    "missing": (400, "ErrorInvalidRequest", "The required property '{name}' is missing from the request."),
    "bad_select": (
        400,
        "BadRequest",
        ("Parsing OData Select and Expand failed: Could not find a property named '{name}' on type 'microsoft.graph.{type}'."),
    ),
    "bad_filter": (400, "BadRequest", "Invalid filter clause: {why}"),
    "bad_filter_property": (
        400,
        "BadRequest",
        "Invalid filter clause: Could not find a property named '{name}' on type 'microsoft.graph.{type}'.",
    ),
    "filter_refused": (400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes."),
    "inefficient": (400, "InefficientFilter", "The restriction or sort order is too complex for this operation."),
    "bad_option": (400, "BadRequest", "The query option '{name}' is not a valid OData query option."),
    "bad_query": (400, "BadRequest", "Invalid value '{value}' for query option '{name}'."),
    "top_too_big": (
        400,
        "BadRequest",
        ("The limit of '1000' for Top query has been exceeded. The value from the incoming request is '{value}'."),
    ),
    "delta_query": (
        400,
        "ErrorInvalidUrlQuery",
        ("The following parameters are not supported with change tracking over the '{type}' resource: '{names}'."),
    ),
    "delta_expand_failed": (500, "InternalServerError", "Value cannot be null.\r\nParameter name: type"),
    "no_tracking": (400, "BadRequest", "Change tracking is not supported against 'microsoft.graph.message'."),
    "bad_delta_token": (400, "SyncStateInvalid", "The sync state generation is invalid for this request."),
    "delta_gone": (410, "resyncRequired", "Resync required. The sync state is no longer valid; start over."),
    "delta_lost": (404, "SyncStateNotFound", "The sync state generation is not found; continuation token is expired."),
    "folder_exists": (
        409,
        "ErrorFolderExists",
        "A folder with the specified name already exists., Could not create folder '{name}'.",
    ),
    "folder_fixed": (400, "ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted."),
    "folder_inside_itself": (400, "ErrorMoveCopyFailed", "The move or copy operation failed."),
    "category_exists": (409, "ErrorDuplicateCategory", "A category with the name '{name}' already exists."),
    "not_raw": (405, "ErrorInvalidRequest", "$value is supported for file and item attachments only."),
    "ids_too_many": (400, "ErrorInvalidRequest", "The number of ids exceeds the maximum of 1000."),
    "bad_zone": (
        400,
        "TimeZoneNotSupportedException",
        "A valid TimeZone value must be specified. The following TimeZone value is not supported: '{name}'.",
    ),
    "bad_property": (400, "ErrorPropertyValidationFailure", "At least one property failed validation."),
    "too_long": (400, "ErrorCalendarDurationIsTooLong", "Calendar item duration is too long."),
    "all_day_midnight": (
        400,
        "ErrorInvalidRequest",
        "Your request can't be completed. The Event.{name} property for an all-day event needs to be set to midnight.",
    ),
    "all_day_short": (
        400,
        "ErrorInvalidRequest",
        "Your request can't be completed. The duration of an event marked as All day must be at least 24 hours.",
    ),
    "all_day_zone": (
        400,
        "ErrorInvalidRequest",
        "Your request can't be completed. The start and end of an all-day event need to be in the same time zone.",
    ),
    "occurrence_crossing": (
        400,
        "ErrorOccurrenceCrossingBoundary",
        "Modified occurrence is crossing or overlapping adjacent occurrence.",
    ),
    "not_organizer": (
        400,
        "ErrorInvalidRequest",
        "Your request can't be completed. You need to be an organizer to cancel a meeting.",
    ),
    "is_organizer": (
        400,
        "ErrorInvalidRequest",
        "Your request can't be completed. You can't respond to this meeting because you're the meeting organizer.",
    ),
    "no_response_wanted": (
        400,
        "ErrorInvalidRequest",
        "Your request can't be completed. The meeting organizer hasn't requested a response.",
    ),
    "silent_comment": (400, "ErrorInvalidParameter", "'SendResponse' must be true when 'Comment' is not null."),
    "not_a_series": (400, "ErrorInvalidRequest", "Expand is only supported on a series master."),
    "no_window": (
        400,
        "ErrorInvalidParameter",
        "This request requires a time window specified by the query string parameters StartDateTime and EndDateTime.",
    ),
    "bad_window": (400, "ErrorInvalidParameter", "The EndDateTime parameter must be later than the StartDateTime parameter."),
    "window_too_big": (400, "ErrorInvalidRequest", "The requested time duration specified for the view is too long."),
    "schedule_too_long": (400, "ErrorTimeIntervalTooBig", "The requested time duration is too long. Allowed limit is 62 days."),
    "schedule_interval": (400, "ErrorInvalidParameter", "The availabilityViewInterval must be between 5 and 1440 minutes."),
    "schedules_too_many": (400, "ErrorInvalidParameter", "The number of schedules must be between 1 and 20."),
    "batch_too_many": (400, "BadRequest", "The number of batch requests exceeds the maximum of 20."),
    "batch_ids": (400, "BadRequest", "Batch request ids must be present and unique."),
    "batch_part": (400, "BadRequest", "Invalid batch payload: {why}"),
    "batch_depends": (424, "FailedDependency", "The request failed because one of the requests it depends on failed."),
    "unavailable": (503, "ServiceUnavailable", "The service is temporarily unavailable. Please retry later."),
    "gateway": (504, "GatewayTimeout", "The gateway did not receive a timely response from the service."),
    "throttled": (429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
    "too_many_requests": (429, "TooManyRequests", "Too many requests. Retry after {after} seconds."),
    "not_built": (501, "NotImplemented", "The sandbox has not built {what}; build it with the product line that calls it."),
    "handshake": (
        400,
        "ValidationError",
        ("Subscription validation request failed. Notification endpoint must respond with 200 OK to validation request."),
    ),
    "handshake_slow": (400, "ValidationError", "Subscription validation request timed out."),
    "handshake_text": (
        400,
        "ValidationError",
        "Subscription validation request failed. Response must exactly match validationToken query parameter.",
    ),
    "subscription": (400, "InvalidRequest", "{why}"),
    "subscription_twice": (
        409,
        "ExtensionError",
        (
            "Operation: Create; Exception: [Status Code: Conflict; Reason: A subscription with the same resource "
            "and change type exists.]"
        ),
    ),
    "subscriptions_full": (
        403,
        "ExtensionError",
        (
            "Operation: Create; Exception: [Status Code: Forbidden; Reason: The mailbox has reached its limit of "
            "1000 subscriptions.]"
        ),
    ),
    "no_subscription": (404, "ResourceNotFound", "The object was not found."),
}


class GraphError(Exception):
    """A refusal on its way to the caller: `status`, Graph's `code` and `message`, more answer `headers`."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})
        super().__init__(f"{status} {code}: {message}")


def refusal(name: str, headers: Mapping[str, str] | None = None, /, **places: object) -> GraphError:
    status, code, message = REFUSALS[name]
    return GraphError(status, code, message.format(**places), headers)


def envelope(error: GraphError, now: datetime, request_id: str, client_request_id: str) -> dict[str, Any]:
    """The error body of Graph (learn.microsoft.com/graph/errors, "Error resource type")."""
    inner = {
        "date": now.strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": client_request_id,
    }
    return {"error": {"code": error.code, "message": error.message, "innerError": inner}}
