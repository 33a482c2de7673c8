"""Mail of the Microsoft world: users, folders, messages, attachments, categories, versions, ids, paging."""

from __future__ import annotations

import base64
import email
from datetime import timedelta
from email.message import EmailMessage
from urllib.parse import quote

import pytest

from tests.contract.microsoft_world import ADA, BO, IMMUTABLE, Json, Stand, at, mime

pytest_plugins = ("tests.contract.microsoft_fixtures",)
ME = f"/users/{ADA}"
FLAGS = {"id": "Integer 0x0E07", "value": "1"}


def with_attachments() -> bytes:
    """A mail with a picture in its text, a file, and another mail."""
    inner = EmailMessage()
    inner["Subject"], inner["From"], inner["To"], inner["Message-ID"] = "Inside", "dora@customer.example", ADA, "<inner@x.test>"
    inner.set_content("The mail within.")
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Offer", "carl@customer.example", ADA
    mail.set_content("See below.")
    mail.add_alternative('<p>See <img src="cid:pic"></p>', subtype="html")
    mail.get_body(("html",)).add_related(b"PNG", "image", "png", cid="<pic>", filename="pic.png", disposition="inline")  # type: ignore[union-attr]
    mail.add_attachment(b"%PDF-1.7 " + bytes(range(256)), maintype="application", subtype="pdf", filename="Angebot Größe.pdf")
    mail.add_attachment(inner)
    return mail.as_bytes()


def test_a_user_shows_the_addresses_of_the_mailbox(ms: Stand) -> None:
    user = ms.get(f"{ME}?$select=id,mail,userPrincipalName,displayName,proxyAddresses")
    assert user.pop("@odata.context").endswith("$metadata#users/$entity")
    assert user == {
        "id": ms.box(lambda box: box.user_id), "mail": ADA, "userPrincipalName": ADA, "displayName": "Ada Berg",
        "proxyAddresses": [f"SMTP:{ADA}", "smtp:a.berg@example.test"],
    }  # fmt: skip
    assert ms.get(f"/users/{user['id']}")["mail"] == ADA
    assert ms.get(f"{ME}/mailboxSettings")["timeZone"] == "W. Europe Standard Time"


def test_an_unknown_user_is_refused_in_two_ways(ms: Stand) -> None:
    assert ms.code(ms.call("GET", "/users/nobody@example.test", status=404)) == "Request_ResourceNotFound"
    assert ms.code(ms.call("GET", "/users/nobody@example.test/messages", status=404)) == "ErrorInvalidUser"


def test_well_known_names_are_ids_and_keys_may_stand_in_parentheses(ms: Stand) -> None:
    inbox = ms.get(f"{ME}/mailFolders/inbox")
    assert ms.get(f"{ME}/mailFolders('{inbox['id']}')")["displayName"] == "Inbox"
    assert ms.get(f"{ME}/MAILFOLDERS/Inbox")["id"] == inbox["id"]
    assert ms.code(ms.call("GET", f"{ME}/mailFolders/nothing", status=404)) == "ErrorItemNotFound"


def test_folders_are_made_once_renamed_and_removed(ms: Stand) -> None:
    made = ms.call("POST", f"{ME}/mailFolders", json={"displayName": "Salesforce Emails"}, status=201).json()
    again = ms.call("POST", f"{ME}/mailFolders", json={"displayName": "salesforce emails"}, status=409)
    assert ms.code(again) == "ErrorFolderExists"
    below = ms.call("POST", f"{ME}/mailFolders/{made['id']}/childFolders", json={"displayName": "2026"}, status=201).json()
    assert [one["id"] for one in ms.value(f"{ME}/mailFolders/{made['id']}/childFolders")] == [below["id"]]
    renamed = ms.call("PATCH", f"{ME}/mailFolders/{below['id']}", json={"displayName": "2027"}, status=200).json()
    assert (renamed["displayName"], renamed["id"]) == ("2027", below["id"])
    names = ms.value(f"{ME}/mailFolders?$filter=displayName eq 'Salesforce Emails'")
    assert [one["childFolderCount"] for one in names] == [1]
    ms.call("DELETE", f"{ME}/mailFolders/{made['id']}", status=204)
    assert ms.get(f"{ME}/mailFolders/{made['id']}")["parentFolderId"] == ms.get(f"{ME}/mailFolders/deleteditems")["id"]
    assert ms.code(ms.call("DELETE", f"{ME}/mailFolders/inbox", status=400)) == "ErrorDeleteDistinguishedFolder"


