"""A new vulnerability puts what is in force in doubt, at once and with a date, and everything made from it too."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import time_machine
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit import log
from audit.events import Event
from audit.models import Entry
from governance import challenges, counting, findings, lifecycle, reviews, standing, sweeps, waivers
from governance.models import Challenge, ChallengeEnd, Finding
from governance.models.findings import Triage
from registry import evidence
from registry.models import User, Version
from tests.factories import Walk, artifacts, documents, import_advisories, osv
from tests.scene import Scene
from tests.web.services import count_rows

GRACE = timedelta(days=14)
HARMLESS = {"jinja2": "3.1.6"}


class Lineage(NamedTuple):
    """Three versions in force in production, each made from the one before; only the base uses numpy."""

    walk: Walk
    base: Version
    adapter: Version
    bundle: Version


@pytest.fixture(scope="module")
def made(stage: Scene, django_db_blocker: DjangoDbBlocker) -> Lineage:
    """Walk a base model, its adapter and the bundle that deploys it to production, once for the module."""
    walk, base = stage
    with django_db_blocker.unblock():
        walk.approved(base)
        adapter = walk.candidate(
            "fraud-lora",
            "1.0.0",
            artifacts.scorer(2),
            kind="adapter",
            finetune_method="lora",
            components=[{"role": "base", "version": base.label}],
            parts=HARMLESS,
        )
        edges = [{"role": "adapter", "version": adapter.label}]
        bundle = walk.candidate("fraud-desk", "1.0.0", None, kind="bundle", components=edges, parts=HARMLESS)
        for version in (adapter, bundle):
            walk.approved(version)
    return Lineage(walk, base, adapter, bundle)


@pytest.fixture
def lineage(made: Lineage, db: None) -> Lineage:
    """Return three versions in force that a test may change as it likes."""
    return deepcopy(made)


@pytest.fixture
def advise(lineage: Lineage, tmp_path: Path) -> Callable[..., None]:
    """Import what is said about numpy and do what is due."""

    def imported(severity: str = "CRITICAL", *, day: int = 1, **more: Any) -> None:
        said = {"severity": severity, "modified": f"2026-11-{day:02}T00:00:00Z", **more}
        import_advisories(lineage.walk.cast, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0", **said))
        sweeps.answer_checks_due()

    return imported


def triage(finding: Finding, answer: Triage, lineage: Lineage, until: datetime | None = None) -> None:
    """Let a statement about a finding take effect."""
    rhea = lineage.walk.cast.rhea
    with log.record(Event.FINDING_TRIAGED, actor=rhea, subject=finding, status=str(answer)):
        challenges.lock(finding.version)
        finding.refresh_from_db()
        finding.triage, finding.accepted_until = answer, until
        finding.save()
        challenges.reconsider(finding.version, actor=rhea)


def open_against(at: datetime | None = None) -> list[str]:
    """Return the names of the versions that are challenged by a finding, as of an instant."""
    found = challenges.open_for(Version.objects.all(), at)
    return sorted(each.version.label for rows in found.values() for each in rows if each.cause == "finding")


EVERYBODY = ["fraud-desk@1.0.0", "fraud-lora@1.0.0", "fraud-scorer@1.0.0"]


def test_a_new_critical_challenges_the_version_and_everything_in_force_that_is_made_from_it(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    lineage.walk.register("bystander", "1.0.0", artifacts.scorer(4))
    advise()
    assert open_against() == EVERYBODY
    finding = Finding.objects.get()
    began = finding.history.get().history_date
    for challenge in Challenge.objects.select_related("policy"):
        assert (challenge.finding, challenge.vulnerability, challenge.severity) == (
            finding,
            "GHSA-1111-1111-1111",
            "critical",
        )
        assert (challenge.due_at, challenge.policy) == (began + GRACE, lineage.walk.cast.policy)
    told = Entry.objects.filter(kind="version.challenged").order_by("subject_label")
    assert [entry.subject_label for entry in told] == EVERYBODY
    details = json.loads(bytes(told[0].body))["details"]
    assert (details["vulnerability"], details["severity"]) == ("GHSA-1111-1111-1111", "critical")
    assert (details["root"], details["due"][:10]) == ("fraud-scorer@1.0.0", f"{began + GRACE:%Y-%m-%d}")


def test_a_challenge_is_written_once_however_often_somebody_looks(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    advise()
    sweeps.sweep_due()
    before = count_rows()
    for actor in (User.objects.system("runner"), lineage.walk.cast.rhea):
        assert challenges.reconsider(lineage.base, actor=actor) == 0
    findings.rematch(lineage.base, actor=User.objects.system("runner"))
    sweeps.sweep_due()
    assert challenges.open_due() == challenges.end_due() == 0
    assert count_rows() == before


@pytest.mark.parametrize(("severity", "count"), [("HIGH", 0), ("UNHEARD OF", 0), ("CRITICAL", 3)])
def test_only_what_the_policy_would_have_blocked_challenges(
    advise: Callable[..., None], severity: str, count: int
) -> None:
    advise(severity)
    assert Finding.objects.count() == 1
    assert Challenge.objects.count() == count


def test_a_version_that_is_not_in_force_is_not_challenged_and_what_is_made_from_it_is(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    lifecycle.retire(lineage.base, actor=lineage.walk.cast.ada, reason="Nobody serves it by itself.")
    advise()
    assert open_against() == ["fraud-desk@1.0.0", "fraud-lora@1.0.0"]


def test_what_grows_worse_challenges_although_it_was_known(lineage: Lineage, advise: Callable[..., None]) -> None:
    advise("HIGH")
    assert open_against() == []
    advise("CRITICAL", day=2)
    assert open_against() == EVERYBODY
    advise("CRITICAL", day=3, summary="Said in other words")
    assert Challenge.objects.count() == 3


def test_an_advisory_that_is_withdrawn_ends_the_challenges_and_one_that_returns_opens_new_ones(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    advise()
    during = timezone.now()
    advise(day=2, withdrawn="2026-11-02T00:00:00Z")
    after = timezone.now()
    assert open_against() == []
    reasons = set(ChallengeEnd.objects.values_list("reason", flat=True))
    assert reasons == {"GHSA-1111-1111-1111 is no longer found in it."}
    assert Entry.objects.filter(kind="challenge.ended").count() == 3
    advise(day=3)
    assert (open_against(), Challenge.objects.count()) == (EVERYBODY, 6)
    assert (open_against(during), open_against(after)) == (EVERYBODY, [])
    assert open_against(during - timedelta(days=1)) == []


def test_an_answer_ends_the_challenges_and_taking_it_back_opens_them_again(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    advise()
    finding = Finding.objects.get()
    triage(finding, Triage.NOT_AFFECTED, lineage)
    assert open_against() == []
    assert ChallengeEnd.objects.latest("pk").ended_by == lineage.walk.cast.rhea
    assert ChallengeEnd.objects.latest("pk").reason == "GHSA-1111-1111-1111 was answered: not affected."
    triage(finding, Triage.OPEN, lineage)
    assert open_against() == EVERYBODY
    assert challenges.open_of(lineage.base)[0].due_at > timezone.now() + GRACE - timedelta(minutes=5)


def test_an_acceptance_that_runs_out_challenges_again_and_a_late_clock_gives_no_more_time(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    advise()
    until = timezone.now() + timedelta(days=30)
    triage(Finding.objects.get(), Triage.ACCEPTED, lineage, until)
    sweeps.sweep_due()
    assert open_against() == []
    with time_machine.travel(until + timedelta(days=3), tick=False):
        assert challenges.open_due() == 3
        assert challenges.open_due() == 0
        assert {each.due_at for each in challenges.open_of(lineage.base)} == {until + GRACE}
        assert standing.of(lineage.bundle, "production").expires_at == until + GRACE


def test_a_retired_version_is_challenged_no_longer_and_the_others_are(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    advise()
    lifecycle.retire(lineage.adapter, actor=lineage.walk.cast.ada, reason="It is replaced.")
    sweeps.sweep_due()
    assert open_against() == ["fraud-desk@1.0.0", "fraud-scorer@1.0.0"]
    assert ChallengeEnd.objects.get().reason == "The version is retired."
    assert Challenge.objects.get(cause="base_retired").version == lineage.bundle


def test_nothing_is_written_when_the_time_has_run_out(lineage: Lineage, advise: Callable[..., None]) -> None:
    advise()
    with time_machine.travel(timezone.now() + timedelta(days=15), tick=False):
        challenged, entries = Challenge.objects.count(), Entry.objects.count()
        sweeps.sweep_due()
        assert (Challenge.objects.count(), Entry.objects.count()) == (challenged, entries)
        assert ChallengeEnd.objects.count() == 0
        assert not standing.of(lineage.bundle, "production").allow


def test_what_was_known_and_waived_when_it_was_approved_does_not_challenge(
    lineage: Lineage, advise: Callable[..., None]
) -> None:
    advise()
    walk = lineage.walk
    late = walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(5))
    asked = {"reason": "The function is not called.", "compensating_control": "Input is validated."}
    waiver = waivers.request(
        late,
        rule="vulnerabilities",
        environment="production",
        actor=walk.cast.ada,
        expires_at=timezone.now() + timedelta(days=30),
        **asked,
    )
    waivers.grant(waiver, actor=walk.cast.sol, note="For a month.")
    walk.approved(late)
    advise(day=2, summary="Said in other words")
    assert open_against() == EVERYBODY
    assert Finding.objects.get(version=late).summary == "Said in other words"


def test_an_approval_that_waits_for_its_signature_is_challenged_too(
    lineage: Lineage, advise: Callable[..., None], tmp_path: Path
) -> None:
    walk = lineage.walk
    late = walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(5))
    submission = walk.submit(late, "production")
    people = {"platform": walk.cast.petra, "product": walk.cast.dana, "security": walk.cast.rhea}
    for role, person in people.items():
        reviews.approve(submission, actor=person, role=role, proof=walk.proof())
    advise()
    assert late.label in open_against()
    walk.work()
    answer = standing.of(late, "production")
    assert (answer.allow, [each.vulnerability for each in answer.challenges]) == (True, ["GHSA-1111-1111-1111"])


def test_a_new_sbom_of_a_version_in_force_challenges_it(lineage: Lineage, advise: Callable[..., None]) -> None:
    advise()
    version = lineage.bundle
    body = documents.sbom("fraud-desk", "1.0.0", version.identity_digest, {"numpy": "2.2.5"})
    evidence.attach(version, actor=lineage.walk.cast.cee_i, kind="sbom", filename="sbom.json", body=body)
    sweeps.answer_checks_due()
    own = [each for each in challenges.open_of(version) if each.finding.version_id == version.pk]
    assert [each.finding.purl for each in own] == ["pkg:pypi/numpy@2.2.5"]
    # Both name the same vulnerability; each is answered where it was found.
    assert len(challenges.open_of(version)) == 2


DAY = datetime(2026, 11, 1, tzinfo=UTC)
BLOCK = {"block": "high"}


def state_at(day: int, severity: str = "high", triage: str = "open", **more: Any) -> Any:
    """Return one history row of a finding."""
    row = {"closed_at": None, "accepted_until": None, **more}
    return SimpleNamespace(history_date=DAY + timedelta(days=day), severity=severity, triage=triage, **row)


def until(day: int) -> dict[str, Any]:
    return {"triage": "accepted", "accepted_until": DAY + timedelta(days=day)}


@pytest.mark.parametrize(
    ("history", "rule", "day"),
    [
        ([state_at(1)], BLOCK, 1),
        ([state_at(1, "medium")], BLOCK, None),
        ([state_at(1, "unknown")], BLOCK, 1),
        ([state_at(1, "unknown")], {"block": "critical"}, None),
        ([state_at(1, "unknown")], {"block": "critical", "unknown": "critical"}, 1),
        ([state_at(1)], {}, None),
        ([state_at(1), state_at(2), state_at(3)], BLOCK, 1),
        ([state_at(1), state_at(2, "critical"), state_at(3, "high")], BLOCK, 2),
        ([state_at(1, "low"), state_at(2)], BLOCK, 2),
        ([state_at(1), state_at(2, "low"), state_at(3)], BLOCK, 3),
        ([state_at(1), state_at(2, closed_at=DAY)], BLOCK, None),
        ([state_at(1), state_at(2, closed_at=DAY), state_at(3)], BLOCK, 3),
        ([state_at(1), state_at(2, triage="not_affected")], BLOCK, None),
        ([state_at(1), state_at(2, triage="fixed"), state_at(3)], BLOCK, 3),
        ([state_at(1), state_at(2, **until(30))], BLOCK, None),
        ([state_at(1), state_at(2, **until(5))], BLOCK, 5),
        ([state_at(1), state_at(2, **until(5)), state_at(7, **until(5))], BLOCK, 5),
        ([state_at(1), state_at(2, **until(5)), state_at(4, **until(6))], BLOCK, 6),
        ([state_at(1), state_at(2, **until(5)), state_at(7, **until(30))], BLOCK, None),
        ([state_at(1), state_at(2, triage="accepted")], BLOCK, None),
    ],
)
def test_a_finding_counts_from_when_it_last_began_to_stand_in_the_way(
    history: list[Any], rule: dict[str, str], day: int | None
) -> None:
    began = counting.counts_since(history, rule, DAY + timedelta(days=10))
    assert began == (None if day is None else DAY + timedelta(days=day))


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ({"block": "high"}, 14),
        ({"block": "high", "grace_days": 0}, 0),
        ({"block": "high", "grace_days": 3, "on_new": "challenge"}, 3),
        ({"block": "high", "on_new": "show"}, None),
        ({"block": "critical"}, None),
    ],
)
def test_the_policy_that_a_decision_was_made_under_says_whether_and_for_how_long(
    rule: dict[str, Any], days: int | None
) -> None:
    rules = SimpleNamespace(rule=lambda slug: rule)
    decision: Any = SimpleNamespace(
        submission=SimpleNamespace(policy=rules), environment="production", made_at=DAY + timedelta(days=1)
    )
    history, now = [state_at(2)], DAY + timedelta(days=5)
    due = challenges.due_at(decision, history, now)
    assert due == (None if days is None else DAY + timedelta(days=2 + days))
    decision.made_at = DAY + timedelta(days=2)
    assert challenges.due_at(decision, history, now) is None


def test_a_newer_sbom_that_names_less_ends_no_challenge(scene: Scene, tmp_path: Path) -> None:
    """Neither one about another artifact nor one about this very artifact: its bytes are what they were."""
    walk, version = scene
    walk.approved(version, "staging")
    import_advisories(walk.cast, tmp_path, osv("GHSA-5555-numpy-bad", "numpy", fixed="99.0"))
    walk.work()
    assert version.challenges.filter(end=None).count() == 1
    for digest in ("00" * 32, version.artifact_sha256):
        body = documents.sbom("fraud-scorer", "1.0.0", digest, {"joblib": "1.5.2"})
        evidence.attach(version, actor=walk.cast.cee_i, kind="sbom", filename="less.json", body=body)
        walk.work()
        assert version.findings.get(vulnerability="GHSA-5555-numpy-bad").closed_at is None
        assert version.challenges.filter(end=None).count() == 1
