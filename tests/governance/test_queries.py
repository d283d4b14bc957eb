"""The queue: whose turn it is and why, read in as many questions for many rows as for one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from governance import queries, reviews, submissions, waivers
from governance.models import Waiver
from registry import evidence, people
from registry.models import User, Version
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.scene import Scene


def fresh(name: str) -> User:
    """Return an account as a request would load it."""
    return User.objects.get(username=name)


def row_of(name: str) -> queries.QueueRow:
    """Return the only row of somebody's queue."""
    [row] = queries.queue(fresh(name))
    return row


def ask(version: Version, walk: Walk) -> Waiver:
    return waivers.request(
        version,
        actor=walk.cast.ada,
        rule="evaluations",
        environment="staging",
        reason="The set is wrong.",
        compensating_control="A person looks.",
        expires_at=timezone.now() + timedelta(days=9),
    )


def test_a_row_says_whose_turn_it_is(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "production")
    row = row_of("petra")
    assert (row.is_my_turn, row.my_roles, row.missing) == (True, ("platform",), ("platform", "product", "security"))
    assert (row.blockers, row.has_changed, row.is_overdue) == ((), False, False)
    # Ada sees it on her team's list, and can answer nothing.
    assert not row_of("ada").is_my_turn
    assert row_of("ada").involvement == ("Ada Owner is named as an author.",)
    assert queries.queue(fresh("mallory")) == []


def test_after_an_answer_it_is_the_others_turn_until_something_changes(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    row = row_of("petra")
    assert (row.is_my_turn, row.missing, row.has_changed) == (False, ("product", "security"), False)
    assert row.my_verdict == submission.reviews.get()
    evidence.attach(version, actor=walk.cast.cee_i, kind="other", filename="note.txt", body=b"Odd.")
    walk.work()
    row = row_of("petra")
    assert (row.is_my_turn, row.has_changed, row.my_verdict) == (True, True, None)
    assert row.missing == ("platform", "product", "security")


def test_blockers_are_named_and_waived_ones_are_not_in_the_way(scene: Scene, tmp_path: Path) -> None:
    walk, _ = scene
    import_advisories(walk.cast, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    poor = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), metrics={"quality/accuracy": "0.5"})
    walk.submit(poor, "staging")
    assert row_of("petra").blockers == ("vulnerabilities", "evaluations")
    waivers.grant(ask(poor, walk), actor=walk.cast.rhea)
    assert row_of("petra").blockers == ("vulnerabilities",)


def test_what_is_answered_withdrawn_or_overdue_is_not_in_the_queue(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    with time_machine.travel(submission.due_at - timedelta(days=1), tick=False):
        assert row_of("petra").is_overdue
    with time_machine.travel(submission.due_at, tick=False):
        assert queries.queue(fresh("petra")) == []
    submissions.withdraw(submission, actor=walk.cast.ada)
    assert queries.queue(fresh("petra")) == []


def test_filters_and_order_put_my_turn_and_the_urgent_first(scene: Scene) -> None:
    walk, version = scene
    with time_machine.travel(timezone.now() - timedelta(days=2)):
        answered = walk.submit(version, "staging")
        reviews.request_changes(answered, actor=walk.cast.petra, role="platform", note="Explain.")
    later = walk.submit(version, "production")
    other = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), risk="high")
    last = walk.submit(other, "staging")
    found = [row.submission for row in queries.queue(fresh("petra"))]
    assert found == [later, last, answered]
    assert [row.submission for row in queries.queue(fresh("petra"), environment="staging")] == [last, answered]
    assert [row.submission for row in queries.queue(fresh("petra"), risk="high")] == [last]
    assert [row.submission for row in queries.queue(fresh("petra"), role="security")] == [later]


def test_a_seat_for_some_assets_shows_those_only(scene: Scene) -> None:
    walk, version = scene
    people.give_seat(walk.cast.mallory, "platform", actor=walk.cast.alma, everywhere=False)
    walk.submit(version, "staging")
    assert queries.queue(fresh("mallory")) == []
    assign_perm("review_asset", walk.cast.mallory, version.asset)
    assert row_of("mallory").is_my_turn


def test_the_number_in_the_menu_is_the_number_of_turns_in_the_queue(scene: Scene) -> None:
    walk, version = scene
    for environment in ("staging", "production"):
        walk.submit(version, environment)
    own = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), authors=["petra@example.com"])
    walk.approve(walk.submit(own, "production"), "product")

    def turns(name: str) -> tuple[int, int]:
        counted = queries.count_waiting(fresh(name))
        return counted, sum(row.is_my_turn for row in queries.queue(fresh(name)))

    assert turns("petra") == (2, 2)
    assert turns("dana") == (1, 1)
    assert turns("rhea") == (2, 2)
    assert turns("ada") == (0, 0)


@pytest.mark.parametrize("name", ["petra", "ben", "iris"])
def test_three_rows_cost_as_many_questions_as_one(scene: Scene, name: str) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    counts = []
    for size in (1, 3):
        if size == 3:
            walk.approve(walk.submit(version, "production"), "platform")
            walk.submit(walk.candidate("tagger", "1.0.0", artifacts.scorer(2)), "staging")
        with CaptureQueriesContext(connection) as asked:
            assert len(queries.queue(fresh(name))) == size
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 12


def test_what_stops_a_version_is_its_newest_answers_only(scene: Scene) -> None:
    walk, version = scene
    bare = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), without=("sbom", "evaluation"))
    stopped = queries.failing([version, bare])
    assert {pk: sorted(slugs) for pk, slugs in stopped.items()} == {bare.pk: ["evaluations", "sbom", "vulnerabilities"]}
    walk.attach_all(bare, without=("provenance", "evaluation", "model-card"))
    walk.work()
    assert queries.failing([bare])[bare.pk] == ["evaluations"]


def test_drafts_are_shown_to_their_team(scene: Scene) -> None:
    draft = scene.walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2))
    assert list(queries.my_drafts(fresh("ada"))) == [draft]
    assert list(queries.my_drafts(fresh("carl"))) == []


def test_precedents_are_decisions_of_the_same_kind_that_one_may_see(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version, "staging")
    prompt = {"kind": "prompt", "suffix": "txt", "finetune_method": "prompt", "team": "assistants", "owner": "carl"}
    walk.approved(walk.candidate("credit-prompt", "1.0.0", b"Be kind.", **prompt), "staging")
    other = walk.submit(walk.candidate("tagger", "1.0.0", artifacts.scorer(2)), "staging")
    assert queries.precedents(other, fresh("petra")) == [decision]
    assert queries.precedents(other, fresh("carl")) == []
