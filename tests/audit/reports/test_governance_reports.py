"""Who approved what, which checks ran, which exceptions were granted: each as of any instant."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit.models import Entry
from audit.reports import BY_SLUG, Filters, Report
from governance import decisions, reviews, submissions, waivers
from governance.models import Decision, Review
from tests.audit.reports.stories import decided, prompt
from tests.factories import Walk, documents

NOTHING = Filters()


def told(slug: str, as_of: Any = None, filters: Filters = NOTHING) -> list[dict[str, Any]]:
    """Return the rows of a report by their headings."""
    report: Report = BY_SLUG[slug]
    headings = [column.title for column in report.columns]
    return [dict(zip(headings, row, strict=True)) for row in report.rows(filters, as_of or timezone.now())]


def test_a_decision_is_told_with_its_approvals_signature_and_entry(walk: Walk) -> None:
    decision = decided(walk)
    [row] = told("decisions")
    assert (row["Verdict"], row["Version"], row["Environment"]) == ("approved", "credit-prompt@1.0.0", "staging")
    assert (row["Decided by"], row["Approvals"]) == ("Petra Platform", "platform: Petra Platform")
    assert row["Valid until"] == decision.expires_at
    assert row["Signing key"] == decision.signature.keyid
    assert row["Identity digest"] == decision.version.identity_digest
    assert row["Dossier digest"] == decision.submission.dossier_digest
    assert Entry.objects.get(event_id=row["Ledger entry"]).kind == "decision.made"


def test_a_decision_stands_differently_at_different_instants(walk: Walk) -> None:
    decision = decided(walk)
    before = decision.made_at - timedelta(microseconds=1)
    in_between = timezone.now()
    revocation = decisions.revoke(decision, actor=walk.cast.rhea, reason="A leak was found.")
    walk.work()

    assert told("decisions", before) == []
    assert [row["Stands"] for row in told("decisions", decision.made_at)] == ["unsigned"]
    assert [row["Stands"] for row in told("decisions", in_between)] == ["in force"]
    assert [(row["Verdict"], row["Stands"]) for row in told("decisions")] == [
        ("revoked", None),
        ("approved", "revoked"),
    ]
    assert told("decisions")[0]["Revokes"] == str(decision.public_id)
    assert told("decisions")[0]["Reason"] == revocation.reason == "A leak was found."


def test_a_decision_is_expired_at_its_expiry_whether_or_not_a_clock_rang(walk: Walk) -> None:
    decision = decided(walk)
    last = decision.expires_at - timedelta(microseconds=1)  # type: ignore[operator]
    assert [row["Stands"] for row in told("decisions", last)] == ["in force"]
    assert [row["Stands"] for row in told("decisions", decision.expires_at)] == ["expired"]


def test_every_verdict_is_told_with_what_its_reviewer_relied_on(walk: Walk) -> None:
    version = prompt(walk)
    submission = walk.submit(version, "production")
    reviews.request_changes(
        submission, actor=walk.cast.dana, role="product", note="Please add Polish.", proof=walk.proof()
    )
    [row] = told("approvals")
    assert (row["Reviewer"], row["Account"]) == ("Dana Product", walk.cast.dana.ledger_name)
    assert (row["Verdict"], row["Role"], row["Note"]) == ("request_changes", "product", "Please add Polish.")
    assert (row["Counts"], row["Proved by"]) == ("counted", "password")
    assert row["Dossier digest"] == submission.dossier_digest
    assert BY_SLUG["approvals"].say(next(BY_SLUG["approvals"].rows(NOTHING, timezone.now()))) == (
        "Dana Product asked for changes to credit-prompt@1.0.0 for production as product"
    )


def test_a_verdict_is_stale_from_the_instant_on_at_which_new_evidence_came(walk: Walk) -> None:
    version = prompt(walk)
    walk.approve(walk.submit(version, "production"), "platform")
    before = timezone.now()
    walk.attach_all(
        version, without=("sbom", "provenance", "model-card"), metrics={**documents.GOOD, "bias/gap": "0.01"}
    )
    assert [row["Counts"] for row in told("approvals", before)] == ["counted"]
    assert [row["Counts"] for row in told("approvals")] == ["stale"]


def test_a_verdict_that_was_decided_on_counts_for_ever(walk: Walk) -> None:
    decision = decided(walk)
    walk.attach_all(
        decision.version, without=("sbom", "provenance", "model-card"), metrics={**documents.GOOD, "bias/gap": "0.01"}
    )
    assert [row["Counts"] for row in told("approvals")] == ["counted"]


def test_a_verdict_on_an_older_dossier_than_the_decided_one_is_stale(walk: Walk) -> None:
    version = prompt(walk)
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    walk.attach_all(
        version, without=("sbom", "provenance", "model-card"), metrics={**documents.GOOD, "bias/gap": "0.01"}
    )
    walk.work()
    walk.approve(submission)
    assert Decision.objects.get().verdict == "approved"
    rows = told("approvals")
    assert [(row["Role"], row["Counts"]) for row in rows] == [
        ("security", "counted"),
        ("product", "counted"),
        ("platform", "counted"),
        ("platform", "stale"),
    ]
    assert Review.objects.count() == 4


def test_every_check_is_told_with_tool_input_policy_and_entry(walk: Walk) -> None:
    version = prompt(walk)
    rows = told("checks")
    assert {row["Version"] for row in rows} == {"credit-prompt@1.0.0"}
    [sbom] = [row for row in rows if row["Check"] == "sbom"]
    run = version.check_runs.get(check_slug="sbom")
    assert (sbom["Outcome"], sbom["Says"]) == ("passed", run.says)
    assert (sbom["Tool"], sbom["Tool version"], sbom["Input digest"]) == (run.tool, run.tool_version, run.input_digest)
    assert (sbom["Policy"], sbom["Policy digest"]) == ("default v1", run.policy.digest)
    entry = Entry.objects.get(event_id=sbom["Ledger entry"])
    assert json.loads(bytes(entry.body))["details"]["run"] == sbom["Run"]
    assert told("checks", run.started_at - timedelta(hours=1)) == []


def test_an_exception_is_told_from_its_grant_on_and_ends_by_expiry_or_revocation(walk: Walk) -> None:
    version = prompt(walk, metrics={**documents.GOOD, "jailbreak/attack_success_rate": "0.07"})
    asked = {
        "actor": walk.cast.ada,
        "environment": "staging",
        "reason": "The new set is due next week.",
        "compensating_control": "Every answer is logged.",
        "expires_at": timezone.now() + timedelta(days=21),
    }
    waiver = waivers.request(version, rule="evaluations", **asked)
    waivers.request(version, rule="vulnerabilities", **asked)
    assert told("waivers") == []

    waivers.grant(waiver, actor=walk.cast.rhea, note="Staging only.")
    granted = timezone.now()
    [row] = told("waivers")
    assert (row["Rule"], row["Granted by"], row["Requested by"]) == ("evaluations", "Rhea Security", "Ada Owner")
    assert (row["Reason"], row["Compensating control"]) == (asked["reason"], asked["compensating_control"])
    assert (row["Stands"], row["Expires"]) == ("in force", asked["expires_at"])
    assert Entry.objects.get(event_id=row["Ledger entry"]).kind == "waiver.granted"
    assert [row["Stands"] for row in told("waivers", asked["expires_at"])] == ["expired"]

    waivers.revoke(waiver, actor=walk.cast.rhea, reason="It was abused.")
    assert [(row["Stands"], row["Revoked"]) for row in told("waivers", granted)] == [("in force", None)]
    assert [row["Stands"] for row in told("waivers")] == ["revoked"]


def test_filters_narrow_by_asset_version_environment_and_period(walk: Walk) -> None:
    first = decided(walk, "1.0.0")
    second = decided(walk, "1.1.0")
    other = decided(walk, "1.0.0", asset="desk-prompt")
    submissions.submit(other.version, "production", actor=walk.cast.cee_i)

    def versions(**asked: Any) -> list[str]:
        return [row["Version"] for row in told("decisions", filters=Filters(**asked))]

    assert versions(asset="credit-prompt") == ["credit-prompt@1.1.0", "credit-prompt@1.0.0"]
    assert versions(asset="credit-prompt@1.0.0") == ["credit-prompt@1.0.0"]
    assert versions(asset="desk") == []
    assert versions(environment="production") == []
    assert len(versions(environment="staging")) == 3
    assert versions(since=second.made_at, until=other.made_at) == ["credit-prompt@1.1.0"]
    assert versions(until=first.made_at) == []


def test_who_could_act_is_told_with_names_and_the_giver(walk: Walk) -> None:
    rows = told("access")
    [seat] = [row for row in rows if row["Role"] == "auditor"]
    assert (seat["What"], seat["About"]) == ("Portal setup gave Iris Auditor the role auditor.", "Iris Auditor")
    assert {row["Event"] for row in rows} >= {"seat.given", "token.issued", "team.changed", "key.trusted"}


def test_filters_survive_being_written_down() -> None:
    filters = Filters(asset="a@1.0.0", customer="=acme", since=timezone.now(), until=timezone.now())
    assert Filters.from_parameters(json.loads(json.dumps(filters.as_parameters()))) == filters
    assert Filters().as_parameters() == {}


def test_a_condition_and_a_verdict_taken_back_are_told_as_they_stood(walk: Walk) -> None:
    submission = walk.submit(prompt(walk), "production")
    due = timezone.now() + timedelta(days=10)
    reviews.approve(
        submission,
        actor=walk.cast.petra,
        role="platform",
        seen=submissions.current_digest(submission),
        conditions=[("Add an alarm for latency.", due)],
        proof=walk.proof(),
    )
    before = timezone.now()
    [row] = told("approvals")
    assert row["On conditions"] == f"Add an alarm for latency. (until {due:%Y-%m-%d %H:%M} UTC, open)"
    reviews.withdraw(Review.objects.get(), actor=walk.cast.petra, reason="I looked at the wrong one.")
    assert [(row["Counts"], row["Taken back"]) for row in told("approvals", before)] == [("counted", None)]
    [row] = told("approvals")
    assert (row["Counts"], row["Taken back because"]) == ("withdrawn", "I looked at the wrong one.")
    assert told("approvals", filters=Filters(person="petra", role="platform", word="approve")) == [row]
    assert told("approvals", filters=Filters(person="dana")) == []
    assert told("approvals", filters=Filters(role="security")) == []
    assert told("approvals", filters=Filters(word="reject")) == []


def test_runs_of_a_check_are_counted_and_found_by_check_and_outcome(walk: Walk) -> None:
    version = prompt(walk)
    for name in ("staging", "production"):
        walk.submit(version, name)
    rows = told("checks", filters=Filters(rule="vulnerabilities"))
    assert [row["Which run of it"] for row in rows] == sorted((row["Which run of it"] for row in rows), reverse=True)
    assert rows[-1]["Which run of it"] == 1
    [archive] = json.loads(rows[-1]["Advisories matched"])
    assert (archive["ecosystem"], len(archive["sha256"])) == ("PyPI", 64)
    assert told("checks", filters=Filters(rule="vulnerabilities", word="failed")) == []
    assert {row["Check"] for row in told("checks", filters=Filters(word="passed"))} > {"vulnerabilities"}