def test_a_folder_is_made_by_its_path_once(ms: Stand) -> None:
    first = ms.box(lambda box: box.make_folder("Customers/Nord/2026"))
    assert ms.box(lambda box: box.make_folder("customers/nord/2026")) == first
    assert ms.get(f"{ME}/mailFolders/{first}")["displayName"] == "2026"


def test_a_message_shows_what_the_mail_says(ms: Stand) -> None:
    raw = mime("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", message_id="<a+1@x.test>", more="Cc: =?utf-8?q?D=C3=B6ra?= <d@c.example>\r\n")
    message = ms.get(f"{ME}/messages/{ms.deliver(raw, categories=['Salesforce'])}")
    assert (message["subject"], message["internetMessageId"]) == ("Grüße", "<a+1@x.test>")
    assert message["ccRecipients"] == [{"emailAddress": {"name": "Döra", "address": "d@c.example"}}]
    assert (message["sentDateTime"], message["categories"]) == ("2026-11-03T08:30:00Z", ["Salesforce"])
    assert (message["isDraft"], message["isRead"], message["hasAttachments"]) == (False, False, False)
    assert message["body"]["contentType"] == "html" and "Hello." in message["body"]["content"]


def test_mail_is_found_by_its_people(ms: Stand) -> None:
    one = ms.deliver(mime("Hi", more="Cc: d@c.example\r\n"))
    ms.deliver(mime("Other"))
    wanted = (
        "ccRecipients/any(r:r/emailAddress/address eq 'd@c.example') and from/emailAddress/address eq 'Carl@customer.example'"
    )
    assert [found["id"] for found in ms.value(f"{ME}/messages?$filter={wanted}")] == [one]


def test_headers_come_only_when_selected(ms: Stand) -> None:
    one = ms.deliver(mime("Hi", more="X-Ticket: 7\r\n"))
    assert "internetMessageHeaders" not in ms.get(f"{ME}/messages/{one}")
    shown = ms.get(f"{ME}/messages/{one}?$select=internetMessageHeaders")["internetMessageHeaders"]
    assert {"name": "X-Ticket", "value": "7"} in shown


