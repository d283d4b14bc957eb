"""Pages about what is allowed: what each of the cast reads there, what they can do, and every no in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from governance import reviews, submissions
from governance.models import Decision, Policy, Review, Submission
from portal.demo import documents
from registry import people
from registry.models import Version
from tests.factories import Walk, artifacts
from tests.web.visitors import order_of, read, sign_in, visit

SECTIONS = (
    "What you sign",
    "What changed",
    "Checks",
    "Findings and waivers",
    "Your verdict",
    "Recent decisions",
    "What happened",
)


@pytest.fixture
def submission(walk: Walk, candidate: Version) -> Submission:
    return walk.submit(candidate, "production", note="Catches card testing earlier.")


def verdict_on(submission: Submission, verdict: str, role: str, **changes: str) -> dict[str, str]:
    """Return what the decision box posts."""
    digest = submissions.current_digest(submission)
    return {"verdict": verdict, "role": role, "dossier_digest": digest, "note": "", **changes}


def review_url(submission: Submission) -> str:
    return reverse("governance:review", args=[submission.public_id])


def test_the_home_page_puts_my_turn_first(walk: Walk, submission: Submission) -> None:
    words = read(visit(walk.cast.dana).get("/"))
    order_of(words, "Your turn", "fraud-scorer@1.0.0", "Ends within 30 days", "Where everything stands")
    assert words.startswith("Your turn") or "Your turn" in words[:400]
    assert "waits for platform, product and security" in words
    assert "Nowhere 1" in words
    walk.approve(submission)
    assert "In production 1" in read(visit(walk.cast.ada).get("/"))


def test_what_is_answered_waits_for_others(walk: Walk, submission: Submission) -> None:
    walk.approve(submission, "product")
    words = read(visit(walk.cast.dana).get("/queue/"))
    assert "Nothing waits for your verdict." in words
    assert "you approved; waits for platform and security" in words


def test_requested_changes_are_the_owners_turn(walk: Walk, submission: Submission) -> None:
    reviews.request_changes(
        submission, actor=walk.cast.dana, role="product", note="Please show the German evaluation.", proof=walk.proof()
    )
    words = read(visit(walk.cast.ada).get("/"))
    assert order_of(words, "Your turn", "product requested changes") == ["Your turn", "product requested changes"]
    page = read(visit(walk.cast.ada).get(submission.get_absolute_url()))
    assert "Changes requested by product" in page
    assert "Please show the German evaluation." in page


def test_a_draft_that_a_check_stopped_is_on_its_teams_home_page(walk: Walk) -> None:
    walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), without=("sbom",))
    assert "stopped by sbom" in read(visit(walk.cast.ada).get("/"))
    assert "stopped by sbom" not in read(visit(walk.cast.carl).get("/"))


def test_mallory_finds_empty_lists_and_nothing_behind_any_address(walk: Walk, submission: Submission) -> None:
    client = visit(walk.cast.mallory)
    for page in ("/", "/queue/", "/waivers/", "/policies/"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert "fraud-scorer" not in read(answer)
    address = [submission.version.asset.slug, submission.version.number]
    for name, args in {
        "submission": [submission.public_id],
        "submit": address,
        "waiver-request": address,
        "roll-back": address,
        "move": [*address, "retire"],
    }.items():
        answer = client.get(reverse(f"governance:{name}", args=args))
        assert answer.status_code == 404, name
        assert submission.version.identity_digest not in answer.content.decode()
    assert client.post(review_url(submission), verdict_on(submission, "approve", "security")).status_code == 404
    assert not Review.objects.exists()


def test_the_menu_leads_where_a_person_may_go(walk: Walk, submission: Submission) -> None:
    menus = {
        name: visit(getattr(walk.cast, name)).get("/catalogue/").content.decode() for name in ("dana", "iris", "alma")
    }
    assert 'href="/audit/"' in menus["iris"]
    assert 'href="/audit/"' not in menus["dana"] + menus["alma"]
    assert 'href="/admin/"' in menus["alma"]
    assert 'href="/admin/"' not in menus["dana"] + menus["iris"]
    assert menus["dana"].count('<span class="count">1<span class="sr-only"> waiting</span></span>') == 2
    assert "waiting</span>" not in menus["iris"]


def test_the_number_in_the_menu_is_the_number_in_the_queue(walk: Walk, submission: Submission) -> None:
    people.give_seat(walk.cast.ada, "security", actor=walk.cast.alma)
    walk.approve(submission, "product")
    for person, number in {walk.cast.dana: 0, walk.cast.rhea: 1, walk.cast.ada: 0}.items():
        client = visit(person)
        assert client.get("/queue/").context["mine"] == number
        assert ('<span class="count">1' in client.get("/policies/").content.decode()) == bool(number)


def test_the_queue_is_filtered_by_its_address(walk: Walk, submission: Submission) -> None:
    client = visit(walk.cast.dana)
    assert "fraud-scorer@1.0.0" in read(client.get("/queue/?role=product&environment=production&risk=medium"))
    for other in ("role=executive", "environment=staging", "risk=low", "role=" + "x" * 5000):
        words = read(client.get(f"/queue/?{other}"))
        assert "The queue is empty" in words
        assert "fraud-scorer@1.0.0" not in words


def test_the_review_page_says_at_once_that_it_can_be_approved(walk: Walk, submission: Submission) -> None:
    words = read(visit(walk.cast.dana).get(submission.get_absolute_url()))
    assert order_of(words, "Can be approved; waits for platform, product and security", *SECTIONS)[1:] == list(SECTIONS)
    assert "Catches card testing earlier." in words
    assert "Ada Owner (ada@example.com)" in words
    assert "Nothing of fraud-scorer serves in production yet: all of it is new." in words
    assert f"Approve 1.0.0 for production until {expiry()}" in words
    assert submissions.current_digest(submission) in words


def expiry() -> str:
    end = timezone.now() + timedelta(days=90)
    return f"{end.day} {end:%b %Y}"


def test_the_review_page_says_what_changed_since_the_version_that_serves(walk: Walk) -> None:
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(first)
    walk.promote(first)
    metrics = {**documents.GOOD, "quality/accuracy": "0.95"}
    parts = {**documents.PARTS, "numpy": "2.3.0", "left-pad-python": "1.0"}
    newer = walk.candidate("fraud-scorer", "2.0.0", artifacts.scorer(2), metrics=metrics, parts=parts, risk="high")
    words = read(visit(walk.cast.dana).get(walk.submit(newer, "production").get_absolute_url()))
    assert "What changed since 1.0.0" in words
    assert "up 0.016" in words
    assert "before: 0.934" in words
    assert "packages: 1 updated, 1 added" in words
    assert order_of(words, "pypi/numpy 2.2.6 2.3.0", "pypi/left-pad-python 1.0")
    changed = words[words.index("What changed") :]
    first_and_last = ["Security risk medium high", "Identity digest"]
    assert order_of(changed, *first_and_last) == first_and_last
    assert "fraud-scorer@1.0.0" in words[words.index("Recent decisions") :]


def test_precedents_show_nothing_of_other_teams(walk: Walk, submission: Submission) -> None:
    other = walk.candidate("secret-router", "1.0.0", artifacts.scorer(2), team="assistants", owner="carl")
    walk.approved(other)
    page = submission.get_absolute_url()
    assert "secret-router" in read(visit(walk.cast.dana).get(page))
    assert "secret-router" not in read(visit(walk.cast.ada).get(page))


def test_the_review_page_says_what_is_in_the_way_and_offers_no_approval(walk: Walk) -> None:
    bad = {**documents.GOOD, "jailbreak/attack_success_rate": "0.072"}
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), metrics=bad)
    submission = walk.submit(version, "staging")
    client = visit(walk.cast.petra)
    words = read(client.get(submission.get_absolute_url()))
    assert "Cannot be approved: 1 rule in the way" in words
    assert "jailbreak/attack_success_rate is 0.072, expected at most 0.05" in words
    assert "Approving is possible once nothing is in the way: evaluations." in words
    assert "Approve 1.0.0" not in words
    answer = client.post(review_url(submission), verdict_on(submission, "approve", "platform"))
    assert answer.status_code == 409
    assert "Your verdict was not recorded" in read(answer)
    assert "jailbreak/attack_success_rate is 0.072" in read(answer)
    assert not Review.objects.exists()


def test_a_verdict_is_given_on_the_review_page(walk: Walk, candidate: Version) -> None:
    submission = walk.submit(candidate, "staging")
    client = visit(walk.cast.petra)
    answer = client.post(review_url(submission), verdict_on(submission, "approve", "platform"), follow=True)
    assert "Your verdict is recorded" in read(answer)
    assert "Approved" in read(answer)
    assert Decision.objects.get().made_by == walk.cast.petra


def test_a_verdict_on_an_old_dossier_is_refused_and_the_page_shows_the_new_one(
    walk: Walk, submission: Submission
) -> None:
    seen = verdict_on(submission, "approve", "product")
    walk.approve(submission, "security")
    walk.attach_all(
        submission.version,
        without=("sbom", "provenance", "model-card"),
        metrics={**documents.GOOD, "latency/p95_ms": "341"},
    )
    walk.work()
    answer = sign_in(walk.cast.dana).post(review_url(submission), seen)
    words = read(answer)
    assert answer.status_code == 409
    assert "changed after you opened it" in words
    assert "1 verdict no longer counts: Rhea Security approved for security; since then evaluation.json" in words
    assert submissions.current_digest(submission) in words


def test_a_rejection_without_a_word_brings_the_form_again(walk: Walk, candidate: Version) -> None:
    submission = walk.submit(candidate, "staging")
    answer = visit(walk.cast.petra).post(review_url(submission), verdict_on(submission, "reject", "platform"))
    assert answer.status_code == 422
    assert "expected a sentence that says what is wrong" in read(answer)
    assert not Review.objects.exists()


@pytest.mark.parametrize("posted", [{}, {"verdict": "bless"}, {"dossier_digest": "=cmd()"}, {"role": "r" * 100}])
def test_a_broken_verdict_is_422_and_nothing_is_written(
    walk: Walk, submission: Submission, posted: dict[str, str]
) -> None:
    body = {**verdict_on(submission, "approve", "product"), **posted} if posted else {}
    assert sign_in(walk.cast.dana).post(review_url(submission), body).status_code == 422
    assert not Review.objects.exists()


def test_the_box_says_why_a_person_cannot_decide(walk: Walk, submission: Submission) -> None:
    people.give_seat(walk.cast.ben, "platform", actor=walk.cast.alma)
    people.give_seat(walk.cast.ada, "platform", actor=walk.cast.alma)
    page = submission.get_absolute_url()
    assert "Ada Owner is named as an author." in read(visit(walk.cast.ada).get(page))
    assert "You do not review for any of the roles" in read(visit(walk.cast.iris).get(page))
    assert "Your verdict as platform" in read(visit(walk.cast.ben).get(page))
    walk.approve(submission, "product")
    assert "You approved for product on this dossier already." in read(visit(walk.cast.dana).get(page))
    assert "for any of the roles" in read(visit(walk.cast.alma).get(page))


def test_nobody_approves_behind_the_back_of_the_box(walk: Walk, submission: Submission) -> None:
    people.give_seat(walk.cast.ada, "platform", actor=walk.cast.alma)
    answer = sign_in(walk.cast.ada).post(review_url(submission), verdict_on(submission, "approve", "platform"))
    assert answer.status_code == 409
    assert "nobody approves their own work" in read(answer)
    assert (
        visit(walk.cast.iris).post(review_url(submission), verdict_on(submission, "approve", "security")).status_code
        == 403
    )
    assert not Review.objects.exists()


def test_production_asks_for_a_fresh_proof_of_identity(walk: Walk, submission: Submission) -> None:
    answer = visit(walk.cast.dana).post(review_url(submission), verdict_on(submission, "approve", "product"))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/reauthenticate/")
    assert not Review.objects.exists()
    answer = sign_in(walk.cast.dana).post(
        review_url(submission), verdict_on(submission, "approve", "product"), follow=True
    )
    assert "Your verdict is recorded" in read(answer)


def test_owners_withdraw_and_others_do_not(walk: Walk, submission: Submission) -> None:
    address = reverse("governance:withdraw", args=[submission.public_id])
    assert visit(walk.cast.dana).post(address).status_code == 403
    words = read(visit(walk.cast.ada).post(address, {"reason": "A better one is coming."}, follow=True))
    assert "is withdrawn" in words
    page = read(visit(walk.cast.dana).get(submission.get_absolute_url()))
    assert order_of(page, "Withdrawn", "A better one is coming.", "The submission is withdrawn.")


@pytest.mark.parametrize("page", ["/queue/", "/waivers/"])
def test_lists_cost_the_same_for_one_row_and_for_three(
    walk: Walk, submission: Submission, page: str, django_assert_max_num_queries: Any
) -> None:
    more = [("fraud-scorer", "production"), ("churn-embedder", "staging"), ("credit-llm", "production")]
    client = visit(walk.cast.rhea)
    client.get(page)
    with django_assert_max_num_queries(12) as first:
        assert "fraud-scorer@1.0.0" in read(client.get(page)) or page != "/queue/"
    for number, (name, environment) in enumerate(more[1:], 2):
        walk.submit(walk.candidate(name, "1.0.0", artifacts.scorer(number)), environment)
    with django_assert_max_num_queries(len(first)):
        assert "churn-embedder@1.0.0" in read(client.get(page)) or page != "/queue/"


def test_policies_are_read_as_rules_and_as_text(walk: Walk, submission: Submission) -> None:
    policy = Policy.objects.get()
    client = visit(walk.cast.ada)
    assert policy.digest[:12] in read(client.get("/policies/"))
    words = read(client.get(reverse("governance:policy", args=[policy.name, policy.number])))
    assert "quality/accuracy: at least 0.85" in words
    assert 'toxicity/rate: {max: "0.01"}' in words
    assert "Sign in again for every verdict" in words
    assert client.get("/policies/nothing/1/").status_code == 404
