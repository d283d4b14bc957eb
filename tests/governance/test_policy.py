"""Policy as code: a text that says everything it means, refused by the place where it does not, and never changed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from audit import seal
from audit.models import Entry
from governance import policy, reviews, submissions
from governance.checks import BY_SLUG
from governance.models import Policy
from portal.errors import Invalid, Refused
from registry.models import Asset, User, Version
from tests import policies
from tests.scene import Scene
from tests.web.services import count_rows

TEXT = (policy.FOLDER / "default.yaml").read_text(encoding="utf-8")


def changed(path: str, value: Any) -> str:
    """Return the shipped text with one place changed; None takes the key away."""
    content = yaml.safe_load(TEXT)
    *way, last = path.split(".")
    place = content
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return yaml.safe_dump(content)


def faults(text: str) -> list[str]:
    """Return the fields that a text is refused for."""
    with pytest.raises(Invalid) as refusal:
        policy.read(text)
    assert all(fault.field and fault.seen and fault.expected for fault in refusal.value.faults)
    return [fault.field for fault in refusal.value.faults]


def test_the_shipped_policy_is_a_policy_and_names_all_checks_but_one() -> None:
    content = policy.read(TEXT)
    used = {
        *content["baseline"]["rules"],
        *(rule for each in content["environments"].values() for rule in each["rules"]),
    }
    # Pinned dependencies are for other policies to ask.
    assert used == set(content["rules"]) - {"custom"} == set(BY_SLUG) - {"dependencies-pinned"}
    listed = policy.SCHEMA["$defs"]["ruleList"]["items"]["enum"]
    assert set(listed) == set(policy.SCHEMA["properties"]["rules"]["properties"]) - {"custom"} == set(BY_SLUG)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "Default Policy"),
        ("name", None),
        ("material", ["artifact", "weather"]),
        ("material", []),
        ("waivers", None),
        ("waivers.max_days", 0),
        ("waivers.max_days", "ninety"),
        ("waivers.max_day", 90),
        ("applies_to.kinds", ["robot"]),
        ("baseline.rules", "metadata"),
        ("baseline.surprise", True),
        ("environments.production.valid_days", 367),
        ("environments.production.valid_days", None),
        ("environments.production.approvals", []),
        ("environments.production.reauthenticate", "yes"),
        ("rules.vulnerabilities.block", "catastrophic"),
        ("rules.evaluations.max_age_days", None),
        ("rules.evaluations.thresholds", {}),
        ("rules.provenance.builders", []),
        ("rules.provenance", None),
        ("rules.evaluations", None),
        ("rules.vulnerabilities", None),
        ("rules.licence", None),
        ("rules.licence.purposes", []),
        ("rules.licence.purposes", ["comercial"]),
        ("rules.licence.purposes", ["commercial", "world-domination"]),
        ("rules.licence.deny", ["AGPL-3.0-onyl"]),
        ("rules.licence.deny", ["AGPL-3.0", "network-copyleft", "llama2", "LicenseRef-ours", "bad licence"]),
        ("rules.licence.unknown", "perhaps"),
        ("rules.lucky-number", {"min": "7"}),
        ("tests", {}),
    ],
)
def test_each_wrong_place_is_named(path: str, value: Any) -> None:
    assert [field for field in faults(changed(path, value)) if field.startswith(f"policy.{path}")], path


def test_a_rule_that_nobody_knows_is_refused_wherever_it_stands() -> None:
    for path in ("baseline.rules", "environments.staging.rules"):
        found = faults(changed(path, ["metadata", "horoscope"]))
        assert found == [f"policy.{path}.1"]
    assert faults(changed("baseline.rules", ["sbom", "sbom"])) == ["policy.baseline.rules"]


def test_readers_and_administrators_are_no_reviewers_in_any_policy() -> None:
    for role in ("auditor", "administrator", "Security", "=cmd()"):
        assert faults(changed("environments.staging.approvals", [role])) == ["policy.environments.staging.approvals.0"]


def test_thresholds_are_numbers_as_text_of_known_categories() -> None:
    for limits in ({"min": "high"}, {"min": "1e999"}, {"min": "NaN"}, {}, {"about": "1"}):
        found = faults(changed("rules.evaluations.thresholds", {"quality/accuracy": limits}))
        assert all(field.startswith("policy.rules.evaluations.thresholds.quality/accuracy") for field in found)
    assert faults(changed("rules.evaluations.thresholds", {"luck/rate": {"min": "1"}}))
    content = policy.read(TEXT.replace('{min: "0.85"}', "{min: 0.85}"))
    assert content["rules"]["evaluations"]["thresholds"]["quality/accuracy"] == {"min": "0.85"}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (TEXT + "name: another\n", "a key more than once"),
        (TEXT.replace("staging:", "production:"), "a key more than once"),
        ("# " + "x" * policy.MAX_BYTES + "\n" + TEXT, "bytes"),
        ("a: " + "[" * 10_000, "nesting too deep"),
        ("a: &x [1]\nb: *x\n", "an alias"),
        ("a: !!python/object/apply:os.system ['id']\n", "a tag"),
        ("a: [\n", "line"),
        ("a: \x00\n", "special characters"),
        ("name: \ud800\n", "not UTF-8"),
        ("", "empty"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_what_was_seen(text: str, seen: str) -> None:
    with pytest.raises(Invalid) as refusal:
        policy.read(text)
    [fault] = refusal.value.faults
    assert fault.field == "document"
    assert seen in fault.seen


@given(st.text(max_size=200))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    with pytest.raises(Invalid):
        policy.read(text)


def test_not_more_faults_are_listed_than_a_person_reads() -> None:
    found = faults(changed("environments", {f"e{number}": {} for number in range(200)}))
    assert len(found) == policy.MAX_FAULTS


def test_publishing_makes_the_next_version(scene: Scene) -> None:
    walk, version = scene
    second = policies.publish(changed("waivers.max_days", 30), walk.cast)
    assert (second.name, second.number) == ("default", 2)
    assert second.digest == seal.digest(policy.read(second.text))
    assert policy.governing(version) == second
    assert Entry.objects.latest("pk").kind == "policy.published"


def test_installing_the_newest_again_changes_nothing(scene: Scene) -> None:
    walk, setup, before = scene.walk, User.objects.system("setup"), count_rows()
    assert policy.install(TEXT, actor=setup) == walk.cast.policy
    # What the text looks like is nothing: the same content is the same policy.
    assert policy.install("# a comment\n" + TEXT, actor=setup) == walk.cast.policy
    assert count_rows() == before


def test_nobody_edits_what_is_published(scene: Scene) -> None:
    published = Policy.objects.get()
    published.content["waivers"]["max_days"] = 366
    with pytest.raises(RuntimeError, match="append-only"):
        published.save()
    assert Policy.objects.get().content["waivers"]["max_days"] == 90


def test_an_open_submission_finishes_under_the_text_it_was_opened_under(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    stricter = changed("environments.staging.approvals", ["platform", "security"])
    second = policies.publish(stricter, walk.cast)
    submission.refresh_from_db()
    assert submission.policy == walk.cast.policy
    assert submissions.required_roles(submission) == ["platform"]
    assert submissions.current_digest(submission) == submission.dossier_digest
    reviews.approve(submission, actor=walk.cast.petra, role="platform")
    decision = submission.decisions.get()
    assert decision.verdict == "approved"
    assert '"version":1' in bytes(decision.payload).decode()
    again = walk.submit(version, "staging")
    assert again.policy == second
    assert reviews.missing_roles(again) == ["platform", "security"]


def test_answers_are_given_under_one_policy_and_asked_anew_under_another(scene: Scene) -> None:
    walk, version = scene
    policies.publish(changed("rules.evaluations.thresholds.quality/accuracy", {"min": "0.99"}), walk.cast)
    submission = submissions.submit(version, "staging", actor=walk.cast.ada)
    checks = [each for each in submissions.standing_verdicts(submission) if each.ruling is None]
    assert {each.outcome for each in checks} == {"queued"}
    walk.work()
    outcomes = {each.rule: each.outcome for each in submissions.standing_verdicts(submission)}
    assert outcomes["evaluations"] == "failed"
    old = submissions.verdicts.for_environment(version, walk.cast.policy, "staging", at=submission.submitted_at)
    assert {each.outcome for each in old} == {"passed"}


def test_a_policy_governs_the_kinds_it_names_and_the_newest_of_all_wins(scene: Scene) -> None:
    walk, version = scene
    prompts = changed("applies_to.kinds", ["prompt"]).replace("name: default", "name: prompts")
    second = policies.publish(prompts, walk.cast)
    prompt = Version(asset=Asset(slug="p", kind="prompt"))
    assert policy.governing(prompt) == second
    assert policy.governing(version) == walk.cast.policy
    third = policies.publish(changed("waivers.max_days", 30), walk.cast)
    assert policy.governing(prompt) == policy.governing(version) == third


def test_a_kind_that_no_policy_names_is_not_free_but_refused(scene: Scene) -> None:
    with pytest.raises(Refused, match=r"No published policy applies to robots\.") as refusal:
        policy.governing(Version(asset=Asset(slug="x", kind="robot")))
    assert refusal.value.code == "no_policy"
