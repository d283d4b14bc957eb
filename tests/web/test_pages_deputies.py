"""Pages about deputies and about people who left: what each of the cast reads there, and what they can do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from governance import delegations, departures, submissions
from governance.models import Delegation, Review, Submission
from registry.models import User, Version
from tests.factories import Walk, artifacts
from tests.web.visitors import order_of, read, sign_in, visit


@pytest.fixture
def submission(walk: Walk, candidate: Version) -> Submission:
    return walk.submit(candidate, "staging")


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def name(giver: User, deputy: User, role: str, days: float = 7) -> Delegation:
    end = timezone.now() + timedelta(days=days)
    return delegations.make(actor=fresh(giver), role=role, deputy=deputy, ends_at=end)


def stamp(days: int) -> str:
    """Return an instant as the browser's field sends it."""
    return f"{timezone.now() + timedelta(days=days):%Y-%m-%dT%H:%M}"


def answer_as(submission: Submission, role: str, **changes: str) -> dict[str, str]:
    """Return what the decision box posts."""
    digest = submissions.current_digest(submission)
    return {"verdict": "approve", "role": role, "dossier_digest": digest, "note": "", **changes}


def test_a_reviewer_names_a_deputy_and_ends_it(walk: Walk) -> None:
    client = visit(walk.cast.rhea)
    assert "Nobody stands in for anybody" in read(client.get("/deputies/"))
    asked = {"role": "security", "deputy": "mallory", "ends_at": stamp(9), "reason": "On leave."}
    words = read(client.post("/deputies/", asked, follow=True))
    order_of(words, "stands in for you as security", "Mallory Outside for you", "In force")
    [made] = Delegation.objects.all()
    assert "you for Rhea Security" in read(visit(walk.cast.mallory).get("/deputies/"))
    end = reverse("governance:deputy-end", args=[made.public_id])
    assert visit(walk.cast.sol).post(end).status_code == 404
    assert client.get(end).status_code == 405
    assert "Ended" in read(client.post(end, follow=True))
    assert "On leave." not in read(visit(walk.cast.sol).get("/deputies/"))


def test_what_does_not_fit_comes_back_on_the_form_in_words(walk: Walk) -> None:
    name(walk.cast.rhea, walk.cast.dana, "security")
    client = visit(walk.cast.rhea)
    asked = {"role": "security", "deputy": "mallory", "ends_at": stamp(9)}
    refused = client.post("/deputies/", asked)
    assert (refused.status_code, "Dana Product stands in for Rhea Security" in read(refused)) == (409, True)
    wrong = [("deputy", "iris"), ("deputy", "rhea"), ("role", "platform"), ("ends_at", stamp(99)), ("ends_at", "")]
    for change in map(dict, ([pair] for pair in wrong)):
        assert client.post("/deputies/", {**asked, **change}).status_code in {409, 422}
    assert Delegation.objects.count() == 1


def test_who_sits_nowhere_names_nobody(walk: Walk) -> None:
    for person in (walk.cast.mallory, walk.cast.ada, walk.cast.iris, walk.cast.alma):
        client = visit(person)
        assert "You sit in no role that reviews" in read(client.get("/deputies/"))
        assert client.post("/deputies/", {"role": "security", "deputy": "dana", "ends_at": stamp(9)}).status_code == 403
    assert not Delegation.objects.exists()


def test_a_deputy_sees_what_waits_and_answers_for_somebody(walk: Walk, submission: Submission) -> None:
    cast, page = walk.cast, submission.get_absolute_url()
    assert visit(cast.mallory).get(page).status_code == 404
    name(cast.petra, cast.mallory, "platform")
    client = visit(cast.mallory)
    queue = read(client.get("/queue/"))
    order_of(queue, "platform for Petra Platform", "Your turn", "you can answer as platform for Petra Platform")
    assert "as platform, for Petra Platform" in read(client.get(page))
    address = reverse("governance:review", args=[submission.public_id])
    words = read(client.post(address, answer_as(submission, "platform:petra"), follow=True))
    order_of(words, "Your verdict is recorded", "Mallory Outside for Petra Platform")
    assert "You approved for platform, for Petra Platform, on this dossier already." in words or "Approved" in words
    assert "Mallory Outside for Petra Platform approved for platform." in words
    given = Review.objects.get()
    assert (given.reviewer, given.on_behalf_of) == (cast.mallory, cast.petra)


