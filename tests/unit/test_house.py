"""The house: what is imported when, what ships, and what set-up says where something is missing."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shared

ROOT = Path(__file__).resolve().parents[2]
#: import name -> distribution, where they differ
DISTRIBUTIONS = {"azure.data": "azure-data-tables", "azure.storage": "azure-storage-queue", "azure.identity": "azure-identity",
                 "azure.functions": "azure-functions", "azure.keyvault": "azure-keyvault-keys", "azure.core": "azure-core",
                 "jwt": "pyjwt", "dateutil": "python-dateutil", "googleapiclient": "google-api-python-client",
                 "simple_salesforce": "simple-salesforce"}  # fmt: skip


def test_the_package_shared_is_ours() -> None:
    assert Path(shared.__file__ or "").parent == ROOT / "shared"


def _loaded(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_importing_the_app_loads_nothing_but_azure_functions_the_standard_library_and_our_own() -> None:
    more = _loaded("import function_app") - _loaded("import azure.functions")
    foreign = {name.split(".")[0] for name in more} - sys.stdlib_module_names - {"function_app", "functions", "shared"}
    assert foreign == set()
    assert "functions.webhooks" in more


def _imports(folder: str) -> set[str]:
    found: set[str] = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


def _pins(file: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return dict(line.split("==") for line in lines if "==" in line)


def test_every_third_party_import_of_the_product_is_pinned_to_ship() -> None:
    pins, missing = _pins("requirements.txt"), set()
    for name in _imports("shared") | _imports("functions"):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top in ("shared", "functions"):
            continue
        distribution = DISTRIBUTIONS.get(".".join(name.split(".")[:2])) or DISTRIBUTIONS.get(top, top)
        if distribution != "azure-core" and distribution not in pins:
            missing.add(distribution)
    assert missing == set()


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_exactly_and_has_its_reason(file: str) -> None:
    reasons = (ROOT / "docs/decisions/001-libraries.md").read_text()
    for line in (ROOT / file).read_text().splitlines():
        if line and not line.startswith(("#", "-r")):
            assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line), line
            assert f"| {line.split('==')[0]} |" in reasons, f"{line} has no line in docs/decisions/001-libraries.md"


def test_no_licence_of_what_ships_forbids_mit_distribution() -> None:
    for name in _pins("requirements.txt"):
        metadata = importlib.metadata.metadata(name)
        licence = f"{metadata.get('License-Expression')} {metadata.get('License')} {metadata.get_all('Classifier')}"
        assert not re.search(r"\b(A?GPL)", licence.replace("LGPL", "")), name


def test_set_up_says_what_to_install_where_a_tool_is_missing(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "cat", "cksum", "head", "tail"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/setup.sh").write_text((ROOT / "scripts/setup.sh").read_text())
    for file in ("requirements.txt", "package.json", "package-lock.json", ".python-version"):
        (tmp_path / file).write_text("")

    def run() -> subprocess.CompletedProcess[str]:
        command = ["/usr/bin/bash", str(tmp_path / "scripts/setup.sh")]
        return subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)

    without_python = run()
    assert without_python.returncode == 1
    assert "needs Python 3.13" in without_python.stderr
    (tmp_path / "python3").symlink_to(sys.executable)
    without_node = run()
    assert without_node.returncode == 1
    assert "needs Node 20 or newer" in without_node.stderr


def test_the_readmes_two_commands_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in ("make run", "make test"):
        assert command in readme
        assert command.split()[1] in targets
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_the_tables_of_docs_sync_are_what_the_code_says() -> None:
    ended = subprocess.run(
        [sys.executable, "scripts/sync_doc.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
