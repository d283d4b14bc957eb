"""The refusals that the whole product exists for. Each names the rule, and each leaves nothing behind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from governance import decisions, lifecycle, promotions, reviews, standing, submissions, waivers
from governance.models import Decision, Promotion, Review
from portal.errors import Refused
from registry import drafts, evidence, intake, people
from registry.models import Version
from registry.registration import Registration
from tests.factories import Walk, artifacts, documents, import_advisories, osv


def test_ada_cannot_approve_what_she_submitted_even_with_a_seat(walk: Walk) -> None:
    people.give_seat(walk.cast.ada, "platform", actor=walk.cast.alma)
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), authors=["somebody@example.com"])
    submission = walk.submit(version, "staging", actor=walk.cast.ada)
    with pytest.raises(Refused) as refusal:
        reviews.approve(submission, actor=walk.cast.ada, role="platform")
    assert refusal.value.code == "not_independent"
    assert "Ada Owner submitted it." in str(refusal.value)
    assert not Review.objects.exists()


def test_an_author_behind_the_ci_bot_cannot_approve(walk: Walk) -> None:
    people.give_seat(walk.cast.ada, "platform", actor=walk.cast.alma)
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), authors=["Ada Owner <ada@example.com>"])
    submission = walk.submit(version, "staging")
    assert submission.submitted_by == walk.cast.cee_i
    with pytest.raises(Refused, match="Ada Owner is named as an author"):
        reviews.approve(submission, actor=walk.cast.ada, role="platform")


def test_a_commit_author_in_the_provenance_counts_as_an_author(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), people=("Petra <petra@example.com>",))
    submission = walk.submit(version, "staging")
    with pytest.raises(Refused, match="Petra Platform is a commit author behind the build"):
        reviews.approve(submission, actor=walk.cast.petra, role="platform")


def test_the_author_of_an_evaluation_cannot_approve(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), evaluator="petra@example.com")
    submission = walk.submit(version, "staging")
    with pytest.raises(Refused, match="Petra Platform is responsible for an evaluation"):
        reviews.approve(submission, actor=walk.cast.petra, role="platform")


def test_whoever_edited_the_draft_cannot_approve_it(walk: Walk) -> None:
    people.give_seat(walk.cast.ben, "platform", actor=walk.cast.alma)
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    drafts.edit(version, actor=walk.cast.ben, release_notes="Ben wrote these notes.")
    walk.attach_all(version)
    submissions.nominate(version, actor=walk.cast.cee_i)
    walk.work()
    submission = walk.submit(version, "staging")
    with pytest.raises(Refused, match="Ben Backup wrote or nominated its draft"):
        reviews.approve(submission, actor=walk.cast.ben, role="platform")


def test_an_administrator_is_no_approver(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "staging")
    walk.cast.alma.is_superuser = True
    with pytest.raises(PermissionDenied):
        reviews.approve(submission, actor=walk.cast.alma, role="platform")


def test_mallory_cannot_even_ask(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    with pytest.raises(PermissionDenied):
        submissions.submit(version, "staging", actor=walk.cast.mallory)


def test_one_person_fills_one_role(walk: Walk) -> None:
    people.give_seat(walk.cast.petra, "product", actor=walk.cast.alma)
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "production")
    reviews.approve(submission, actor=walk.cast.petra, role="platform", proof=walk.proof())
    petra = type(walk.cast.petra).objects.get(pk=walk.cast.petra.pk)
    with pytest.raises(Refused) as refusal:
        reviews.approve(submission, actor=petra, role="product", proof=walk.proof())
    assert refusal.value.code == "already_reviewed"


def test_another_checksum_for_the_same_version_is_refused_with_both_hashes(walk: Walk) -> None:
    first = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    body = artifacts.scorer(2)
    again = Registration.model_validate(walk.registration("fraud-scorer", "1.0.0", body))
    before = Entry.objects.count()
    with pytest.raises(Refused) as refusal:
        intake.register(again, actor=walk.cast.cee_i)
    assert refusal.value.code == "checksum_differs"
    assert refusal.value.details["expected"] == first.artifact_sha256
    assert refusal.value.details["seen"] == again.version.artifact.sha256
    assert Entry.objects.count() == before


def test_the_same_registration_again_is_the_same_version(walk: Walk) -> None:
    first = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    before = Entry.objects.count()
    second = intake.register(
        Registration.model_validate(walk.registration("fraud-scorer", "1.0.0", artifacts.scorer(1))),
        actor=walk.cast.cee_i,
    )
    assert (second.version.pk, second.created) == (first.pk, False)
    assert Entry.objects.count() == before


def test_new_evidence_voids_a_review_that_was_opened_before(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "production")
    seen = submissions.current_digest(submission)
    reviews.approve(submission, actor=walk.cast.petra, role="platform", seen=seen, proof=walk.proof())
    evidence.attach(
        version, actor=walk.cast.cee_i, kind="other", filename="note.txt", body=b"The shadow run looked odd."
    )
    with pytest.raises(Refused) as refusal:
        reviews.approve(submission, actor=walk.cast.dana, role="product", seen=seen, proof=walk.proof())
    assert refusal.value.code == "dossier_changed"
    assert reviews.missing_roles(submission) == ["platform", "product", "security"]
    assert [review.role for review in reviews.stale(submission)] == ["platform"]


@pytest.mark.parametrize("kind", ["sbom", "provenance"])
def test_without_sbom_or_provenance_a_draft_never_becomes_a_candidate(walk: Walk, kind: str) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), without=(kind,))
    assert version.state == "draft"
    assert version.check_runs.get(check_slug=kind).outcome == "failed"
    with pytest.raises(Refused, match="only a candidate"):
        submissions.submit(version, "staging", actor=walk.cast.ada)


def test_missing_evidence_that_arrives_later_makes_the_candidate(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), without=("sbom",))
    walk.attach_all(version, without=("provenance", "evaluation", "model-card"))
    walk.work()
    version.refresh_from_db()
    assert version.state == "candidate"


def test_a_critical_rule_cannot_be_waived_by_anybody(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), without=("sbom",))
    with pytest.raises(Refused) as refusal:
        waivers.request(
            version,
            actor=walk.cast.ada,
            rule="sbom",
            environment="baseline",
            reason="We are in a hurry.",
            compensating_control="None.",
            expires_at=timezone.now() + timedelta(days=3),
        )
    assert refusal.value.code == "rule_is_critical"


def test_an_open_critical_finding_stands_in_the_way(walk: Walk, tmp_path: Path) -> None:
    import_advisories(
        walk.cast, tmp_path, osv("GHSA-aaaa-bbbb-cccc", "joblib", fixed="1.6.0", aliases=["CVE-2026-10001"])
    )
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "staging")
    with pytest.raises(Refused) as refusal:
        reviews.approve(submission, actor=walk.cast.petra, role="platform")
    assert refusal.value.code == "rules_not_met"
    assert "CVE-2026-10001 in pkg:pypi/joblib@1.5.2, fixed in 1.6.0" in str(refusal.value)


def test_a_finding_imported_after_the_checks_is_seen_before_the_next_approval(walk: Walk, tmp_path: Path) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "staging")
    import_advisories(walk.cast, tmp_path, osv("GHSA-aaaa-bbbb-cccc", "joblib", fixed="1.6.0"))
    with pytest.raises(Refused, match="something changed"):
        reviews.approve(submission, actor=walk.cast.petra, role="platform")


def test_an_expired_decision_is_expired_even_when_the_clock_has_stopped(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(version)
    walk.promote(version)
    assert standing.of(version, "production").allow
    with time_machine.travel(timezone.now() + timedelta(days=91)):
        # Nothing has run since: no sweep, no worker, no clock.
        version.refresh_from_db()
        assert version.state == "approved"
        answer = standing.of(version, "production")
        assert not answer.allow
        assert answer.reasons[0].rule == "expired"
        with pytest.raises(Refused, match="may not serve"):
            promotions.promote(version, "production", actor=walk.cast.ada)


def test_a_verdict_after_the_due_date_is_refused_even_when_the_clock_has_stopped(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "staging")
    with time_machine.travel(timezone.now() + timedelta(days=15)), pytest.raises(Refused, match="unanswered is no"):
        reviews.approve(submission, actor=walk.cast.petra, role="platform")


def test_a_deprecated_version_refuses_new_consumers_and_serves_the_known_ones(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(version)
    walk.cast.otto.token_scopes = frozenset({"gate"})
    known = promotions.ask_gate(version.identity_digest, "production", "billing", actor=walk.cast.otto)
    assert known.allow
    sunset = timezone.now() + timedelta(days=10)
    lifecycle.deprecate(
        version, actor=walk.cast.ada, successor=None, sunset_at=sunset, reason="A better one is coming."
    )
    assert promotions.ask_gate(version.identity_digest, "production", "billing", actor=walk.cast.otto).allow
    refused = promotions.ask_gate(version.identity_digest, "production", "newcomer", actor=walk.cast.otto)
    assert not refused.allow
    assert "new consumers are refused" in refused.says
    with time_machine.travel(sunset + timedelta(seconds=1)):
        assert not standing.of(version, "production", consumer="billing").allow


def test_a_retired_version_serves_nobody_and_stays_retired(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(version)
    lifecycle.retire(version, actor=walk.cast.ada, reason="It is wrong about weekends.")
    assert standing.of(version, "production").reasons[0].rule == "retired"
    with pytest.raises(Refused, match="closed"):
        evidence.attach(version, actor=walk.cast.cee_i, kind="other", filename="late.txt", body=b"late")
    with pytest.raises(Refused):
        submissions.submit(version, "production", actor=walk.cast.ada)


def test_a_revoked_decision_ends_at_once_and_the_revocation_is_signed(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    decision = walk.approved(version)
    decisions.revoke(decision, actor=walk.cast.rhea, reason="The training data was poisoned.")
    assert standing.of(version, "production").reasons[0].rule == "revoked"
    walk.work()
    revocation = Decision.objects.get(revokes=decision)
    assert revocation.signature.keyid
    version.refresh_from_db()
    assert version.state == "candidate"


def test_an_unregistered_digest_is_refused_by_name(walk: Walk) -> None:
    walk.cast.otto.token_scopes = frozenset({"gate"})
    answer = promotions.ask_gate("ab" * 32, "production", "billing", actor=walk.cast.otto)
    assert (answer.allow, answer.reasons[0].rule) == (False, "unregistered")


def test_production_needs_a_fresh_proof_of_identity(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "production")
    for proof in (None, walk.proof(timezone.now() - timedelta(minutes=6)), walk.proof(timezone.now() + timedelta(1))):
        with pytest.raises(Refused) as refusal:
            reviews.approve(submission, actor=walk.cast.petra, role="platform", proof=proof)
        assert refusal.value.code == "reauthenticate"


def test_promotion_without_a_decision_is_refused_with_what_would_make_it_yes(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    with pytest.raises(Refused) as refusal:
        walk.promote(version)
    assert [reason.rule for reason in refusal.value.reasons] == ["no_decision"]
    assert "Submit it for production" in str(refusal.value)
    assert not Promotion.objects.exists()


def test_roll_back_returns_to_the_version_before(walk: Walk) -> None:
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    second = walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(2))
    for version in (first, second):
        walk.approved(version)
        walk.promote(version)
    moved = promotions.roll_back(first.asset, "production", actor=walk.cast.ada, reason="Latency doubled.")
    assert moved.version == first
    assert promotions.current(first.asset, "production").version == first


def test_evaluations_of_another_digest_do_not_count(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.attach_all(version, without=("evaluation",))
    other = documents.evaluation("cd" * 32, at=timezone.now(), author="evaluations@example.com")
    evidence.attach(version, actor=walk.cast.cee_i, kind="evaluation", filename="evaluation.json", body=other)
    submissions.nominate(version, actor=walk.cast.cee_i)
    walk.work()
    assert "was measured on cdcdcdcdcdcd…" in version.check_runs.get(check_slug="evaluations").says


def test_a_version_of_mallorys_wish_is_not_even_visible(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    assert not walk.cast.mallory.has_perm("asset.view", version)
    assert Version.objects.filter(pk=version.pk).exists()