def test_with_two_voices_one_chooses_and_the_giver_reads_who_answered(walk: Walk, candidate: Version) -> None:
    cast = walk.cast
    submission = walk.submit(candidate, "production")
    name(cast.rhea, cast.sol, "security")
    client = sign_in(cast.sol)
    words = read(client.get(submission.get_absolute_url()))
    order_of(words, "You review as", "Security", "Security, for Rhea Security")
    address = reverse("governance:review", args=[submission.public_id])
    assert client.post(address, answer_as(submission, "security:rhea")).status_code == 302
    box = read(visit(cast.rhea).get(submission.get_absolute_url()))
    assert "Sol Security approved for security on this dossier already, for you." in box
    assert "Sol Security for you approved" in read(visit(cast.rhea).get("/queue/"))


def test_a_delegation_that_ran_out_since_the_page_was_opened_is_refused(walk: Walk, submission: Submission) -> None:
    cast = walk.cast
    made = name(cast.petra, cast.sol, "platform", days=1 / 24)
    client = visit(cast.sol)
    assert "for Petra Platform" in read(client.get(submission.get_absolute_url()))
    address, asked = reverse("governance:review", args=[submission.public_id]), answer_as(submission, "platform:petra")
    with time_machine.travel(made.ends_at, tick=False):
        late = client.post(address, asked)
        assert (late.status_code, "That delegation ran out on" in read(late)) == (409, True)
    delegations.end(made, actor=cast.petra)
    ended = client.post(address, asked)
    assert (ended.status_code, "That delegation was ended on" in read(ended)) == (409, True)
    for forged in ("platform:nobody", "platform:dana", "security:rhea"):
        assert client.post(address, answer_as(submission, forged)).status_code in {409, 422}
    assert not Review.objects.exists()


def test_what_nobody_owns_is_listed_for_whoever_may_see_it(walk: Walk, candidate: Version) -> None:
    cast = walk.cast
    departures.leave(cast.ada, actor=cast.alma)
    for person in (cast.alma, cast.iris, cast.ben):
        words = read(visit(person).get("/unattended/"))
        order_of(words, "fraud-scorer", "Needs an owner", "Ada Owner, who has left", "team Risk models")
    assert "Everything has its people" in read(visit(cast.mallory).get("/unattended/"))
    assert "Assets that need an owner" in read(visit(cast.ben).get("/"))
    assert "Assets that need an owner" in read(visit(cast.alma).get("/"))
    for person in (cast.iris, cast.petra, cast.mallory):
        assert "Assets that need an owner" not in read(visit(person).get("/"))
    departures.leave(cast.ben, actor=cast.alma)
    assert "Orphaned" in read(visit(cast.alma).get("/unattended/"))


def test_an_administrator_reads_what_will_happen_before_somebody_leaves(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.alma)
    address = reverse("admin:registry_user_deed", args=(walk.cast.ada.pk, "leave"))
    words = client.get(address).content.decode()
    for told in (
        "What will happen",
        "Teams that are left: risk-models.",
        "another owner or backup owner: fraud-scorer.",
    ):
        assert told in words
    assert fresh(walk.cast.ada).is_active
    assert "has left" in client.post(address, follow=True).content.decode()
    assert not fresh(walk.cast.ada).is_active
    own = reverse("admin:registry_user_deed", args=(walk.cast.alma.pk, "leave"))
    assert "Nobody closes their own account" in client.post(own).content.decode()
    made = name(walk.cast.rhea, walk.cast.dana, "security")
    client.post(reverse("admin:governance_delegation_deed", args=(made.pk, "end")))
    made.refresh_from_db()
    assert made.ended_at is not None


@pytest.mark.parametrize("page", ["/deputies/", "/unattended/", "/queue/"])
def test_three_rows_cost_as_many_questions_as_one(walk: Walk, page: str, django_assert_max_num_queries: Any) -> None:
    cast = walk.cast
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.submit(first, "staging")
    name(cast.petra, cast.dana, "platform")
    departures.leave(cast.ada, actor=cast.alma)
    client = visit(cast.dana)
    client.get(page)
    with django_assert_max_num_queries(14) as once:
        assert "Nobody" not in read(client.get(page))
    for number, slug in enumerate(("tagger", "churn-embedder"), 2):
        version = walk.candidate(slug, "1.0.0", artifacts.scorer(number), owner="carl")
        walk.submit(version, "staging")
    departures.leave(cast.carl, actor=cast.alma)
    for deputy in (cast.sol, cast.mallory):
        delegations.end(name(cast.dana, deputy, "product"), actor=cast.dana)
    with django_assert_max_num_queries(len(once)):
        client.get(page)
