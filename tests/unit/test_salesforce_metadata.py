"""The Salesforce package: its files are well formed, have only elements and values that the Metadata API knows, and agree.

The vendor's tools convert a file with a misspelt element without a word; so the elements are a table here. Source: Metadata API
Developer Guide, pages CustomField, FieldType, PermissionSet and "package.xml Manifest Files". Nothing here proves that an
org takes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from shared.crm.salesforce_client import OURS
from shared.crm.salesforce_event_map import KEY

ROOT = Path(__file__).resolve().parents[2] / "salesforce"
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
FIELDS = ROOT / "force-app/main/default/objects"
PERMISSIONS = ROOT / "force-app/main/default/permissionsets/Mailspan.permissionset-meta.xml"
MANIFEST = ROOT / "manifest/package.xml"

BOOLEAN, TEXT, NAME = r"true|false", r"[^<>]{1,255}", r"[A-Za-z]\w*"
FIELD_TYPES = "AutoNumber|Checkbox|Currency|Date|DateTime|Email|Number|Percent|Phone|Picklist|Text|TextArea|LongTextArea|Url"
#: element -> (what its text matches, or the table of its children; whether it must be there; whether it may come again)
Table = Mapping[str, tuple[object, bool, bool]]
CUSTOM_FIELD: Table = {
    "fullName": (rf"{NAME}__c", True, False), "caseSensitive": (BOOLEAN, False, False), "defaultValue": (TEXT, False, False),
    "description": (r"[^<>]{1,1000}", False, False), "encryptionScheme": ("None", False, False),
    "externalId": (BOOLEAN, False, False), "inlineHelpText": (r"[^<>]{1,510}", False, False),
    "label": (r"[^<>]{1,40}", True, False),
    "length": (r"[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]", False, False), "required": (BOOLEAN, False, False),
    "trackFeedHistory": (BOOLEAN, False, False), "trackHistory": (BOOLEAN, False, False),
    "type": (FIELD_TYPES, True, False), "unique": (BOOLEAN, False, False),
}  # fmt: skip
FIELD_PERMISSION: Table = {
    "editable": (BOOLEAN, True, False), "field": (rf"{NAME}\.{NAME}", True, False), "readable": (BOOLEAN, False, False),
}  # fmt: skip
PERMISSION_SET: Table = {
    "description": (TEXT, False, False), "fieldPermissions": (FIELD_PERMISSION, False, True),
    "hasActivationRequired": (BOOLEAN, False, False), "label": (r"[^<>]{1,80}", True, False), "license": (TEXT, False, False),
}  # fmt: skip
TYPES: Table = {"members": (rf"{NAME}(\.{NAME})?", True, True), "name": ("CustomField|PermissionSet", True, False)}
PACKAGE: Table = {"types": (TYPES, True, True), "version": (r"[0-9]{2}\.0", True, False)}
ROOTS: Mapping[str, Table] = {"CustomField": CUSTOM_FIELD, "PermissionSet": PERMISSION_SET, "Package": PACKAGE}
FILES = sorted(ROOT.rglob("*.xml"))


def problems(text: str) -> list[str]:
    """What is wrong with a metadata file; [] = nothing that the tables know of."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return [f"not well formed: {error}"]
    name = root.tag.removeprefix(NAMESPACE)
    if not root.tag.startswith(NAMESPACE) or name not in ROOTS:
        return [f"unknown root {root.tag}"]
    return _problems(root, ROOTS[name], name)


def _problems(element: ElementTree.Element, table: Table, place: str) -> list[str]:
    found, names = [], [child.tag.removeprefix(NAMESPACE) for child in element]
    found += [f"{place}: {name} is missing" for name, (_, needed, _) in table.items() if needed and name not in names]
    found += [f"{place}: {name} twice" for name in set(names) & table.keys() if names.count(name) > 1 and not table[name][2]]
    for name, child in zip(names, element, strict=True):
        if name not in table or child.attrib or not child.tag.startswith(NAMESPACE):
            found.append(f"{place}: unknown element {name}")
        elif isinstance(wanted := table[name][0], str):
            if len(child) or not re.fullmatch(wanted, child.text or ""):
                found.append(f"{place}.{name}: {child.text}")
        else:
            assert isinstance(wanted, Mapping)
            found += _problems(child, wanted, f"{place}.{name}")
    return found


