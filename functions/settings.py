"""The doors of settings: one's own, the company's, named profiles, who has which; the audit, a former state, one file of all.

Every route is in `functions.openapi.ROUTES`, which says too which roles open it.

Rules that hold here:
- A change names settings; what it does not name stays, null takes one out. One refused setting refuses the whole change and is
  named. Versions and bodies: `functions.layers`.
Source: behaviour.md P4 to P6.
"""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import azure.functions as func

from functions.answers import Answer, Call, Problem
from functions.layers import body_of, etag, match, part_of, said_in, settings_door
from functions.openapi import ADMINS, DEFAULT_LIMIT, MAX_LIMIT

if TYPE_CHECKING:
    from shared.access.audit import Action, Audit, By, Entry, State
    from shared.access.profiles import Layer, Profiles

bp = func.Blueprint()

MAX_PROFILES = 99  # with the company's layer they are one commit


# --- one's own ----------------------------------------------------------------------------------------------------------


@settings_door(bp, "me_settings")
def me_settings(call: Call) -> Answer:
    return _mine(_profiles().layers_of(call.entry.key))


@settings_door(bp, "me_settings_change")
def me_settings_change(call: Call) -> Answer:
    """A mailbox's own layer never forces: what stands in it counts for itself alone."""
    given = part_of(body_of(call, "settings"), "settings")
    said = {name: None if value is None else {"value": value, "mode": "allow"} for name, value in given.items()}
    layer = _profiles().layers_of(call.entry.key)[-1]
    _changed(call, layer, _merged(layer, said))
    return _mine(_profiles().layers_of(call.entry.key))


def _mine(layers: "list[Layer]") -> Answer:
    """MySettings, with the version of the mailbox's own layer."""
    from shared.access.profiles import COMPANY_ONLY, origin
    from shared.core.profile import SETTINGS, Profile

    values = Profile(*(layer.state.values for layer in layers))
    found = []
    for setting in SETTINGS:
        source, number = origin(setting.name, layers).layer, setting.kind == "number"
        found.append(
            {
                "name": setting.name,
                "kind": setting.kind,
                "value": values[setting.name],
                "layer": source.kind if source is not None else "default",
                "forced": origin(setting.name, layers[:-1]).forced,
                "company_only": setting.name in COMPANY_ONLY,
                "default": setting.default,
                "low": setting.low if number else None,
                "high": setting.high if number else None,
                "choices": setting.choices,
                "text": setting.text,
                "seed": setting.seed,
            }
        )
    own = layers[-1]
    return Answer({"profile": own.state.profile or None, "settings": found}, headers=etag(own.version))


# --- the company, its profiles, who has which ---------------------------------------------------------------------------


@settings_door(bp, "settings_company")
def company(call: Call) -> Answer:
    from shared.access.profiles import COMPANY

    return _shown(_profiles().read(COMPANY))


@settings_door(bp, "settings_company_change")
def company_change(call: Call) -> Answer:
    from shared.access.profiles import COMPANY

    said = said_in(part_of(body_of(call, "settings"), "settings"), "settings", nothing=True)
    layer = _profiles().read(COMPANY)
    return _shown(_changed(call, layer, _merged(layer, said)))


@settings_door(bp, "settings_profiles")
def profiles(call: Call) -> Answer:
    return Answer({"profiles": [_layer(layer) for layer in _profiles().named()]})


@settings_door(bp, "settings_profile")
def profile(call: Call) -> Answer:
    return _shown(_known_profile(call.request.route_params.get("name", "")))


@settings_door(bp, "settings_profile_change")
def profile_change(call: Call) -> Answer:
    from shared.access.profiles import profile_layer

    said = said_in(part_of(body_of(call, "settings"), "settings"), "settings", nothing=True)
    try:
        layer = _profiles().read(profile_layer(call.request.route_params.get("name", "")))
    except ValueError:
        raise Problem(400, "settings.profile_name") from None
    return _shown(_changed(call, layer, _merged(layer, said)))


