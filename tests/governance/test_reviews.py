"""Verdicts of people: who may give them, on what, and everything for which they are refused by a name of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from guardian.shortcuts import assign_perm

from governance import lifecycle, reviews, submissions
from governance.models import Decision, Review, Submission
from portal.errors import Invalid, Refused
from registry import dossier, evidence, people, signatures
from registry.models import User
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.scene import Scene
from tests.web.services import count_rows


def fresh(user: User) -> User:
    """Return an account as the next request would load it."""
    return User.objects.get(pk=user.pk)


def refused(act: Callable[[], object]) -> Refused:
    """Return why an act is refused, after making sure that it left nothing."""
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        act()
    assert count_rows() == before
    return refusal.value


def note(walk: Walk, submission: Submission, text: bytes = b"The shadow run looked odd.") -> None:
    """Change the dossier: attach a document that makes nothing red, and let the checks answer."""
    evidence.attach(submission.version, actor=walk.cast.cee_i, kind="other", filename="note.txt", body=text)
    walk.work()


def test_a_verdict_remembers_who_what_and_how_they_proved_it(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    proof = walk.proof(timezone.now() - timedelta(minutes=3))
    review = reviews.approve(submission, actor=walk.cast.petra, role="platform", note="Looks good.", proof=proof)
    assert (review.reviewer, review.role, review.verdict, review.note) == (
        walk.cast.petra, "platform", "approve", "Looks good."
    )  # fmt: skip
    assert (review.authenticated_at, review.authenticated_by) == (proof.at, "password")
    assert review.dossier_digest == submissions.current_digest(submission)
    assert review.dossier == submissions.whole_picture(submission)
    assert review.dossier["asked"] == {
        "environment": "production", "policy": submission.policy.digest, "name": str(submission.policy)
    }  # fmt: skip


def test_all_roles_together_decide_and_not_one_earlier(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    assert submissions.required_roles(submission) == ["platform", "product", "security"]
    for role, person in (("security", walk.cast.sol), ("platform", walk.cast.petra), ("product", walk.cast.dana)):
        assert not Decision.objects.exists()
        assert role in reviews.missing_roles(submission)
        reviews.approve(submission, actor=person, role=role, proof=walk.proof())
    assert Decision.objects.get().verdict == "approved"
    submission.refresh_from_db()
    assert submission.state == "approved"


def test_one_rejection_decides(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    reviews.reject(submission, actor=walk.cast.rhea, role="security", note="Not like this.", proof=walk.proof())
    decision = Decision.objects.get()
    assert (decision.verdict, decision.reason, decision.expires_at) == ("rejected", "Not like this.", None)
    late = refused(lambda: reviews.approve(submission, actor=walk.cast.sol, role="security", proof=walk.proof()))
    assert (late.code, str(late)) == (
        "submission_closed", "The submission of fraud-scorer@1.0.0 for production is rejected."
    )  # fmt: skip


def test_a_changed_dossier_refuses_the_verdict_and_says_both_digests(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    seen = submissions.current_digest(submission)
    note(walk, submission)
    for act in (reviews.approve, reviews.reject, reviews.request_changes):
        why = refused(lambda act=act: act(submission, actor=walk.cast.petra, role="platform", seen=seen, note="Odd."))  # type: ignore[misc]
        assert why.code == "dossier_changed"
        assert why.details == {"expected": submissions.current_digest(submission), "seen": seen}
    # Without saying what was seen, what was submitted is meant, and that is no longer there either.
    assert (
        refused(lambda: reviews.approve(submission, actor=walk.cast.petra, role="platform")).code == "dossier_changed"
    )
    invented = refused(lambda: reviews.approve(submission, actor=walk.cast.petra, role="platform", seen="0" * 64))
    assert invented.code == "dossier_changed"


def test_a_change_voids_approvals_lists_what_changed_and_asks_again(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    note(walk, submission)
    voided = reviews.stale(submission)
    assert [review.role for review in voided] == ["platform", "product"]
    changed = dossier.changes({**dossier.picture(version), **voided[0].dossier}, dossier.picture(version))
    assert [(section, what, after["filename"]) for section, what, _, after in changed] == [
        ("evidence", "added", "note.txt")
    ]
    assert [each.review for each in reviews.progress(submission)] == [None, None, None]
    # The same people may answer again, and only verdicts on the present dossier make the decision.
    walk.approve(submission)
    assert Review.objects.count() == 5
    assert Decision.objects.get().verdict == "approved"


def test_what_is_not_material_voids_nothing(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    version.release_notes, version.build_id, version.authors = "Other words.", "another", ["grace"]
    submission.version = version
    assert reviews.stale(submission) == []
    version.licence = "MIT"
    assert [review.role for review in reviews.stale(submission)] == ["platform"]


def test_one_person_answers_once_for_a_dossier_whatever_the_verdict(scene: Scene) -> None:
    walk, version = scene
    people.give_seat(walk.cast.petra, "security", actor=walk.cast.alma)
    submission = walk.submit(version, "production")
    reviews.approve(submission, actor=walk.cast.petra, role="platform", proof=walk.proof())
    petra = fresh(walk.cast.petra)
    for role in ("platform", "security"):
        for act in (reviews.approve, reviews.reject):
            why = refused(
                lambda act=act, role=role: act(submission, actor=petra, role=role, note="No.", proof=walk.proof())
            )  # type: ignore[misc]
            assert why.code == "already_reviewed"
            assert "answered for platform" in str(why)


def test_a_role_is_filled_by_one_approval(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "security")
    why = refused(lambda: reviews.approve(submission, actor=walk.cast.sol, role="security", proof=walk.proof()))
    assert (why.code, "Rhea Security approved for security" in str(why)) == ("role_answered", True)
    # A second person of the role may still stop it.
    reviews.reject(submission, actor=walk.cast.sol, role="security", note="I disagree.", proof=walk.proof())
    assert Decision.objects.get().verdict == "rejected"


def test_requested_changes_need_another_dossier_for_that_role(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    reviews.request_changes(submission, actor=walk.cast.rhea, role="security", note="Explain.", proof=walk.proof())
    why = refused(lambda: reviews.approve(submission, actor=walk.cast.sol, role="security", proof=walk.proof()))
    assert why.code == "changes_requested"
    walk.approve(submission, "platform")
    note(walk, submission, b"Here is the explanation.")
    walk.approve(submission)
    assert Decision.objects.get().verdict == "approved"


@pytest.mark.parametrize("text", ["", "  ", "No"])
def test_a_no_says_why(scene: Scene, text: str) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    for act in (reviews.reject, reviews.request_changes):
        with pytest.raises(Invalid, match="note: saw"):
            act(submission, actor=walk.cast.petra, role="platform", note=text)
    assert not Review.objects.exists()


@pytest.mark.parametrize("text", ["x" * 4001, "a\x00b", "a\ud800b"])
def test_a_note_is_text_of_a_bounded_length(scene: Scene, text: str) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    for act in (reviews.approve, reviews.reject):
        with pytest.raises(Invalid, match="note: saw"):
            act(submission, actor=walk.cast.petra, role="platform", note=text)
    assert not Review.objects.exists()


def test_rules_in_the_way_are_named_with_what_would_help(scene: Scene, tmp_path: Path) -> None:
    walk, _ = scene
    import_advisories(walk.cast, tmp_path, osv("GHSA-aaaa-bbbb-cccc", "numpy", fixed="9.9"))
    poor = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), metrics={"quality/accuracy": "0.5"})
    submission = walk.submit(poor, "staging")
    why = refused(lambda: reviews.approve(submission, actor=walk.cast.petra, role="platform"))
    assert why.code == "rules_not_met"
    reasons = {reason.rule: reason for reason in why.reasons}
    assert set(reasons) == {"vulnerabilities", "evaluations"}
    assert "quality/accuracy is 0.5, expected at least 0.85" in reasons["evaluations"].says
    assert all(reason.fix and reason.where == submission.get_absolute_url() for reason in why.reasons)
    # Saying no needs no green rules.
    assert reviews.reject(submission, actor=walk.cast.petra, role="platform", note="Too poor.").pk


def test_only_the_role_that_is_asked_for_and_only_who_sits_in_it(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    with pytest.raises(Invalid, match="role: saw 'security', expected one of platform"):
        reviews.approve(submission, actor=walk.cast.rhea, role="security")
    for person in (walk.cast.dana, walk.cast.iris, walk.cast.alma, walk.cast.mallory, walk.cast.otto, walk.cast.ben):
        with pytest.raises(PermissionDenied):
            reviews.approve(submission, actor=person, role="platform")
    with pytest.raises(PermissionDenied):
        reviews.approve(submission, actor=people.close_account(walk.cast.petra, actor=walk.cast.alma), role="platform")
    assert not Review.objects.exists()


def test_a_seat_that_is_not_everywhere_needs_a_grant_for_the_asset(scene: Scene) -> None:
    walk, version = scene
    people.give_seat(walk.cast.mallory, "platform", actor=walk.cast.alma, everywhere=False)
    submission = walk.submit(version, "staging")
    with pytest.raises(PermissionDenied):
        reviews.approve(submission, actor=fresh(walk.cast.mallory), role="platform")
    assign_perm("review_asset", walk.cast.mallory, version.asset)
    assert reviews.approve(submission, actor=fresh(walk.cast.mallory), role="platform").pk


def test_a_verdict_stays_when_the_seat_is_taken_away(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    people.take_seat(walk.cast.petra.seats.get(), actor=walk.cast.alma)
    assert reviews.missing_roles(submission) == ["product", "security"]
    with pytest.raises(PermissionDenied):
        reviews.approve(submission, actor=fresh(walk.cast.petra), role="platform", proof=walk.proof())


def test_a_proof_is_asked_for_where_the_policy_says_so_and_for_every_verdict(scene: Scene) -> None:
    walk, version = scene
    staging, production = (walk.submit(version, name) for name in ("staging", "production"))
    assert reviews.approve(staging, actor=walk.cast.petra, role="platform").authenticated_at is None
    old = walk.proof(timezone.now() - timedelta(minutes=5, seconds=1))
    for act in (reviews.approve, reviews.reject, reviews.request_changes):
        why = refused(lambda act=act: act(production, actor=walk.cast.petra, role="platform", note="Hmm.", proof=old))  # type: ignore[misc]
        assert (why.code, why.reasons[0].where) == ("reauthenticate", "/account/reauthenticate/")


def test_nobody_approves_what_was_retired_or_deprecated_while_they_were_reading(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    lifecycle.deprecate(
        version, actor=walk.cast.ada, successor=None, sunset_at=timezone.now() + timedelta(days=9), reason="Newer one."
    )
    act = lambda: reviews.approve(submission, actor=walk.cast.rhea, role="security", proof=walk.proof())  # noqa: E731
    assert refused(act).code == "not_a_candidate"
    lifecycle.retire(version, actor=walk.cast.ada, reason="Wrong about weekends.")
    assert refused(act).code == "not_a_candidate"
    reviews.reject(submission, actor=walk.cast.rhea, role="security", note="It is retired.", proof=walk.proof())
    assert [decision.verdict for decision in Decision.objects.all()] == ["rejected"]


def test_whoever_signs_a_report_after_approving_stops_the_decision(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    said = {"capacity": "head of product", "statement": "The set is the right one."}
    signatures.sign(version.evidence.get(kind="evaluation"), actor=walk.cast.dana, **said)
    walk.work()
    last = refused(lambda: walk.approve(submission, "security"))
    assert last.code == "approver_involved"
    assert "Dana" in last.says
    assert not Decision.objects.filter(submission=submission).exists()
