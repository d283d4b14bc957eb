"""Another licence is a fact about a version whose content never changes: what hangs on it is asked again."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit import log
from audit.events import Event
from audit.models import Entry
from governance import challenges, relicensing, reviews, standing, submissions, sweeps
from governance.checks import runner
from governance.models import Challenge, ChallengeEnd, CheckRequest, CheckRun
from portal.errors import Invalid, Refused
from registry import dossier, drafts, licensing
from registry.models import Relicensing, User, Version
from tests.factories import Walk, artifacts
from tests.scene import Scene
from tests.web.services import count_rows

GRACE = timedelta(days=14)
FORBIDS, ALLOWS = "CC-BY-NC-4.0", "MIT"


class Pair(NamedTuple):
    """A base and what is made from it, both in force in production; and a stranger that is made from nothing."""

    walk: Walk
    base: Version
    adapter: Version
    stranger: Version


@pytest.fixture(scope="module")
def made(stage: Scene, django_db_blocker: DjangoDbBlocker) -> Pair:
    """Walk them to production once for the module."""
    walk, base = stage
    with django_db_blocker.unblock():
        edges = [{"role": "base", "version": base.label}]
        adapter = walk.candidate(
            "fraud-lora", "1.0.0", artifacts.scorer(2), kind="adapter", finetune_method="lora", components=edges
        )
        stranger = walk.candidate("other-scorer", "1.0.0", artifacts.scorer(3))
        for version in (base, adapter, stranger):
            walk.approved(version)
    return Pair(walk, base, adapter, stranger)


@pytest.fixture
def pair(made: Pair, db: None) -> Pair:
    """Return versions in force that a test may change as it likes."""
    return deepcopy(made)


def record(pair: Pair, licence: str, *, actor: User | None = None, **more: Any) -> Relicensing | None:
    """Record another licence of the base."""
    told = {"source": "https://example.com/licence", "reason": "The vendor changed the terms.", **more}
    return relicensing.record(pair.base, licence, actor=actor or pair.walk.cast.ada, **told)


def challenged() -> set[str]:
    """Return the names of the versions that are challenged now."""
    found = challenges.open_for(Version.objects.all())
    return {challenge.version.label for rows in found.values() for challenge in rows}


BOTH = {"fraud-scorer@1.0.0", "fraud-lora@1.0.0"}


def test_another_licence_challenges_the_version_and_what_is_made_from_it_until_its_check_fails_for_good(
    pair: Pair,
) -> None:
    before = timezone.now()
    told = record(pair, FORBIDS)
    assert told is not None
    assert (told.before, told.licence, challenged()) == ("Apache-2.0", FORBIDS, BOTH)
    assert {(each.cause, each.root, each.due_at) for each in Challenge.objects.all()} == {
        ("relicensed", pair.base, told.recorded_at + GRACE)
    }
    pair.walk.work()
    assert challenged() == BOTH
    late = standing.of(pair.adapter, "production", at=told.recorded_at + GRACE)
    [reason] = late.reasons
    assert reason.says.startswith(
        f"fraud-scorer@1.0.0, which fraud-lora@1.0.0 is made from, was re-licensed as {FORBIDS} on"
    )
    assert "waiver of licence for fraud-lora@1.0.0" in reason.fix
    assert standing.of(pair.adapter, "production", at=before).challenges == ()
    assert standing.of(pair.stranger, "production", at=told.recorded_at + GRACE).allow
    pair.base.refresh_from_db()
    assert (pair.base.licence, licensing.effective(pair.base)) == ("Apache-2.0", FORBIDS)


def test_a_licence_that_allows_as_much_challenges_only_until_the_check_has_passed(pair: Pair) -> None:
    record(pair, ALLOWS)
    during = timezone.now()
    assert challenged() == BOTH
    pair.walk.work()
    assert challenged() == set()
    assert ChallengeEnd.objects.count() == 0
    answer = standing.of(pair.adapter, "production")
    assert (answer.allow, answer.challenges) == (True, ())
    assert len(standing.of(pair.adapter, "production", at=during).challenges) == 1
    sweeps.sweep_due()
    assert set(ChallengeEnd.objects.values_list("reason", flat=True)) == {
        "The licence check passed with the new licence."
    }
    assert challenged() == set()


def test_a_licence_that_is_set_right_again_ends_the_challenges_by_the_wrong_one(pair: Pair) -> None:
    record(pair, FORBIDS)
    pair.walk.work()
    assert challenged() == BOTH
    record(pair, ALLOWS)
    pair.walk.work()
    assert challenged() == set()


def test_an_answer_that_had_read_the_older_licence_ends_nothing_and_the_check_is_asked_again(pair: Pair) -> None:
    """A worker reads, the licence is recorded, and the worker writes what it had read."""
    run = CheckRun.objects.filter(version=pair.adapter, check_slug="licence").latest("pk")
    record(pair, ALLOWS)
    CheckRequest.objects.filter(check_slug="licence").delete()
    runner_account = User.objects.system("runner")
    with log.record(Event.CHECK_ANSWERED, actor=runner_account, subject=pair.adapter, check="licence"):
        CheckRun.objects.create(
            version=pair.adapter,
            check_slug="licence",
            outcome="passed",
            says=run.says,
            tool=run.tool,
            tool_version=run.tool_version,
            input_digest=run.input_digest,
            policy=run.policy,
            started_at=timezone.now(),
            ended_at=timezone.now(),
        )
    assert "fraud-lora@1.0.0" in challenged()
    assert relicensing.ask_due() == 2
    assert relicensing.ask_due() == 0
    pair.walk.work()
    assert challenged() == set()


def test_the_same_licence_once_more_changes_nothing(pair: Pair) -> None:
    for licence in ("Apache-2.0", "apache-2.0", " Apache-2.0 "):
        before = count_rows()
        assert record(pair, licence) is None
        assert count_rows() == before
    record(pair, FORBIDS)
    before = count_rows()
    assert record(pair, FORBIDS) is None
    assert count_rows() == before


def test_it_is_material_and_voids_the_reviews_of_an_open_submission(pair: Pair) -> None:
    walk = pair.walk
    submission = walk.submit(pair.base, "staging")
    seen = submissions.current_digest(submission)
    record(pair, ALLOWS)
    assert submissions.current_digest(submission) != seen
    picture = dossier.picture(pair.base)
    assert picture["licence"] == {"expression": "Apache-2.0", "now": ALLOWS}
    assert picture == dossier.pictures([pair.base])[pair.base.pk]
    assert "now" not in dossier.picture(pair.stranger)["licence"]
    with pytest.raises(Refused):
        reviews.approve(submission, actor=walk.cast.petra, role="platform", seen=seen, proof=walk.proof())


def test_the_check_of_an_open_submission_reads_the_new_licence(pair: Pair) -> None:
    walk = pair.walk
    edges = [{"role": "base", "version": pair.base.label}]
    late = walk.candidate(
        "late-lora", "1.0.0", artifacts.scorer(4), kind="adapter", finetune_method="lora", components=edges
    )
    submission = walk.submit(late, "production")
    assert runner.newest_runs(late, submission.policy)["licence"].outcome == "passed"
    record(pair, FORBIDS)
    assert CheckRequest.objects.filter(version=late, check_slug="licence").exists()
    assert not CheckRequest.objects.filter(version=pair.stranger).exists()
    walk.work()
    run = runner.newest_runs(late, submission.policy)["licence"]
    assert run.outcome == "failed"
    assert FORBIDS in run.says
    assert run.facts["relicensed"][0]["registered_as"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("licence", "more"),
    [
        ("", {}),
        ("not a licence", {}),
        ("MIT AND", {}),
        ("M" * 300, {}),
        (ALLOWS, {"source": ""}),
        (ALLOWS, {"source": "s" * 1001}),
        (ALLOWS, {"reason": " "}),
        (ALLOWS, {"reason": "r" * 4001}),
        (ALLOWS, {"source": "a\x00b"}),
    ],
)
def test_what_cannot_be_understood_is_refused_and_nothing_is_written(
    pair: Pair, licence: str, more: dict[str, str]
) -> None:
    before = count_rows()
    with pytest.raises(Invalid):
        record(pair, licence, **more)
    assert count_rows() == before


def test_the_team_and_security_may_record_it_and_nobody_else(pair: Pair) -> None:
    cast = pair.walk.cast
    for person in (cast.dana, cast.iris, cast.alma, cast.mallory, cast.cee_i):
        with pytest.raises(PermissionDenied):
            record(pair, ALLOWS, actor=person)
    assert record(pair, ALLOWS, actor=cast.rhea) is not None
    assert record(pair, "BSD-3-Clause", actor=cast.ben) is not None
    assert Entry.objects.filter(kind="version.relicensed").count() == 2


def test_an_open_draft_is_edited_instead(pair: Pair) -> None:
    draft = drafts.start_draft(pair.base.asset, "2.0.0", actor=pair.walk.cast.ada, copy_from=pair.base)
    with pytest.raises(Refused, match="open draft"):
        record(pair._replace(base=draft), ALLOWS)