@settings_door(bp, "settings_mailbox")
def mailbox(call: Call) -> Answer:
    return _shown(_layer_of_mailbox(call, call.request.route_params.get("mailbox", "")))


@settings_door(bp, "settings_mailbox_change")
def mailbox_change(call: Call) -> Answer:
    """Gives the mailbox a profile that is there, or none; its own settings stay."""
    from shared.access.audit import State

    name = body_of(call, "profile")["profile"]
    if name is not None and not isinstance(name, str):
        raise Problem(400, "request.body", place="profile")
    layer = _layer_of_mailbox(call, call.request.route_params.get("mailbox", ""))
    if name is not None:
        _known_profile(name)
    return _shown(_changed(call, layer, State(layer.state.values, name or ""), "assign"))


def _known_profile(name: str) -> "Layer":
    from shared.access.profiles import ABSENT, profile_layer

    try:
        layer = _profiles().read(profile_layer(name))
    except ValueError:
        raise Problem(404, "settings.profile_unknown") from None
    if layer.version == ABSENT:
        raise Problem(404, "settings.profile_unknown")
    return layer


def _layer_of_mailbox(call: Call, key: str) -> "Layer":
    from shared.access.profiles import user_layer

    return _profiles().read(user_layer(_mailbox(call, key)))


def _mailbox(call: Call, key: str) -> Any:
    from shared.access import directory
    from shared.wire import wire

    entry = directory.by_key(wire().store, call.identity.tenant, key) if re.fullmatch(r"[a-z2-7]{26}", key) else None
    if entry is None or entry.key != key:
        raise Problem(404, "mailbox.unknown")
    return entry.key


# --- the audit ----------------------------------------------------------------------------------------------------------


@settings_door(bp, "settings_audit")
def audit(call: Call) -> Answer:
    from shared.access.audit import BadCursor

    text = call.request.params.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise Problem(400, "request.limit", most=MAX_LIMIT)
    try:
        page = _audit(call).entries(call.request.params.get("next", ""), int(text))
    except BadCursor as bad:
        raise Problem(400, bad.code) from None
    return Answer({"entries": [_entry(entry) for entry in page.entries], "next": page.next or None})


@settings_door(bp, "settings_restore")
def restore(call: Call) -> Answer:
    """What is no setting any more, or no value of one, is left out; the company's layer is an admin's."""
    from shared.access.audit import State
    from shared.access.profiles import COMPANY
    from shared.core.profile import BY_NAME as SETTINGS_BY_NAME
    from shared.core.profile import valid

    to = body_of(call, "to")["to"]
    if to not in ("before", "after"):
        raise Problem(400, "request.body", place="to")
    entry = _audit(call).find(call.request.route_params.get("id", ""))
    if entry is None:
        raise Problem(404, "settings.entry_unknown")
    if entry.layer == COMPANY and call.identity.role not in ADMINS:
        raise Problem(403, "settings.role")
    state = entry.before if to == "before" else entry.after
    known = {name: one for name, one in state.values.items() if name in SETTINGS_BY_NAME}
    usable = {name: one for name, one in known.items() if valid(SETTINGS_BY_NAME[name], one["value"])}
    layer = _profiles().read(entry.layer)
    return _shown(_changed(call, layer, State(usable, state.profile), "restore"))


def _audit(call: Call) -> "Audit":
    from shared.access.profiles import COMPANY, user_layer

    whose = call.request.params.get("mailbox", "")
    return _profiles().audit(user_layer(_mailbox(call, whose)) if whose else COMPANY)


def _entry(entry: "Entry") -> dict[str, Any]:
    from shared.access.profiles import Layer
    from shared.session.records import text_of

    layer = Layer(entry.layer)
    return {
        "id": entry.id,
        "at": text_of(entry.by.at),
        "who": entry.by.who,
        "role": entry.by.role,
        "action": entry.by.action,
        "layer": layer.kind,
        "name": layer.name,
        "changes": [
            {"setting": name, "before": _stood(entry.before, name), "after": _stood(entry.after, name)}
            for name in entry.changed
        ],
    }


