"""The floors: a module imports only what stands below it. The picture is the contract in pyproject.toml."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import grimp
import pytest
from importlinter import api, cli
from importlinter.contracts.layers import LayersContract

from tests.architecture.house import APPS, ROOT, modules

# An app's own package, and what Python needs around folders, hold no code that could import anything.
PACKAGES = {*APPS, "portal.management"}


@cache
def configuration() -> dict[str, Any]:
    found: dict[str, Any] = api.read_configuration(str(ROOT / "pyproject.toml"))
    return found


def contract() -> dict[str, Any]:
    [found] = [each for each in configuration()["contracts_options"] if each["type"] == "layers"]
    return found


def standing() -> list[str]:
    """Return every module that a floor names."""
    return [name for floor in contract()["layers"] for name in re.findall(r"[\w.]+", floor)]


def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*APPS, exclude_type_checking_imports=True, cache_dir=None)


def is_kept(imports: grimp.ImportGraph) -> bool:
    options = {name: value for name, value in contract().items() if name not in {"name", "id", "type"}}
    checked = LayersContract(contract()["name"], configuration()["session_options"], options).check(
        imports, verbose=False
    )
    return bool(checked.kept)


def test_every_contract_is_kept() -> None:
    assert cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == cli.EXIT_STATUS_SUCCESS


def test_every_module_stands_on_a_floor() -> None:
    floors = standing()
    homeless = [
        module.name
        for module in modules()
        if module.name not in PACKAGES
        and not any(module.name == floor or module.name.startswith(f"{floor}.") for floor in floors)
    ]
    assert homeless == []


def test_every_floor_is_there() -> None:
    there = {module.name for module in modules()}
    assert [name for name in standing() if name not in there] == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("audit.log", "governance.models"),
        ("audit.models.ledger", "registry.models"),
        ("registry.intake", "governance.lifecycle"),
        ("governance.models.reviews", "governance.policy"),
        ("governance.checks.sbom", "governance.reviews"),
        ("governance.reviews", "governance.web.submissions"),
        ("governance.decisions", "governance.tasks"),
        ("registry.people", "portal.urls"),
        ("portal.http", "registry.models"),
        ("portal.errors", "portal.http"),
    ],
)
def test_an_import_upwards_breaks_the_contract(importer: str, imported: str) -> None:
    imports = graph()
    assert is_kept(imports)
    imports.add_import(importer=importer, imported=imported)
    assert not is_kept(imports)
