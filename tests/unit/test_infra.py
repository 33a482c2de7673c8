"""The deployment's files agree with each other and with the code. Nothing here proves that a template deploys."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import azure.functions as func
import jsonschema_rs
import pycep
import pytest
import tree_sitter
import tree_sitter_bicep
import yaml

from functions import me, sessions, timers, webhooks
from shared import settings
from shared.core.ringing import QUEUE
from shared.session.run import SessionReport

ROOT = Path(__file__).resolve().parents[2]
#: Recorded vendor files stay outside the repository; CI has them.
AZD_SCHEMA = ROOT.parent / "shared" / "contracts" / "azure.yaml.schema.json"
FILES = sorted((ROOT / "infra").rglob("*.bicep"))
BICEP = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
#: settings that only a machine of one's own has
LOCAL = {"MAILSPAN_SIGNING_KEY_FILE", "MAILSPAN_SALESFORCE_JWT_KEY_FILE", "MAILSPAN_CA_FILE", "MAILSPAN_CLOCK_FILE"}
#: the vendor's ids of the roles that are given, and how often
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "12338af0-0e69-4776-bea7-57ae8d297424": "Key Vault Crypto User",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
}


@cache
def bicep(name: str) -> dict[str, Any]:
    found: dict[str, Any] = pycep.BicepParser().parse(file_path=ROOT / "infra" / name)
    return found


def without_distant_parts(schema: Any) -> Any:
    """The schema without what it takes from other addresses, which is about AI services that we have none of."""
    if isinstance(schema, list):
        return [without_distant_parts(one) for one in schema]
    if isinstance(schema, dict):
        return {k: without_distant_parts(v) for k, v in schema.items() if not (k == "$ref" and v.startswith("https://"))}
    return schema


def resource(file: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = bicep(f"modules/{file}.bicep")["resources"][name]["config"]
    return found


def app_settings() -> dict[str, Any]:
    found: dict[str, Any] = resource("app", "settings")["properties"]
    return found


@cache
def all_functions() -> list[Any]:
    """The functions of the app, of an app of our own: a FunctionApp tells them once."""
    app = func.FunctionApp()
    for blueprint in (me.bp, sessions.bp, timers.bp, webhooks.bp):
        app.register_functions(blueprint)
    return list(app.get_functions())


def faults(text: bytes) -> bool:
    return BICEP.parse(text).root_node.has_error


def alerts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / "infra/alerts.json").read_text())["alerts"]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_bicep_file_parses_and_would_not_without_its_last_brace(file: Path) -> None:
    text = file.read_bytes()
    assert not faults(text)
    assert faults(text[: text.rindex(b"}")])


def test_every_module_gets_exactly_the_parameters_it_asks_for() -> None:
    modules = bicep("main.bicep")["modules"]
    assert {Path(module["detail"]["full"]).stem for module in modules.values()} == {f.stem for f in FILES} - {"main"}
    for module in modules.values():
        asked = bicep(str(module["detail"]["full"]))["parameters"]
        config = module["config"].get("config", module["config"])  # one level deeper behind an `if`
        given = set(config["params"])
        assert given <= set(asked), module
        assert {name for name, one in asked.items() if one["default"] is None} <= given, module


def test_every_output_that_is_used_exists() -> None:
    text = (ROOT / "infra/main.bicep").read_text()
    used = set(re.findall(r"(\w+)\.outputs\.(\w+)", text))
    assert len(used) > 10
    for module, output in used:
        assert output in bicep(f"modules/{module}.bicep")["outputs"], (module, output)


def test_parameters_that_azd_fills_in_are_parameters_of_the_template_and_none_is_a_secret() -> None:
    given = json.loads((ROOT / "infra/main.parameters.json").read_text())["parameters"]
    asked = bicep("main.bicep")["parameters"]
    assert set(given) <= set(asked)
    assert {name for name, one in asked.items() if one["default"] is None} <= set(given)
    for name in [*asked, *bicep("main.bicep")["outputs"]]:
        assert not re.search("secret$|key$|password|connection", name, re.IGNORECASE) or name.startswith("salesforceHas"), name


def test_every_setting_of_the_code_is_set_and_every_one_that_is_set_is_read() -> None:
    read = {variable for variable, _ in settings._NAMES.values()}
    assert read >= LOCAL
    assert {name for name in app_settings() if name.startswith("MAILSPAN_")} == read - LOCAL


def test_secrets_are_references_into_the_vault_and_nothing_else_is() -> None:
    secret = {name for name, value in app_settings().items() if "${secrets}" in json.dumps(value)}
    assert secret == {
        "MAILSPAN_INSTALL_SECRET", "MAILSPAN_WEBHOOK_SECRETS", "MAILSPAN_SIGNING_KEY", "MAILSPAN_MICROSOFT_CLIENT_ID",
        "MAILSPAN_MICROSOFT_CLIENT_SECRET", "MAILSPAN_SALESFORCE_CLIENT_ID", "MAILSPAN_SALESFORCE_CLIENT_SECRET",
        "MAILSPAN_SALESFORCE_JWT_KEY",
    }  # fmt: skip
    kept = {settings._NAMES[f.name][0] for f in fields(settings.Settings) if not f.repr} - {"MAILSPAN_STORAGE"}
    assert kept <= secret
    assert app_settings()["MAILSPAN_STORAGE"] == "storageName"  # a name, so that access is the identity's


def test_storage_is_reached_by_identity_alone() -> None:
    account = resource("storage", "account")["properties"]
    assert (account["allowSharedKeyAccess"], account["allowBlobPublicAccess"]) == (False, False)
    assert (account["minimumTlsVersion"], account["supportsHttpsTrafficOnly"]) == ("TLS1_2", True)
    given = {name for name in app_settings() if name.startswith("AzureWebJobsStorage")}
    kinds = ("credential", "clientId", "blobServiceUri", "queueServiceUri", "tableServiceUri")
    assert given == {f"AzureWebJobsStorage__{kind}" for kind in kinds}
    assert not re.search("listKeys|AccountKey|@secure", "".join(file.read_text() for file in FILES))


def test_the_vault_cannot_be_purged_and_its_key_wraps_and_does_nothing_else() -> None:
    vault, key = resource("vault", "vault")["properties"], resource("vault", "wrapping")["properties"]
    assert vault["enablePurgeProtection"] is vault["enableSoftDelete"] is vault["enableRbacAuthorization"] is True
    assert (key["kty"], key["keySize"], key["keyOps"]) == ("RSA", 3072, ["wrapKey", "unwrapKey"])


def test_the_roles_are_the_ones_of_the_table_and_each_is_given_once() -> None:
    text = "".join(file.read_text() for file in FILES)
    found = re.findall(r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'", text)
    assert sorted(found) == sorted(ROLES)


def test_the_app_is_what_the_code_needs_and_the_sessions_are_always_ready() -> None:
    config = resource("app", "site")["properties"]["functionAppConfig"]
    python = (ROOT / ".python-version").read_text().strip()
    assert config["runtime"] == {"name": "python", "version": ".".join(python.split(".")[:2])}
    ready = {group["name"]: group["instanceCount"] for group in config["scaleAndConcurrency"]["alwaysReady"]}
    assert ready == {"http": 1, "function:session": 1}
    triggers = {one.get_function_name(): one.get_trigger() for one in all_functions()}
    assert triggers["session"].get_dict_repr()["queueName"] == QUEUE
    assert resource("app", "plan")["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    ignored = {"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_TIME_ZONE"}
    assert not ignored & set(app_settings())


def test_queues_of_the_template_are_the_ones_that_functions_listen_to_through_the_connection_that_is_set() -> None:
    bound = [b.get_dict_repr() for one in all_functions() for b in one.get_bindings()]
    queues = [one for one in bound if "queueName" in one]
    text = (ROOT / "infra/modules/storage.bicep").read_text()
    (made,) = re.findall(r"var queueNames = \[(.*?)\]", text)
    assert {name.strip(" '") for name in made.split(",")} == {one["queueName"] for one in queues}
    assert {one["connection"] for one in queues} == {"AzureWebJobsStorage"}


def test_alerts_refer_to_lines_and_fields_that_the_code_writes() -> None:
    wire = (ROOT / "shared/wire.py").read_text()
    events = set(re.findall(r'"event": "(\w+)"', wire))
    lines = {
        "session": {f.name for f in fields(SessionReport)},
        "poll": {"result"} if '"result": "ok"' in wire else set(),
        "sweep": {"rung"},
        "poison": {"mailbox"},
    }
    for alert in alerts():
        (event,) = re.findall(r"line\.event\) == '(\w+)'", alert["query"])
        assert event in events
        assert set(re.findall(r"line\.(\w+)", alert["query"])) - {"event"} <= lines[event], alert["name"]
        assert alert["query"].startswith("AppTraces | where Message startswith '{\"event\"'")
        assert " value = " in alert["query"].rpartition("|")[2]
    assert {"result", "waited_ms"} <= {f for alert in alerts() for f in re.findall(r"line\.(\w+)", alert["query"])}
    assert len({alert["name"] for alert in alerts()}) == len(alerts())


def test_the_template_uses_every_column_of_the_alerts_and_no_other() -> None:
    used = set(re.findall(r"\balert\.(\w+)", (ROOT / "infra/modules/monitoring.bicep").read_text()))
    assert all(set(alert) == used for alert in alerts())


def test_azure_yaml_fits_its_schema_and_our_stricter_wishes() -> None:
    given = yaml.safe_load((ROOT / "azure.yaml").read_text())
    if not AZD_SCHEMA.is_file():
        pytest.skip(f"the schema of azure.yaml is not at {AZD_SCHEMA}")
    schema = json.loads(AZD_SCHEMA.read_text())
    judge = jsonschema_rs.validator_for(without_distant_parts(schema))
    assert list(judge.iter_errors(given)) == []
    assert not judge.is_valid({key: value for key, value in given.items() if key != "name"})
    assert set(given) == {"name", "metadata", "infra", "services", "hooks"}
    assert given["services"] == {"api": {"project": ".", "language": "python", "host": "function"}}
    assert (ROOT / given["infra"]["path"] / f"{given['infra']['module']}.bicep").is_file()
    tag = bicep("main.bicep")["modules"]["app"]["config"]["params"]["tags"]
    assert "'azd-service-name': 'api'" in (ROOT / "infra/main.bicep").read_text(), tag
    for hook in given["hooks"].values():
        for shell in ("posix", "windows"):
            assert (ROOT / hook[shell]["run"].split()[1]).is_file()