def _stood(state: "State", name: str) -> Mapping[str, Any] | None:
    if name == "profile":  # no setting has this name: the mailbox got another profile
        return {"value": state.profile} if state.profile else None
    return state.values.get(name)


# --- one file of all ----------------------------------------------------------------------------------------------------


@settings_door(bp, "settings_export")
def export(call: Call) -> Answer:
    return _file()


@settings_door(bp, "settings_import")
def import_(call: Call) -> Answer:
    """One commit: the company's layer and each profile that the file names become what it says; other profiles stay."""
    from shared.access.audit import State
    from shared.access.profiles import ABSENT, COMPANY, Change, profile_layer, refuse

    body = body_of(call, "v", "company", "profiles")
    if type(body["v"]) is not int or body["v"] != 1:
        raise Problem(400, "request.body", place="v")
    given = part_of(body, "profiles")
    if len(given) > MAX_PROFILES:
        raise Problem(400, "request.body", place="profiles")
    try:
        files = {profile_layer(name): part_of(given, name, "profiles") for name in given}
    except ValueError:
        raise Problem(400, "settings.profile_name") from None
    files[COMPANY] = part_of(body, "company")
    changes = []
    standing = {layer.key: layer for layer in _all_layers()}
    match(call, _version_of_all(list(standing.values())))
    for key, said in files.items():
        after = State({name: one for name, one in said_in(said, key).items() if one is not None})
        refuse(after, State(), "company", ())
        changes.append(Change(key, standing[key].version if key in standing else ABSENT, after))
    _profiles().change(changes, _by(call, "import"))
    return _file()


def _all_layers() -> "list[Layer]":
    from shared.access.profiles import COMPANY

    return [_profiles().read(COMPANY), *_profiles().named()]


def _file() -> Answer:
    company, *named = _all_layers()
    body = {"v": 1, "company": company.state.values, "profiles": {layer.name: layer.state.values for layer in named}}
    name = {"Content-Disposition": 'attachment; filename="mailspan-settings.json"'}
    return Answer(body, headers={**etag(_version_of_all([company, *named])), **name})


def _version_of_all(layers: "list[Layer]") -> str:
    import hashlib

    return hashlib.sha256(json.dumps([[layer.key, layer.version] for layer in layers]).encode()).hexdigest()[:32]


# --- what all of them do -----------------------------------------------------------------------------------------------


def _profiles() -> "Profiles":
    from shared.wire import wire

    return wire().profiles


def _by(call: Call, action: "Action") -> "By":
    from shared.access.audit import By
    from shared.wire import wire

    return By(call.identity.mailbox, call.identity.role, action, wire().clock.now())


def _changed(call: Call, layer: "Layer", after: "State", action: "Action" = "change") -> "Layer":
    """The layer as it stands after the change, which is refused as a whole where one setting is."""
    from shared.access.profiles import Change, refuse

    match(call, layer.version)
    refuse(after, layer.state, layer.kind, _profiles().wider_than(layer))
    (found,) = _profiles().change([Change(layer.key, layer.version, after)], _by(call, action))
    return found


def _shown(layer: "Layer") -> Answer:
    return Answer(_layer(layer), headers=etag(layer.version))


def _layer(layer: "Layer") -> dict[str, Any]:
    own = layer.state
    return {"layer": layer.kind, "name": layer.name, "profile": own.profile or None, "settings": own.values}


def _merged(layer: "Layer", said: Mapping[str, Mapping[str, Any] | None]) -> "State":
    """What the layer is after the change."""
    from shared.access.audit import State
    from shared.access.profiles import SettingRefused
    from shared.core.profile import BY_NAME as SETTINGS_BY_NAME

    unknown = [name for name in said if name not in SETTINGS_BY_NAME and name not in layer.state.values]
    if unknown:
        raise SettingRefused("settings.unknown", unknown[0])
    values = {**layer.state.values, **{name: one for name, one in said.items() if one is not None}}
    return State({name: one for name, one in values.items() if said.get(name, one) is not None}, layer.state.profile)
