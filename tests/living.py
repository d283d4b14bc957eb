"""One life in which everything happens that can happen, so that no table of the record stays empty."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from audit import copies, log, sealer, serving, verifications
from audit.events import Event
from audit.exports import builder, requests
from audit.models import Entry
from governance import (
    allowances,
    decisions,
    delegations,
    handovers,
    keys,
    lifecycle,
    notices,
    obligations,
    promotions,
    proposals,
    relicensing,
    reviews,
    submissions,
    triage,
    violations,
    waivers,
)
from governance.models import Decision, TrustedKey, Violation
from governance.notices import hooks
from portal.demo import documents
from portal.errors import Refused
from registry import drafts, intake, people, sharing, signatures, tokens
from registry.models import AccessToken, Version
from tests import policies
from tests.audit.copies.conftest import Host
from tests.audit.rotating import rotate_decision_key
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.governance.checks.private_sigstore import Instance
from tests.governance.scanning.assemble import name
from tests.governance.scanning.assemble import pickle as make_pickle


def live(walk: Walk, folder: Path) -> None:
    """Let happen whatever can happen, so that no table of the record stays empty."""
    cast = walk.cast
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.promote(first, walk.approved(first, "staging").environment)
    walk.approved(first)
    promotions.ask_gate(first.identity_digest, "production", "billing", actor=deployer(walk))
    surround_a_verdict(walk, first)
    bundle = walk.candidate(
        "fraud-desk", "1.0.0", None, kind="bundle", components=[{"role": "member", "version": first.label}]
    )
    asked = {"reason": "The set is being fixed.", "compensating_control": "Watched.", "actor": cast.ada}
    wanted = waivers.request(
        bundle, rule="owners", environment="production", expires_at=timezone.now() + timedelta(days=9), **asked
    )
    waivers.grant(wanted, actor=cast.rhea)
    rejected = walk.submit(bundle, "production")
    reviews.reject(rejected, actor=cast.rhea, role="security", note="Not like this.", proof=walk.proof())
    decisions.revoke(Decision.objects.get(version=first, environment="production"), actor=cast.sol, reason="Recalled.")
    told = {"source": "https://example.com/terms", "reason": "The vendor said so."}
    relicensing.record(first, "MIT", actor=cast.ada, **told)
    drafts.start_draft(first.asset, "1.1.0", actor=cast.ada, copy_from=first)
    intake.change_asset(first.asset, actor=cast.ada, description="Scores card transactions.")
    sharing.share(first.asset, cast.mallory, "contribute_asset", actor=cast.ada)
    lifecycle.retire(bundle, actor=cast.ada, reason="Nobody uses it.")
    rest_on_a_waiver(walk)
    challenge(walk, first, folder)
    allow_what_is_held(walk)
    change_the_policy(walk)
    measured = first.evidence.get(kind="evaluation")
    signatures.sign(measured, actor=cast.ada, capacity="head of validation", statement="I ran it.")
    administer(walk)
    report(walk, first.identity_digest)
    check_the_record(walk)
    walk.work()


def surround_a_verdict(walk: Walk, version: Version) -> None:
    """Approve under a condition and agree that it is met, take the approval back, and hand the role over."""
    rhea, sol = walk.cast.rhea, walk.cast.sol
    submission = walk.submit(version, "production")
    asked = [("Attach the report.", timezone.now() + timedelta(days=9))]
    given = reviews.approve(submission, actor=rhea, role="security", proof=walk.proof(), conditions=asked)
    obligations.meet(given.obligations.get(), actor=sol, note="It is attached.")
    reviews.withdraw(given, actor=rhea, reason="I had the wrong table open.")
    handovers.hand_over(submission, actor=rhea, role="security", receiver=sol, reason="Sol knows it.")
    submissions.withdraw(submission, actor=walk.cast.ada)


def challenge(walk: Walk, version: Version, folder: Path) -> None:
    """Put a version in force in doubt, state something about each finding, and have security agree."""
    import_advisories(walk.cast, folder, osv("GHSA-4444-scipy-bad", "scipy", fixed="99.0"))
    walk.work()
    assert version.challenges.filter(end=None).exists()
    for finding in version.findings.select_related("version__asset"):
        said = triage.state(finding, actor=walk.cast.ada, status="fixed", reason="Patched in our own build.")
        triage.answer(said, actor=walk.cast.rhea, agreed=True)


def rest_on_a_waiver(walk: Walk) -> None:
    """Approve what is too poor, on the strength of an exception."""
    poor = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), metrics={**documents.GOOD, "quality/accuracy": "0.5"})
    asked = {"reason": "Only the team sees it.", "compensating_control": "Watched.", "actor": walk.cast.ada}
    wanted = waivers.request(
        poor, rule="evaluations", environment="staging", expires_at=timezone.now() + timedelta(days=9), **asked
    )
    waivers.grant(wanted, actor=walk.cast.rhea)
    walk.approved(poor, "staging")


def allow_what_is_held(walk: Walk) -> None:
    """Allow a class that the scan holds, and take that back."""
    held = make_pickle(name("ultralytics.nn.tasks", "DetectionModel") + b")\x81}b")
    version = walk.candidate("detector", "1.0.0", held, suffix="pkl")
    end = timezone.now() + timedelta(days=9)
    allowed = allowances.allow(
        version.asset,
        *("ultralytics.nn.tasks", "DetectionModel"),
        actor=walk.cast.rhea,
        use="class",
        reason="I read the class.",
        expires_at=end,
    )
    allowances.revoke(allowed, actor=walk.cast.sol, reason="It was replaced.")


def change_the_policy(walk: Walk) -> None:
    """Publish another text while two submissions are open, and answer two more proposals with no."""
    version = walk.candidate("router", "1.0.0", artifacts.scorer(4))
    kept, moved = (walk.submit(version, place) for place in ("staging", "production"))
    policies.publish(policies.shipped("waivers.max_days", 60), walk.cast, **{str(moved.public_id): {"do": "move"}})
    assert kept.history.first().policy_until == kept.due_at
    refused, withdrawn = policies.shipped("waivers.max_days", 70), policies.shipped("waivers.max_days", 80)
    proposals.decline(policies.propose(refused, walk.cast), actor=walk.cast.abel, note="Too long.")
    proposals.withdraw(policies.propose(withdrawn, walk.cast), actor=walk.cast.alma)


def deployer(walk: Walk) -> object:
    walk.cast.otto.token_scopes = frozenset({"gate", "serving"})  # type: ignore[attr-defined]
    return walk.cast.otto


def administer(walk: Walk) -> None:
    """Do what administrators do, and take it back."""
    alma, ben = walk.cast.alma, walk.cast.ben
    people.take_seat(people.give_seat(ben, "platform", actor=alma), actor=alma)
    week = timezone.now() + timedelta(days=7)
    delegations.end(delegations.make(actor=walk.cast.dana, role="product", deputy=ben, ends_at=week), actor=alma)
    people.leave_team(people.join_team(walk.cast.assistants, walk.cast.ada, actor=alma), actor=alma)
    people.set_password(ben, "another good phrase", actor=alma)
    tokens.revoke(AccessToken.objects.get(label="pipeline"), actor=alma)
    notices.choose(actor=ben, pace="daily")
    hooks.add("pager", "https://pager.example/secretpath", actor=alma)
    keys.revoke(TrustedKey.objects.get(), actor=alma, reason="The builder is retired.")
    now = timezone.now()
    signers = {"identities": [{"issuer": "https://ci.example", "identity": "https://ci.example/builds"}]}
    facts = {
        "owner": ben,
        "builders": ["https://ci.example"],
        "valid_from": now,
        "valid_until": now + timedelta(days=9),
    }
    root = keys.trust_root(
        "private", Instance().trusted_root(), actor=alma, purposes=["provenance"], **signers, **facts
    )
    keys.revoke_root(root, actor=alma, reason="The instance is retired.")


def window(start: datetime, digest: str, count: int) -> dict[str, Any]:
    """Return five minutes in which a customer was served."""
    told = {"start": start.isoformat(), "requests": count}
    return {"deployment": "fraud-eu", "customer": "acme-bank", "digest": digest, "environment": "production", **told}


def report(walk: Walk, digest: str) -> None:
    """Report serving windows, contradict them, and export what happened."""
    start = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    told = {"actor": walk.cast.otto, "source": "gateway", "batch_id": "1"}
    serving.report(**told, windows=[window(start, digest, 10)])
    with pytest.raises(Refused, match="the first report stands"):
        serving.report(**told, windows=[window(start, digest, 11)])
    unknown = window(start, "f0" * 32, 3)
    serving.report(actor=walk.cast.otto, source="gateway", batch_id="2", windows=[window(start, digest, 12), unknown])
    violations.judge_due()
    found = Violation.objects.get(digest="f0" * 32)
    violations.answer(found, actor=walk.cast.alma, text="A test that should not have run there; it is switched off.")
    version = Version.objects.get(asset__slug="fraud-scorer", number="1.0.0")
    builder.build_now(requests.request_bundle(version, actor=walk.cast.iris))
    builder.cancel(requests.request_bundle(version, actor=walk.cast.iris), actor=walk.cast.iris)


def check_the_record(walk: Walk) -> None:
    """Have an auditor ask for a check, and make it."""
    walk.work()
    rotate_decision_key()
    verifications.ask(actor=walk.cast.iris)
    checked = verifications.verify_due()
    assert checked is not None
    assert checked.faults == []


def have_it_cosigned(folder: Path) -> None:
    """Seal what waits and have a witness cosign it."""
    host = Host(folder)
    host.keygen()
    while sealer.seal_due():
        pass
    try:
        host.start(sealer.ledger_keys()[0].vkey)
        with override_settings(WITNESSES=[host.setting], CHECKPOINT_PLACES=[]):
            assert copies.copy_due() == 1
    finally:
        host.kill()


def fill_a_tile(walk: Walk) -> None:
    """Talk until 256 entries are sealed and make a whole tile; one more entry waits."""
    team = walk.cast.risk_models
    for _ in range(257 - Entry.objects.count()):
        with log.record(Event.TEAM_CHANGED, actor=walk.cast.alma, subject=team):
            pass
    sealer.seal_due()
    with log.record(Event.TEAM_CHANGED, actor=walk.cast.alma, subject=team):
        pass
