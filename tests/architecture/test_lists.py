"""Families of one file each and one list: checks, readers, reports. What is in the folder is listed and tested."""

from __future__ import annotations

import ast

import pytest

from audit.reports import REPORTS
from governance import policy
from governance.checks import CHECKS, Check
from portal import handbook
from registry.readers import READERS
from tests.architecture.house import ROOT, parse

# What stands beside the members of a family: their protocol, and what works with all of them.
AROUND = {
    "governance/checks": {
        *("__init__", "base", "runner", "verdicts", "custom"),
        *("attestations", "keyless", "model_signing", "sources", "measurements", "staleness"),
    },
    "audit/reports": {"__init__", "base"},
}
# What a policy may ask and the shipped one does not: many builds cannot pin everything yet.
LEFT_TO_OTHERS = {"dependencies-pinned"}
SHIPPED = policy.read((policy.FOLDER / "default.yaml").read_text(encoding="utf-8"))


def members(folder: str, *names: str) -> set[str]:
    """Return the modules of a folder with a class at their top that assigns all of these names."""
    found = set()
    for path in (ROOT / folder).glob("*.py"):
        for node in parse(path).body:
            if isinstance(node, ast.ClassDef) and assigned(node) >= set(names):
                found.add(path.stem)
    return found - AROUND.get(folder, set())


def assigned(node: ast.ClassDef) -> set[str]:
    targets = [target for line in node.body if isinstance(line, ast.Assign) for target in line.targets]
    targets += [line.target for line in node.body if isinstance(line, ast.AnnAssign) and line.value is not None]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def home(thing: object) -> str:
    return type(thing).__module__.rpartition(".")[2]


def test_every_check_in_the_folder_is_on_the_list() -> None:
    in_folder = {path.stem for path in (ROOT / "governance/checks").glob("*.py")} - AROUND["governance/checks"]
    assert {home(check) for check in CHECKS} == in_folder
    assert members("governance/checks", "slug", "title", "asks") == in_folder


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.slug)
def test_every_check_is_named_known_documented_and_tested(check: Check) -> None:
    name = home(check)
    assert check.slug == name.replace("_", "-")
    assert check.asks.endswith("?")
    assert check.slug in policy.SCHEMA["properties"]["rules"]["properties"]
    assert check.slug in policy.SCHEMA["$defs"]["ruleList"]["items"]["enum"]
    assert f"(`{check.slug}`)" in (handbook.FOLDER / "checks.md").read_text(encoding="utf-8")
    test = ROOT / f"tests/governance/checks/test_{name}.py"
    assert test.exists()
    assert sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in parse(test).body) >= 3


def test_the_policy_schema_knows_no_other_rule() -> None:
    slugs = {check.slug for check in CHECKS}
    # What a policy writes itself is no check: it stands beside them.
    assert set(policy.SCHEMA["properties"]["rules"]["properties"]) - {"custom"} == slugs
    assert set(policy.SCHEMA["$defs"]["ruleList"]["items"]["enum"]) == slugs


def test_the_shipped_policy_asks_every_check_but_those_it_leaves_to_others() -> None:
    asked = {slug for place in (SHIPPED["baseline"], *SHIPPED["environments"].values()) for slug in place["rules"]}
    assert asked | LEFT_TO_OTHERS == {check.slug for check in CHECKS}
    assert not asked & LEFT_TO_OTHERS


def test_every_report_in_the_folder_is_on_the_list() -> None:
    assert {home(report) for report in REPORTS} == members("audit/reports", "slug", "title", "question")
    assert len({report.slug for report in REPORTS}) == len(REPORTS)


def test_every_reader_in_the_folder_is_on_the_list() -> None:
    # One class reads both kinds of documents that are only kept, so its names are given where it is made.
    plain = {"attachment"}
    assert {home(reader) for reader in READERS} == members("registry/readers", "slug", "title", "kind") | plain


def test_every_reader_and_report_is_tested() -> None:
    tests = list((ROOT / "tests").rglob("test_*.py"))
    named = " ".join(path.stem + path.read_text(encoding="utf-8") for path in tests)
    assert [home(each) for each in (*READERS, *REPORTS) if home(each) not in named] == []


def test_a_check_that_is_asked_under_a_condition_alone_is_said_to_be_asked_there() -> None:
    places = {"staging": {"rules": ["licence"]}, "production": {"rules": [], "when": [{"rules": ["evaluations"]}]}}
    shipped = {"baseline": {"rules": ["identity"]}, "environments": places}
    found = {slug: handbook.asked_for(slug, shipped) for slug in ("identity", "licence", "evaluations", "provenance")}
    assert found == {
        "identity": ["candidate"],
        "licence": ["staging"],
        "evaluations": ["production"],
        "provenance": [],
    }
