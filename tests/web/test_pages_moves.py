"""Pages that move a version: submit, promote, roll back, deprecate, retire, waive, revoke. Every no in words."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from governance import lifecycle, promotions, waivers
from governance.models import Decision, Promotion, Submission, Waiver
from portal.demo import documents
from registry import people
from registry.models import Version
from tests.factories import Walk, artifacts
from tests.web.visitors import read, visit

SOON = (timezone.now() + timedelta(days=20)).strftime("%Y-%m-%dT%H:%M")


def page(name: str, version: Version, *more: str) -> str:
    return reverse(f"governance:{name}", args=[version.asset.slug, version.number, *more])


@pytest.fixture
def pair(walk: Walk) -> tuple[Version, Version]:
    """Return two promoted versions, the newer one serving."""
    versions = []
    for number in (1, 2):
        version = walk.candidate("fraud-scorer", f"{number}.0.0", artifacts.scorer(number))
        walk.approved(version)
        walk.promote(version)
        version.refresh_from_db()
        versions.append(version)
    return versions[0], versions[1]


@pytest.fixture
def waiver(walk: Walk, candidate: Version) -> Waiver:
    return waivers.request(
        candidate,
        actor=walk.cast.ada,
        rule="evaluations",
        environment="staging",
        reason="The fixed set is due next week.",
        compensating_control="Staging is for the team only.",
        expires_at=timezone.now() + timedelta(days=20),
    )


def test_a_candidate_is_submitted_by_its_team_alone(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    words = read(client.get(page("submit", candidate)))
    assert "Approvals platform, product, security" in words
    answer = client.post(page("submit", candidate), {"environment": "staging", "note": "Please."}, follow=True)
    assert "fraud-scorer@1.0.0 for staging is submitted." in read(answer)
    for person in (walk.cast.dana, walk.cast.iris, walk.cast.alma):
        assert visit(person).get(page("submit", candidate)).status_code == 403
    assert Submission.objects.get().submitted_by == walk.cast.ada


def test_a_second_submission_is_refused_on_the_form(walk: Walk, candidate: Version) -> None:
    walk.submit(candidate, "staging")
    client = visit(walk.cast.ada)
    assert "submitted already" in read(client.get(page("submit", candidate)))
    answer = client.post(page("submit", candidate), {"environment": "staging"})
    assert answer.status_code == 409
    assert "is submitted for staging already" in read(answer)


def test_a_submission_that_cannot_be_understood_is_422(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    for body in ({}, {"environment": "moon"}, {"environment": "staging", "note": "n" * 5000}):
        assert client.post(page("submit", candidate), body).status_code == 422
    assert not Submission.objects.exists()


def test_a_stopped_draft_cannot_be_submitted_and_the_page_says_what_would_help(walk: Walk) -> None:
    draft = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), without=("sbom",))
    answer = visit(walk.cast.ada).post(page("submit", draft), {"environment": "staging"})
    assert answer.status_code == 409
    assert "only a candidate or an approved version can be submitted" in read(answer)
    assert "It becomes a candidate when every baseline check is green." in read(answer)


def test_what_may_not_serve_is_not_promoted(walk: Walk, candidate: Version) -> None:
    answer = visit(walk.cast.ada).post(page("promote", candidate), {"environment": "production"})
    assert answer.status_code == 409
    assert "has no decision for production" in read(answer)
    assert visit(walk.cast.dana).post(page("promote", candidate), {"environment": "production"}).status_code == 403
    assert visit(walk.cast.ada).post(page("promote", candidate), {"environment": "moon"}).status_code == 422
    assert not Promotion.objects.exists()


def test_production_is_rolled_back_with_a_reason(walk: Walk, pair: tuple[Version, Version]) -> None:
    older, newer = pair
    client = visit(walk.cast.ada)
    address = f"{page('roll-back', newer)}?environment=production"
    assert f'href="{address}"' in client.get(newer.get_absolute_url()).content.decode()
    assert "Roll back to 1.0.0" in read(client.get(newer.asset.get_absolute_url()))
    words = read(client.get(address))
    assert "Roll production back to 1.0.0" in words
    assert "1.0.0 may serve" in words
    assert client.post(address, {"environment": "production"}).status_code == 422
    answer = client.post(address, {"environment": "production", "reason": "Latency doubled."}, follow=True)
    assert "Production points at fraud-scorer@1.0.0 again." in read(answer)
    now = promotions.current(older.asset, "production")
    assert now is not None
    assert (now.version, now.is_rollback, now.reason) == (older, True, "Latency doubled.")


def test_a_rollback_to_a_retired_version_is_refused(walk: Walk, pair: tuple[Version, Version]) -> None:
    older, newer = pair
    lifecycle.retire(older, actor=walk.cast.ada, reason="It leaks.")
    client = visit(walk.cast.ada)
    address = f"{page('roll-back', newer)}?environment=production"
    assert "1.0.0 may not serve" in read(client.get(address))
    answer = client.post(address, {"environment": "production", "reason": "Latency doubled."})
    assert answer.status_code == 409
    assert "fraud-scorer@1.0.0 is retired." in read(answer)
    assert visit(walk.cast.rhea).get(address).status_code == 403


def test_there_may_be_nothing_to_roll_back_to(walk: Walk, candidate: Version) -> None:
    words = read(visit(walk.cast.ada).get(f"{page('roll-back', candidate)}?environment=staging"))
    assert "There is nothing to roll back to" in words


def test_a_version_is_deprecated_with_a_successor(walk: Walk, pair: tuple[Version, Version]) -> None:
    older, newer = pair
    client = visit(walk.cast.ada)
    body = {"successor": newer.number, "sunset_at": SOON, "reason": "2.0.0 is better."}
    assert client.post(page("move", older, "deprecate"), {**body, "sunset_at": "2020-01-01T00:00"}).status_code == 422
    words = read(client.post(page("move", older, "deprecate"), body, follow=True))
    assert "fraud-scorer@1.0.0 is deprecated." in words
    again = client.post(page("move", older, "deprecate"), body)
    assert again.status_code == 409
    assert "has to be approved or candidate" in read(again)


def test_retiring_is_final_and_says_so(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    assert "This is final." in read(client.get(page("move", candidate, "retire")))
    assert client.post(page("move", candidate, "retire"), {"reason": ""}).status_code == 422
    words = read(client.post(page("move", candidate, "retire"), {"reason": "Replaced."}, follow=True))
    assert "fraud-scorer@1.0.0 is retired." in words
    assert visit(walk.cast.dana).get(page("move", candidate, "retire")).status_code == 403
    for move in ("sign", "lapse", "nonsense"):
        assert client.get(page("move", candidate, move)).status_code == 404


def test_a_waiver_is_asked_for_from_the_check_that_failed(walk: Walk) -> None:
    bad = {**documents.GOOD, "latency/p95_ms": "900"}
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), metrics=bad)
    client = visit(walk.cast.ada)
    address = f"{page('waiver-request', version)}?rule=evaluations&environment=staging"
    checks = reverse("registry:version-tab", args=["fraud-scorer", "1.0.0", "checks"])
    assert address.replace("&", "&amp;") in client.get(checks).content.decode()
    form = client.get(address).context["form"]
    assert (form["rule"].value(), form["environment"].value()) == ("evaluations", "staging")
    body = {
        "rule": "evaluations",
        "environment": "staging",
        "reason": "Slow disks, until Friday.",
        "compensating_control": "Only the team uses it.",
        "expires_at": SOON,
    }
    assert "is requested" in read(client.post(address, body, follow=True))
    late = (timezone.now() + timedelta(days=400)).strftime("%Y-%m-%dT%H:%M")
    answer = client.post(address, {**body, "expires_at": late})
    assert answer.status_code == 422
    assert "within the next 90 days" in read(answer)
    assert Waiver.objects.count() == 1


def test_critical_rules_cannot_even_be_chosen(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    words = read(client.get(page("waiver-request", candidate)))
    assert "Cannot be waived" in words
    body = {"rule": "sbom", "environment": "baseline", "reason": "x", "compensating_control": "y", "expires_at": SOON}
    assert client.post(page("waiver-request", candidate), body).status_code == 422
    assert not Waiver.objects.exists()


def test_a_second_person_answers_a_waiver(walk: Walk, waiver: Waiver) -> None:
    address = reverse("governance:waiver", args=[waiver.public_id])
    assert "Waivers are answered by security." in read(visit(walk.cast.dana).get(address))
    assert visit(walk.cast.mallory).get(address).status_code == 404
    assert visit(walk.cast.mallory).post(address, {"answer": "grant"}).status_code == 404
    assert visit(walk.cast.dana).post(address, {"answer": "grant"}).status_code == 403
    rhea = visit(walk.cast.rhea)
    assert "Waivers that wait for your answer" in read(rhea.get("/"))
    assert rhea.post(address, {"answer": "refuse", "note": ""}).status_code == 422
    assert rhea.post(address, {"answer": "bless"}).status_code == 422
    assert "In force" in read(rhea.post(address, {"answer": "grant", "note": "For staging."}, follow=True))
    assert "Tolerated today" in read(rhea.get("/waivers/"))
    assert rhea.post(address, {"answer": "grant"}).status_code == 409
    assert "Revoked" in read(rhea.post(address, {"answer": "revoke", "note": "Fixed early."}, follow=True))


def test_who_asked_for_a_waiver_cannot_grant_it(walk: Walk, waiver: Waiver) -> None:
    people.give_seat(walk.cast.ada, "security", actor=walk.cast.alma)
    client = visit(walk.cast.ada)
    address = reverse("governance:waiver", args=[waiver.public_id])
    words = read(client.get(address))
    assert "You had a hand in it." in words
    assert "Grant it until" not in words
    answer = client.post(address, {"answer": "grant"})
    assert answer.status_code == 409
    assert "somebody else has to answer the request" in read(answer)


def test_a_decision_is_shown_handed_out_and_revoked_by_security(walk: Walk, candidate: Version, tmp_path: Path) -> None:
    decision = walk.approved(candidate)
    rhea = visit(walk.cast.rhea)
    words = read(rhea.get(decision.get_absolute_url()))
    assert "In force" in words
    assert "Petra Platform" in words
    assert rhea.get(reverse("governance:decision-dsse", args=[decision.public_id])).json()["payloadType"]
    bundle = rhea.get(reverse("governance:decision-sigstore", args=[decision.public_id]))
    assert bundle["Content-Disposition"].startswith("attachment")
    address = reverse("governance:revoke", args=[decision.public_id])
    assert visit(walk.cast.petra).post(address, {"reason": "I changed my mind."}).status_code == 403
    assert visit(walk.cast.mallory).get(decision.get_absolute_url()).status_code == 404
    assert rhea.post(address, {"reason": ""}).status_code == 422
    assert "is revoked" in read(rhea.post(address, {"reason": "A poisoned data set."}, follow=True))
    assert "A poisoned data set." in read(rhea.get(decision.get_absolute_url()))
    again = rhea.post(address, {"reason": "Once more."})
    assert again.status_code == 409
    assert Decision.objects.filter(verdict="revoked").count() == 1
