"""Describe: an object's facts in the shape of the vendor's answer.

Rules that hold here: every key a recorded describe has is here, with the value the schema knows or the one of a plain org; what
the stand-in has no use for (layouts, scopes of list views, child relationships outside the schema) is empty, never guessed.

It must never know a record.

Source: recorded describe answers (see the README of the contracts); REST API Developer Guide, "sObject Describe".
"""

from __future__ import annotations

from typing import Any

from sandbox.salesforce.schema import FLAGS, MERGEABLE, TEXT_TYPES, Field, ObjectType, Schema

SOAP_TYPES = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime",
    "address": "urn:address", "base64": "xsd:base64Binary",
}  # fmt: skip
#: What describe says of a field that the schema has no opinion on.
PLAIN_FIELD: dict[str, Any] = {
    "aiPredictionField": False, "autoNumber": False, "calculatedFormula": None, "cascadeDelete": False,
    "controllerName": None, "defaultValueFormula": None, "dependentPicklist": False, "deprecatedAndHidden": False,
    "displayLocationInDecimal": False, "encrypted": False, "extraTypeInfo": None, "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False, "highScaleNumber": False, "htmlFormatted": False, "inlineHelpText": None,
    "mask": None, "maskType": None, "referenceTargetField": None, "relationshipOrder": None, "restrictedDelete": False,
    "searchPrefilterable": False, "writeRequiresMasterRead": False,
}  # fmt: skip
PLAIN_OBJECT: dict[str, Any] = {
    "activateable": False, "associateEntityType": None, "associateParentEntity": None,
    "custom": False, "customSetting": False, "deepCloneable": False, "deprecatedAndHidden": False,
    "feedEnabled": False, "hasSubtypes": False, "isInterface": False, "isSubtype": False, "layoutable": True,
    "mruEnabled": True, "queryable": True, "replicateable": True, "retrieveable": True, "searchable": True, "triggerable": True,
}  # fmt: skip
PLAIN_DESCRIBE: dict[str, Any] = {
    "actionOverrides": [], "compactLayoutable": True,
    "defaultImplementation": None, "extendedBy": None, "extendsInterfaces": None, "implementedBy": None,
    "implementsInterfaces": None, "listviewable": None, "lookupLayoutable": None, "namedLayoutInfos": [],
    "networkScopeFieldName": None, "recordTypeInfos": [], "searchLayoutable": True, "sobjectDescribeOption": "FULL",
    "supportedScopes": [],
}  # fmt: skip
UNGROUPED = frozenset({"address", "base64", "boolean"})


def field(schema: Schema, one: Field) -> dict[str, Any]:
    """One entry of `fields`."""
    length = schema.length(one)
    digits, precision, scale = one.number
    return {
        **PLAIN_FIELD,
        **{flag: letter in one.flags for letter, flag in FLAGS.items()},
        "aggregatable": one.type not in UNGROUPED and "f" in one.flags,
        "byteLength": length * 3 if one.type in TEXT_TYPES else length,
        "compoundFieldName": one.compound,
        "custom": one.custom,
        "defaultValue": one.default,
        "digits": digits,
        "label": one.label,
        "length": length,
        "name": one.name,
        "namePointing": len(one.references) > 1,
        "permissionable": one.compound != "Name" and "c" in one.flags and not one.required and one.name != "OwnerId",
        "picklistValues": [_picklist_value(one, value) for value in one.picklist],
        "precision": precision,
        "queryByDistance": one.type == "address",
        "referenceTo": list(one.references),
        "relationshipName": one.relationship,
        "restrictedPicklist": one.restricted,
        "scale": scale,
        "soapType": SOAP_TYPES.get(one.type, "xsd:string"),
        "type": one.type,
    }


def summary(owner: ObjectType, version: str) -> dict[str, Any]:
    """One entry of the global describe's `sobjects`."""
    base = f"/services/data/{version}/sobjects/{owner.name}"
    return {
        **PLAIN_OBJECT,
        **{act: owner.may(act) for act in ("createable", "updateable", "deletable", "undeletable")},
        "keyPrefix": owner.prefix,
        "label": owner.label,
        "labelPlural": owner.plural,
        "mergeable": owner.name in MERGEABLE,
        "name": owner.name,
        "urls": {
            "rowTemplate": f"{base}/{{ID}}",
            "describe": f"{base}/describe",
            "sobject": base,
            "layouts": f"{base}/describe/layouts",
            "compactLayouts": f"{base}/describe/compactLayouts",
        },
    }


def describe(schema: Schema, owner: ObjectType, version: str, base_url: str) -> dict[str, Any]:
    """The whole answer for one object."""
    answer = {**PLAIN_DESCRIBE, **summary(owner, version)}
    answer["urls"] = answer["urls"] | {
        "uiDetailTemplate": f"{base_url}/{{ID}}",
        "uiEditTemplate": f"{base_url}/{{ID}}/e",
        "uiNewRecord": f"{base_url}/{owner.prefix}/e",
    }
    answer["childRelationships"] = [
        _child(child, link) for child in schema for link in child.fields.values() if owner.name in link.references
    ]
    answer["fields"] = [field(schema, one) for one in owner.fields.values()]
    return answer


def _picklist_value(one: Field, value: str) -> dict[str, Any]:
    return {"active": True, "defaultValue": value == one.default, "label": value, "validFor": None, "value": value}


def _child(child: ObjectType, link: Field) -> dict[str, Any]:
    return {
        "cascadeDelete": False, "childSObject": child.name, "deprecatedAndHidden": False, "field": link.name,
        "junctionIdListNames": [], "junctionReferenceTo": [], "relationshipName": None, "restrictedDelete": False,
    }  # fmt: skip