@pytest.mark.parametrize(("method", "kind"), [
    ("REQUEST", "eventMessageRequest"), ("reply", "eventMessageResponse"), ("CANCEL", "eventMessage"),
])  # fmt: skip
def test_mail_of_a_meeting_has_a_type_of_its_own(ms: Stand, method: str, kind: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "carl@customer.example", ADA, "Visit"
    mail.set_content("See you there.")
    mail.add_alternative("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", subtype="calendar", params={"method": method})
    ms.deliver(mail.as_bytes())
    ms.deliver(mime("Hi"))
    plain, meeting = sorted(ms.value(f"{ME}/messages?$select=subject,body"), key=lambda one: len(one))
    assert (meeting["@odata.type"], "@odata.type" in plain) == (f"#microsoft.graph.{kind}", False)
    assert "See you there." in meeting["body"]["content"] and "VCALENDAR" not in meeting["body"]["content"]


def test_select_shows_what_was_selected_and_refuses_what_there_is_not(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    shown = ms.get(f"{ME}/messages/{one}?$select=subject,isRead")
    assert set(shown) == {"@odata.context", "@odata.etag", "id", "subject", "isRead"}
    assert (
        "Could not find a property named 'nothing'" in ms.call("GET", f"{ME}/messages/{one}?$select=nothing", status=400).text
    )
    assert ms.call("GET", f"{ME}/messages/{one}?$select=uniqueBody", status=501).json()["error"]["code"] == "NotImplemented"


@pytest.mark.parametrize(("path", "status"), [
    ("messages?$fliter=isRead eq true", 400), ("outlook/masterCategories?$filter=color eq 'none'", 501),
    ("mailFolders?$expand=childFolders", 501), ("messages?$search=%22x%22", 501), ("messages?$filter=isRed eq true", 400),
])  # fmt: skip
def test_no_query_option_is_ignored(ms: Stand, path: str, status: int) -> None:
    ms.call("GET", f"{ME}/{path}", status=status)


def test_a_body_comes_as_text_where_text_is_preferred(ms: Stand) -> None:
    one = ms.deliver(with_attachments())
    plain = ms.call("GET", f"{ME}/messages/{one}?$select=body", prefer=f'{IMMUTABLE}, outlook.body-content-type="text"')
    assert plain.json()["body"] == {"contentType": "text", "content": "See"}
    assert 'outlook.body-content-type="text"' in plain.headers["preference-applied"]
    assert "<p>See" in ms.get(f"{ME}/messages/{one}?$select=body")["body"]["content"]


def test_a_mail_is_found_by_its_message_id_whatever_its_letters(ms: Stand) -> None:
    one = ms.deliver(mime("Hi", message_id="<a+b%c&d#e'f@x.test>"))
    ms.deliver(mime("Other", message_id="<other@x.test>"))
    wanted = quote("internetMessageId eq '<a+b%c&d#e''f@x.test>'", safe="")
    assert [found["id"] for found in ms.value(f"{ME}/messages?$filter={wanted}")] == [one]
    assert ms.code(ms.call("GET", f"{ME}/messages?$filter=internetMessageId eq '<a", status=400)) == "BadRequest"


def test_listings_come_newest_first_in_pages_that_lose_nothing(ms: Stand) -> None:
    days = [ms.deliver(mime(f"Mail {n}"), received=at("2026-11-01T08:00:00Z") + timedelta(days=n)) for n in range(7)]
    page = ms.get(f"{ME}/messages?$top=3&$select=subject&$count=true")
    assert page["@odata.count"] == 7 and len(page["value"]) == 3 and "$select=subject" in page["@odata.nextLink"]
    assert [one["id"] for one in ms.value(f"{ME}/messages?$top=3&$select=subject")] == days[::-1]
    old = ms.value(f"{ME}/messages?$filter=receivedDateTime lt 2026-11-03T00:00:00Z&$top=1")
    assert [one["id"] for one in old] == days[1::-1]
    assert ms.code(ms.call("GET", f"{ME}/messages?$top=1001", status=400)) == "BadRequest"


def test_an_order_must_stand_first_in_the_filter(ms: Stand) -> None:
    asked = f"{ME}/messages?$orderby=receivedDateTime desc&$filter="
    right = asked + "receivedDateTime ge 2026-01-01T00:00:00Z and isRead eq false"
    assert ms.value(right) == []
    wrong = asked + "isRead eq false and receivedDateTime ge 2026-01-01T00:00:00Z"
    assert ms.code(ms.call("GET", wrong, status=400)) == "InefficientFilter"


def test_marked_mail_is_found_in_every_folder_by_category_and_last_change(ms: Stand) -> None:
    deep = ms.box(lambda box: box.make_folder("Customers/Nord"))
    marked = ms.deliver(mime("Marked"), folder=deep)
    ms.deliver(mime("Plain"), folder=deep)
    early = ms.deliver(mime("Early"), categories=["salesforce"])
    ms.world.clock.advance(3600)
    since = ms.world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    ms.box(lambda box: box.set_categories(marked, ["Red", "Salesforce"]))
    asked = f"{ME}/messages?$select=id,categories&$filter=categories/any(c:c eq 'Salesforce')"
    assert [one["id"] for one in ms.value(f"{asked} and lastModifiedDateTime ge {since}")] == [marked]
    assert {one["id"] for one in ms.value(asked)} == {marked, early}


def test_where_that_filter_is_refused_a_search_folder_finds_the_same(ms: Stand) -> None:
    ms.world.switches["microsoft.category_filter"] = False
    marked = ms.deliver(mime("Marked"), folder=ms.box(lambda box: box.make_folder("Customers")), categories=["Salesforce"])
    ms.deliver(mime("Plain"))
    asked = "categories/any(c:c eq 'Salesforce') and lastModifiedDateTime ge 2026-01-01T00:00:00Z"
    assert ms.code(ms.call("GET", f"{ME}/messages?$filter={asked}", status=400)) == "ErrorInvalidUrlQueryFilter"
    search = {
        "@odata.type": "microsoft.graph.mailSearchFolder", "displayName": "Mailspan", "includeNestedFolders": True,
        "sourceFolderIds": ["msgfolderroot"], "filterQuery": "categories/any(c:c eq 'Salesforce')",
    }  # fmt: skip
    made = ms.call("POST", f"{ME}/mailFolders/searchfolders/childFolders", json=search, status=201).json()
    assert made["@odata.type"] == "#microsoft.graph.mailSearchFolder" and made["totalItemCount"] == 1
    listing = f"{ME}/mailFolders/{made['id']}/messages?$filter=lastModifiedDateTime ge "
    assert [one["id"] for one in ms.value(f"{listing}2026-01-01T00:00:00Z")] == [marked]
    assert ms.value(f"{listing}2030-01-01T00:00:00Z") == []
    assert "not supported" in ms.call("GET", f"{ME}/mailFolders/{made['id']}/messages/delta", status=400).text
    ms.world.switches["microsoft.search_folder_delta"] = True
    items, link = ms.round(f"{ME}/mailFolders/{made['id']}/messages/delta?$select=subject")
    assert [one["id"] for one in items] == [marked]
    ms.box(lambda box: box.set_categories(marked, []))
    assert ms.round(link)[0] == [{"id": marked, "@removed": {"reason": "changed"}}]


def test_categories_are_replaced_under_the_version_last_seen(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"), categories=["Red"])
    seen = ms.get(f"{ME}/messages/{one}")["@odata.etag"]
    change = {"categories": ["Red", "Salesforce"]}
    fresh = ms.call("PATCH", f"{ME}/messages/{one}", json=change, headers={"If-Match": seen}, status=200)
    assert fresh.json()["categories"] == ["Red", "Salesforce"]
    assert fresh.headers["etag"] == fresh.json()["@odata.etag"] != seen
    stale = ms.call("PATCH", f"{ME}/messages/{one}", json={"categories": []}, headers={"If-Match": seen}, status=412)
    assert ms.code(stale) == "ErrorIrresolvableConflict"
    assert ms.get(f"{ME}/messages/{one}")["categories"] == ["Red", "Salesforce"]
    assert ms.call("DELETE", f"{ME}/messages/{one}", headers={"If-Match": seen}).status_code == 412


def test_with_the_switch_off_messages_do_not_heed_if_match(ms: Stand) -> None:
    ms.world.switches["microsoft.if_match"] = False
    one = ms.deliver(mime("Hi"))
    ms.call("PATCH", f"{ME}/messages/{one}", json={"isRead": True}, headers={"If-Match": 'W/"long ago"'}, status=200)


def test_opening_a_mail_moves_its_last_change(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    ms.box(lambda box: box.open(one))
    first = ms.get(f"{ME}/messages/{one}?$select=isRead")
    ms.box(lambda box: box.open(one))
    assert first["isRead"] and ms.get(f"{ME}/messages/{one}?$select=isRead")["@odata.etag"] != first["@odata.etag"]
    ms.world.switches["microsoft.opening_touches"] = False
    quiet = ms.get(f"{ME}/messages/{one}?$select=isRead")["@odata.etag"]
    ms.box(lambda box: box.open(one))
    assert ms.get(f"{ME}/messages/{one}?$select=isRead")["@odata.etag"] == quiet


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"categoryList": ["x"]}, "RequestBodyRead"),
        ({"categories": "Salesforce"}, "RequestBodyRead"),
        ({"importance": "urgent"}, "RequestBodyRead"),
        ({"receivedDateTime": "2026-01-01T00:00:00Z"}, "ErrorInvalidPropertySet"),
        ({"internetMessageHeaders": [{"name": "x-a", "value": "1"}]}, "ErrorInvalidPropertySet"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(ms: Stand, body: Json, code: str) -> None:
    one = ms.deliver(mime("Hi"))
    assert ms.code(ms.call("PATCH", f"{ME}/messages/{one}", json=body, status=400)) == code


def test_subject_and_people_of_received_mail_need_the_advanced_permission(ms: Stand) -> None:
    one = ms.deliver(with_attachments())
    assert ms.code(ms.call("PATCH", f"{ME}/messages/{one}", json={"subject": "New"}, status=403)) == "ErrorAccessDenied"
    ms.world.switches["microsoft.sensitive_needs_advanced"] = False
    assert ms.call("PATCH", f"{ME}/messages/{one}", json={"subject": "New"}, status=200).json()["subject"] == "New"
    raw = email.message_from_bytes(ms.call("GET", f"{ME}/messages/{one}/$value").content)
    assert (raw["Subject"], raw["From"]) == ("New", "carl@customer.example")
    assert [part.get_filename() for part in raw.walk() if part.get_filename()] == ["pic.png", "Angebot Größe.pdf"]


def test_an_immutable_id_survives_a_move_and_a_rest_id_does_not(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    rest = ms.get(f"{ME}/messages/{one}", prefer="")["id"]
    assert rest != one
    moved = ms.call("POST", f"{ME}/messages/{one}/move", json={"destinationId": "archive"}, status=201)
    assert moved.json()["id"] == one and moved.headers["preference-applied"] == IMMUTABLE
    assert ms.get(f"{ME}/messages/{one}")["parentFolderId"] == ms.get(f"{ME}/mailFolders/archive")["id"]
    assert ms.code(ms.call("GET", f"{ME}/messages/{rest}", prefer="", status=404)) == "ErrorItemNotFound"
    extra = {"destinationId": "inbox", "copy": True}
    assert ms.code(ms.call("POST", f"{ME}/messages/{one}/move", json=extra, status=400)) == "RequestBodyRead"
    assert ms.code(ms.call("GET", f"{ME}/messages/{one.swapcase()}", status=400)) == "ErrorInvalidIdMalformed"


def test_ids_are_translated_between_their_forms(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    rest = ms.get(f"{ME}/messages/{one}", prefer="")["id"]
    ews = rest.replace("-", "/").replace("_", "+")
    body = {"inputIds": [ews, "AAMkAnothingnothingnothing"], "sourceIdType": "ewsId", "targetIdType": "restImmutableEntryId"}
    value = ms.call("POST", f"{ME}/translateExchangeIds", json=body, status=200).json()["value"]
    assert value[0] == {"sourceId": ews, "targetId": one} and value[1]["errorDetails"]["code"] == "ErrorItemNotFound"


def test_deleted_mail_goes_to_deleted_items_then_out_of_sight(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    for folder in ("deleteditems", "recoverableitemsdeletions"):
        ms.call("DELETE", f"{ME}/messages/{one}", status=204)
        assert [found["id"] for found in ms.value(f"{ME}/mailFolders/{folder}/messages")] == [one]
    assert ms.value(f"{ME}/messages") == []
    ms.call("DELETE", f"{ME}/messages/{one}", status=204)
    assert ms.code(ms.call("GET", f"{ME}/messages/{one}", status=404)) == "ErrorItemNotFound"


def test_where_deleted_mail_goes_first_is_unsure(ms: Stand) -> None:
    ms.world.switches["microsoft.delete_to"] = "recoverableitemsdeletions"
    one = ms.deliver(mime("Hi"))
    ms.call("DELETE", f"{ME}/messages/{one}", status=204)
    assert [found["id"] for found in ms.value(f"{ME}/mailFolders/recoverableitemsdeletions/messages")] == [one]
    assert ms.value(f"{ME}/messages") == []


def test_a_notice_is_put_into_the_inbox_as_if_it_had_arrived(ms: Stand) -> None:
    notice = {
        "subject": "Three mails were saved", "body": {"contentType": "text", "content": "Nothing to do."},
        "from": {"emailAddress": {"name": "Mailspan", "address": ADA}}, "isRead": False,
        "singleValueExtendedProperties": [FLAGS],
    }  # fmt: skip
    made = ms.call("POST", f"{ME}/mailFolders/inbox/messages", json=notice, status=201).json()
    assert (made["isDraft"], made["isRead"]) == (False, False)
    assert [one["id"] for one in ms.value(f"{ME}/mailFolders/inbox/messages")] == [made["id"]]
    draft = ms.call("POST", f"{ME}/messages", json={"subject": "Later"}, status=201).json()
    assert draft["isDraft"] and draft["parentFolderId"] == ms.get(f"{ME}/mailFolders/drafts")["id"]


def test_a_stamp_is_hidden_until_expanded_and_can_be_searched(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    ms.deliver(mime("Other"))
    name = "String {66f5a359-4659-4638-81a3-d1d2b2f5c5b4} Name Mailspan"
    stamp = {"singleValueExtendedProperties": [{"id": name, "value": "Abc"}]}
    assert "singleValueExtendedProperties" not in ms.call("PATCH", f"{ME}/messages/{one}", json=stamp, status=200).json()
    expand = quote(f"singleValueExtendedProperties($filter=id eq '{name}')", safe="")
    assert ms.get(f"{ME}/messages/{one}?$expand={expand}")["singleValueExtendedProperties"] == [{"id": name, "value": "Abc"}]
    for value, hits in (("abc", [one]), ("other", [])):
        wanted = quote(f"singleValueExtendedProperties/Any(ep: ep/id eq '{name}' and ep/value eq '{value}')", safe="")
        assert [found["id"] for found in ms.value(f"{ME}/messages?$filter={wanted}")] == hits
    wrong = quote(f"singleValueExtendedProperties/Any(ep: ep/id eq '{name.lower()}' and ep/value eq 'Abc')", safe="")
    assert ms.value(f"{ME}/messages?$filter={wrong}") == []


def test_attachments_of_every_kind_are_listed_without_their_bytes(ms: Stand) -> None:
    one = ms.deliver(with_attachments())
    ms.box(lambda box: box.add_link(one, "Plan.xlsx"))
    expanded = ms.get(
        f"{ME}/messages/{one}?$select=hasAttachments&$expand=attachments($select=id,name,contentType,size,isInline)"
    )
    assert expanded["hasAttachments"] is True
    assert [(a["@odata.type"].rpartition(".")[2], a["name"], a["isInline"], a["size"]) for a in expanded["attachments"]] == [
        ("fileAttachment", "pic.png", True, 3), ("fileAttachment", "Angebot Größe.pdf", False, 265),
        ("itemAttachment", "Inside", False, expanded["attachments"][2]["size"]), ("referenceAttachment", "Plan.xlsx", False, 0),
    ]  # fmt: skip
    assert not any("contentBytes" in a for a in expanded["attachments"])
    listed = ms.value(f"{ME}/messages/{one}/attachments?$select=id,name")
    assert [a["id"] for a in listed] == [a["id"] for a in expanded["attachments"]]


def test_a_file_comes_as_bytes_with_its_length(ms: Stand) -> None:
    one = ms.deliver(with_attachments())
    file = ms.value(f"{ME}/messages/{one}/attachments?$select=id,name")[1]
    with ms.http.stream(
        "GET",
        f"{ms.url}/v1.0{ME}/messages/{one}/attachments/{file['id']}/$value",
        headers={"Authorization": f"Bearer {ms.token}"},
    ) as answer:
        content = b"".join(answer.iter_bytes())
    assert content == b"%PDF-1.7 " + bytes(range(256))
    assert (answer.headers["content-length"], answer.headers["content-type"]) == ("265", "application/pdf")
    whole = ms.get(f"{ME}/messages/{one}/attachments/{file['id']}")
    assert base64.b64decode(whole["contentBytes"]) == content


def test_an_attached_mail_is_mime_or_an_item_and_a_link_has_no_bytes(ms: Stand) -> None:
    one = ms.deliver(with_attachments())
    ms.box(lambda box: box.add_link(one, "Plan.xlsx"))
    item, link = (a["id"] for a in ms.value(f"{ME}/messages/{one}/attachments")[2:])
    raw = ms.call("GET", f"{ME}/messages/{one}/attachments/{item}/$value")
    assert b"The mail within." in raw.content and raw.headers["content-type"] == "text/plain"
    expanded = ms.get(f"{ME}/messages/{one}/attachments/{item}?$expand=microsoft.graph.itemattachment/item")
    assert (expanded["item"]["subject"], expanded["item"]["internetMessageId"]) == ("Inside", "<inner@x.test>")
    assert ms.call("GET", f"{ME}/messages/{one}/attachments/{link}/$value", status=405).status_code == 405


def test_pictures_in_the_text_alone_are_no_attachments(ms: Stand) -> None:
    inline = b"Subject: Logo\r\nContent-Type: image/png\r\nContent-Disposition: inline\r\nContent-ID: <a>\r\n\r\nPNG"
    one = ms.deliver(inline)
    assert ms.get(f"{ME}/messages/{one}?$select=hasAttachments")["hasAttachments"] is False
    assert [a["isInline"] for a in ms.value(f"{ME}/messages/{one}/attachments")] == [True]


def test_the_raw_mail_comes_as_it_was_delivered(ms: Stand) -> None:
    raw = mime("Hi", message_id="<raw@x.test>")
    assert ms.call("GET", f"{ME}/messages/{ms.deliver(raw)}/$value").content == raw


def test_a_mail_that_was_sent_lies_in_sent_items_and_is_read(ms: Stand) -> None:
    one = ms.box(lambda box: box.send(mime("Answer", to="carl@customer.example")))
    assert [(m["id"], m["isRead"], m["isDraft"]) for m in ms.value(f"{ME}/mailFolders/sentitems/messages")] == [
        (one, True, False)
    ]


def test_replies_share_the_conversation_of_their_root(ms: Stand) -> None:
    reply = ms.deliver(mime("Re: Hi", more="References: <root@x.test>\r\n"))
    root = ms.deliver(mime("Hi", message_id="<root@x.test>"))
    other = ms.deliver(mime("Hi"))
    talks = [ms.get(f"{ME}/messages/{one}?$select=conversationId")["conversationId"] for one in (root, reply, other)]
    assert talks[0] == talks[1] != talks[2]
    assert {m["id"] for m in ms.value(f"{ME}/messages?$filter=conversationId eq '{talks[0]}'")} == {root, reply}


def test_the_master_list_gives_names_their_colour(ms: Stand) -> None:
    wanted = {"displayName": "Salesforce", "color": "preset9"}
    made = ms.call("POST", f"{ME}/outlook/masterCategories", json=wanted, status=201).json()
    assert [(one["id"], one["color"]) for one in ms.value(f"{ME}/outlook/masterCategories")] == [(made["id"], "preset9")]
    assert ms.call("POST", f"{ME}/outlook/masterCategories", json=wanted, status=409).status_code == 409
    bad = {"displayName": "Other", "color": "blue"}
    assert ms.code(ms.call("POST", f"{ME}/outlook/masterCategories", json=bad, status=400)) == "RequestBodyRead"
    assert ms.value(f"/users/{BO}/outlook/masterCategories") == []
    ms.call("DELETE", f"{ME}/outlook/masterCategories/{made['id']}", status=204)
    assert ms.value(f"{ME}/outlook/masterCategories") == []


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff\xfe broken", b"Subject: =?utf-8?b?broken\r\n\r\nx",
     b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n",
     b"Content-Type: text/plain; charset=nothing\r\n\r\n\xe4", b"Date: not a date\r\nFrom: <<>>\r\nTo: ,,\r\n\r\n"],
)  # fmt: skip
def test_no_mail_is_too_broken_to_be_shown(ms: Stand, raw: bytes) -> None:
    one = ms.deliver(raw)
    shown = ms.get(f"{ME}/messages/{one}?$select=subject,body,from,toRecipients,internetMessageHeaders&$expand=attachments")
    assert shown["id"] == one
