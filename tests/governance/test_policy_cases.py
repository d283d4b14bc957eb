"""A policy's own cases: they say what it means, show everything both ways, and notice every small change of it."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from governance import cases, mutants, policy
from tests.architecture.house import ROOT
from tests.policies import shipped

RULE = "no-personal-data-in-low-risk"
WHEN = [{"if": 'version.risk == "critical"', "approvals": ["security"], "valid_days": 30}]


def run(content: dict[str, Any]) -> cases.Report:
    """Return what came of a content's cases, as the policy that it is read as."""
    return cases.run(policy.read(yaml_of(content)))


def yaml_of(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False))


def without(content: dict[str, Any], *numbers: int) -> dict[str, Any]:
    found = deepcopy(content)
    found["tests"] = [each for number, each in enumerate(found["tests"], start=1) if number not in numbers]
    return found


def staged(*tests: dict[str, Any], when: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the shipped policy with a condition for staging and cases of it."""
    content = shipped("environments.staging.when", when or WHEN)
    content["tests"] += tests
    return content


def test_the_shipped_policy_could_be_published() -> None:
    report = run(shipped())
    assert (report.is_green, report.gaps, report.failed, report.survivors) == (True, (), [], [])
    assert report.sentences == ["7 of 7 cases hold; 21 of 21 changes are noticed."]


def test_a_case_that_does_not_hold_says_what_was_seen_and_stops_the_changes() -> None:
    content = shipped()
    content["tests"][0]["expect"] = {"denied": []}
    report = run(content)
    assert not report.is_green
    assert report.sentences[0] == (f"Case 1 (personal data in a low-risk version): denied is {RULE}, expected nothing.")
    assert report.mutants == ()


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ((1,), f"The rule {RULE} bites in no case."),
        ((2, 3), f"The rule {RULE} lets through in no case."),
        ((4,), "The threshold latency/p95_ms max 800 lets through in no case."),
        ((5,), "The threshold quality/accuracy min 0.85 bites in no case."),
    ],
)
def test_what_is_shown_one_way_only_is_a_gap(gone: tuple[int, ...], said: str) -> None:
    report = run(without(shipped(), *gone))
    assert said in report.gaps
    assert not report.is_green


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ((2,), "&& at 23 changed into ||"),
        ((7,), "block critical moved to high"),
    ],
)
def test_a_change_that_no_case_notices_survives(gone: tuple[int, ...], said: str) -> None:
    content = without(shipped(), *gone)
    if gone == (2,):
        content = without(content, 2)
        content["tests"].append({"given": {"version": {"risk": "medium"}}, "expect": {"denied": []}})
    report = run(content)
    assert said in [mutant.says for mutant in report.survivors]
    assert any("no case notices it" in sentence for sentence in report.sentences)


def test_values_far_from_a_threshold_do_not_notice_that_it_moved() -> None:
    content = shipped()
    content["tests"][4]["given"]["metrics"]["quality/accuracy"] = "0.5"
    report = run(content)
    assert [mutant.says for mutant in report.survivors] == ["min 0.85 moved to 0.84"]
    assert [mutant.says for mutant in run(without(shipped(), 4)).survivors if "0.85" in mutant.says] == [
        "min 0.85 moved to 0.86"
    ]


def test_conditions_of_environments_are_shown_and_changed_too() -> None:
    low = {"given": {"environment": "staging"}, "expect": {"approvals": ["platform"], "valid_days": 180}}
    risky = {
        "given": {"environment": "staging", "version": {"risk": "critical"}},
        "expect": {"approvals": ["security", "platform"], "valid_days": 30, "reauthenticate": False},
    }
    assert run(staged(low, risky)).is_green
    assert 'Condition 1 of staging (version.risk == "critical") bites in no case.' in run(staged(low)).gaps
    wrong = {**risky, "expect": {"approvals": ["platform"]}}
    assert "approvals is platform, security, expected platform." in run(staged(low, wrong)).sentences[0]
    beside = {**risky, "expect": {"rules": ["vulnerabilities", "evaluations"]}}
    assert 'Condition 1 of staging (version.risk == "critical") bites in no case.' in run(staged(low, beside)).gaps


def test_a_rule_that_cannot_be_evaluated_stands_in_the_way_of_a_case_and_shows_nothing() -> None:
    content = shipped()
    content["rules"]["custom"] = [{"id": "slow", "deny_if": 'metrics["latency/p50"] > 5', "say": "Too slow."}]
    content["tests"] = content["tests"][3:]
    content["tests"] += [
        {"expect": {"denied": ["slow"]}},
        {"given": {"metrics": {"latency/p50": 5}}, "expect": {"denied": []}},
    ]
    report = run(content)
    assert report.gaps == ("The rule slow bites in no case.",)
    content["tests"][-2]["expect"] = {"denied": []}
    [failed] = run(content).failed
    assert failed.problems == (
        "denied is slow, expected nothing.",
        "Slow could not be evaluated: there is no metrics.latency/p50.",
    )


def test_a_policy_without_cases_is_not_green_and_one_with_nothing_to_show_is() -> None:
    assert not run(without(shipped(), *range(1, 8))).is_green
    content = without(shipped(), *range(1, 8))
    for place in content["environments"].values():
        place["rules"] = ["owners"]
    content["rules"] = {"provenance": content["rules"]["provenance"]}
    assert run(content).is_green


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('version.risk == "a == b"', ['version.risk != "a == b"']),
        ("!asset.has_owner", ["asset.has_owner"]),
        ("version.size <= 5", ["version.size < 5", "version.size > 5"]),
        ("version.size > -5", ["version.size >= -5", "version.size <= -5"]),
        ("asset.has_owner != !asset.has_backup_owner", [
            "asset.has_owner == !asset.has_backup_owner", "asset.has_owner != asset.has_backup_owner",
        ]),
        ("datasets.all(d, !d.personal_data) || true", [
            "datasets.all(d, d.personal_data) || true", "datasets.all(d, !d.personal_data) && true",
        ]),
        ("asset.has_owner", []),
    ],
)  # fmt: skip
def test_each_operator_of_a_condition_is_changed_and_nothing_inside_a_text(text: str, expected: list[str]) -> None:
    assert [change.value for change in mutants.conditions(text)] == expected


def test_a_threshold_moves_by_its_last_digit_either_way() -> None:
    assert [change.value for change in mutants.thresholds({"max": "0.10"})] == [
        {"max": "0.09"}, {"max": "0.11"}, {"min": "0.10"},
    ]  # fmt: skip
    assert [change.value for change in mutants.thresholds({"min": "1", "max": "9"})] == [
        {"min": "0", "max": "9"}, {"min": "2", "max": "9"}, {"min": "1", "max": "8"}, {"min": "1", "max": "10"},
    ]  # fmt: skip
    assert [change.value for change in mutants.blocks("high")] == ["medium", "critical"]


def test_a_run_ends_in_time_and_after_so_many_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "MAX_MUTANTS", 3)
    report = run(shipped())
    assert (len(report.mutants), report.is_green) == (3, False)
    assert "more than 3 small changes" in report.stopped
    monkeypatch.setattr(cases, "MAX_SECONDS", -1.0)
    late = run(shipped())
    assert (late.is_green, late.mutants) == (False, ())
    assert "stopped" in late.sentences[-2]


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as the CI of a policy repository does: without a database, a broker or a secret."""
    unset = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}
    environ = {name: value for name, value in os.environ.items() if name not in unset}
    line = [sys.executable, "manage.py", "policy_test", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_the_command_says_for_each_file_what_is_wrong(tmp_path: Path) -> None:
    wrong, broken, bare = tmp_path / "wrong.yaml", tmp_path / "broken.yaml", tmp_path / "bare.yaml"
    wrong.write_text(yaml_of(without(shipped(), 7)), encoding="utf-8")
    broken.write_text("name: Default\n", encoding="utf-8")
    bare.write_bytes(b"\xff\xfe\x00")
    ran = command(policy.FOLDER / "default.yaml", wrong, broken, bare, tmp_path / "missing.yaml")
    assert ran.returncode == 1
    assert "default.yaml: green (policy default)" in ran.stdout
    assert "wrong.yaml: not green" in ran.stdout
    assert "block critical moved to high, and no case notices it." in ran.stdout
    for name in ("broken", "bare", "missing"):
        assert f"{name}.yaml: refused" in ran.stdout
    assert command(policy.FOLDER / "default.yaml").returncode == 0