def texts(file: Path, *path: str) -> list[str]:
    """The texts of elements below the root."""
    steps = "/".join(NAMESPACE + step for step in path)
    return [one.text or "" for one in ElementTree.parse(file).getroot().findall(steps)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_has_only_what_the_metadata_api_knows(file: Path) -> None:
    assert problems(file.read_text()) == []


def test_the_files_are_these() -> None:
    assert [str(file.relative_to(ROOT)) for file in FILES] == [
        "force-app/main/default/objects/Activity/fields/Mailspan_Key__c.field-meta.xml",
        "force-app/main/default/objects/Contact/fields/Mailspan_Key__c.field-meta.xml",
        "force-app/main/default/permissionsets/Mailspan.permissionset-meta.xml",
        "manifest/package.xml",
    ]


FIELD = FIELDS / "Activity/fields/Mailspan_Key__c.field-meta.xml"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (FIELD, "</label>", ""),
        (FIELD, "caseSensitive", "caseSensitiv"),
        (FIELD, "<unique>true</unique>", "<unique>yes</unique>"),
        (FIELD, "<type>Text</type>", "<type>Txt</type>"),
        (FIELD, "    <type>Text</type>\n", ""),
        (FIELD, "<length>64</length>", "<length>640</length>"),
        (FIELD, "<length>64</length>", "<length>64</length><length>64</length>"),
        (FIELD, "Mailspan_Key__c</fullName>", "Mailspan_Key</fullName>"),
        (FIELD, "http://soap.sforce.com/2006/04/metadata", "http://soap.sforce.com/2006/04/metadat"),
        (FIELD, "CustomField", "CustomFeld"),
        (PERMISSIONS, "<editable>true</editable>\n", "\n"),
        (PERMISSIONS, "<readable>true</readable>", "<readable>1</readable>"),
        (PERMISSIONS, "Event.Mailspan_Key__c", "Mailspan_Key__c"),
        (PERMISSIONS, "fieldPermissions", "fieldPermission"),
        (MANIFEST, "<name>CustomField</name>", "<name>CustomFields</name>"),
        (MANIFEST, "<version>67.0</version>", "<version>67</version>"),
    ],
)
def test_a_planted_fault_is_found(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text and problems(text.replace(old, new)) != []


@pytest.mark.parametrize("owner", ["Activity", "Contact"])
def test_the_key_is_a_unique_case_sensitive_external_id_of_64_characters(owner: str) -> None:
    file = FIELDS / owner / f"fields/{KEY}.field-meta.xml"
    wanted = {"fullName": KEY, "type": "Text", "length": "64", "unique": "true", "externalId": "true", "caseSensitive": "true"}
    assert {name: texts(file, name) for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert texts(file, "required") == ["false"], "a record that people make has none"


def test_the_permission_set_lets_users_read_and_write_the_key_and_nothing_else() -> None:
    granted = texts(PERMISSIONS, "fieldPermissions", "field")
    assert granted == [f"{owner}.{KEY}" for owner in ("Contact", "Event", "Task")]
    for name in ("readable", "editable"):
        assert texts(PERMISSIONS, "fieldPermissions", name) == ["true"] * 3


def test_the_manifest_names_every_file_in_the_version_that_the_product_speaks() -> None:
    assert texts(MANIFEST, "types", "members") == [f"Activity.{KEY}", f"Contact.{KEY}", "Mailspan"]
    version = ".".join(map(str, OURS))
    project = json.loads((ROOT / "sfdx-project.json").read_text())
    assert texts(MANIFEST, "version") == [version] == [project["sourceApiVersion"]]
    assert [ROOT / one["path"] for one in project["packageDirectories"]] == [ROOT / "force-app"]
