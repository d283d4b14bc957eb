"""Decisions: the payload is fixed in the deciding transaction, the worker signs exactly those bytes afterwards.

Shape: in-toto Statement v1 in DSSE with our own predicate, which says roles, exceptions and expiry (docs/decisions).
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit import keyset, log, seal
from audit.events import Event
from audit.models import Leaf
from governance import announcements, lifecycle, standing, submissions
from governance.checks.verdicts import RuleVerdict
from governance.models import Decision, Obligation, Policy, Reliance, Review, Signature, Submission, Waiver
from governance.models.submissions import SubmissionState
from portal.errors import Refused
from portal.jobs import Job, ring
from registry.models import State, User, Version

logger = logging.getLogger(__name__)

PREDICATE = "https://countersign.dev/attestation/promotion-decision/v1"
STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
REVOCATIONS = "/.well-known/countersign/revocations.json"


def decide(submission: Submission, verdict: str, *, actor: User, reason: str = "") -> Decision:
    """Fix a decision on a locked submission, close it, and leave the payload for the signer."""
    now = timezone.now()
    digest = submissions.current_digest(submission)
    judged = submissions.standing_verdicts(submission)
    expires = expiry(submission, judged, now) if verdict == "approved" else None
    decision = Decision(
        public_id=uuid.uuid4(),
        submission=submission,
        version=submission.version,
        environment=submission.environment,
        verdict=verdict,
        reason=reason,
        identity_digest=submission.version.identity_digest,
        dossier_digest=digest,
        made_by=actor,
        made_at=now,
        expires_at=expires,
    )
    given = counting(submission, digest)
    decision.payload = seal.canonical(statement(decision, judged, given, digest))
    with log.record(Event.DECISION_MADE, actor=actor, subject=decision, verdict=verdict) as entry:
        decision.save()
        if verdict == "approved":
            Reliance.objects.bulk_create(Reliance(decision=decision, waiver=waiver) for waiver in rested_on(judged))
        submissions.close(submission, SubmissionState(verdict), actor=actor, because=reason)
        entry.note(payload=seal.digest(bytes(decision.payload)), expires=expires, dossier=digest)
        ring(Job.SIGN_DECISIONS)
    return decision


def counting(submission: Submission, digest: str) -> QuerySet[Review]:
    """Return the verdicts on a dossier digest that were not taken back, with the people and conditions in them."""
    rows = submission.reviews.filter(dossier_digest=digest, withdrawal=None).order_by("pk")
    return rows.select_related("reviewer", "on_behalf_of").prefetch_related("obligations")


def expiry(submission: Submission, judged: Iterable[RuleVerdict], now: datetime) -> datetime:
    """Return when an approval ends: by the policy's days, never later than a waiver it rests on."""
    days = submissions.needs_of(submission).valid_days
    return min([now + timedelta(days=days), *(waiver.expires_at for waiver in rested_on(judged))])


def rested_on(judged: Iterable[RuleVerdict]) -> list[Waiver]:
    """Return the waivers without which the verdicts would stand in the way."""
    used = [waiver for verdict in judged if verdict.outcome == "waived" for waiver in verdict.waivers]
    return list({waiver.pk: waiver for waiver in used}.values())


def statement(
    decision: Decision, judged: Iterable[RuleVerdict], given: Iterable[Review], dossier_digest: str
) -> dict[str, Any]:
    """Return the in-toto statement of a decision, with times and numbers as strings (RFC 8785 profile)."""
    submission, version = decision.submission, decision.version
    return {
        "_type": STATEMENT,
        "subject": [{"name": version.label, "digest": {"sha256": version.identity_digest}}],
        "predicateType": PREDICATE,
        "predicate": {
            "decisionId": str(decision.public_id),
            "verdict": decision.verdict.upper(),
            "reason": decision.reason,
            "supersedes": None,
            "verifier": {"id": settings.PORTAL_URL},
            "constraints": {},
            "revocation": {"list": settings.PORTAL_URL + REVOCATIONS},
            "scope": {"environment": decision.environment},
            "issuedAt": seal.instant(decision.made_at),
            "notBefore": seal.instant(decision.made_at),
            "expiresAt": seal.instant(decision.expires_at) if decision.expires_at else None,
            "policy": {
                "name": submission.policy.name,
                "version": submission.policy.number,
                "digest": {"sha256": submission.policy.digest},
            },
            "dossier": {"sha256": dossier_digest},
            "checks": [describe_check(verdict, submission.policy) for verdict in judged],
            "approvals": [describe_review(review) for review in given],
            "conditions": [describe_condition(each) for review in given for each in review.obligations.all()],
            "exceptions": [describe_waiver(waiver) for waiver in rested_on(judged)],
            "configuration": [
                {"role": edge.role, "name": edge.part.label, "digest": {"sha256": edge.part.identity_digest}}
                for edge in version.components.select_related("part__asset")
            ],
        },
    }


def describe_check(verdict: RuleVerdict, rules: Policy) -> dict[str, Any]:
    """Return what a decision says about one rule; a rule of the policy's own is answered by the policy itself."""
    run, ruling = verdict.run, verdict.ruling
    if ruling is not None:
        return {
            "id": verdict.rule,
            "result": verdict.outcome.upper(),
            "run": None,
            "tool": {"name": "condition", "version": rules.digest},
            "inputs": {"sha256": ruling.inputs},
            "at": seal.instant(ruling.at) if ruling.at else None,
        }
    return {
        "id": verdict.rule,
        "result": verdict.outcome.upper(),
        "run": str(run.public_id) if run else None,
        "tool": {"name": run.tool, "version": run.tool_version} if run else None,
        "inputs": {"sha256": run.input_digest} if run else None,
        "at": seal.instant(run.ended_at) if run else None,
    }


def describe_review(review: Review) -> dict[str, Any]:
    """Return what a decision says about one verdict; people appear under their opaque ledger names."""
    return {
        "role": review.role,
        "verdict": review.verdict.upper(),
        "principal": review.reviewer.ledger_name,
        "onBehalfOf": review.on_behalf_of.ledger_name if review.on_behalf_of else None,
        "at": seal.instant(review.given_at),
        "method": review.authenticated_by or "session",
        "review": str(review.public_id),
    }


def describe_condition(obligation: Obligation) -> dict[str, Any]:
    """Return what a decision says about one condition: late, it ends the decision."""
    return {
        "id": str(obligation.public_id),
        "says": obligation.says,
        "dueAt": seal.instant(obligation.due_at),
        "role": obligation.review.role,
    }


def describe_waiver(waiver: Waiver) -> dict[str, Any]:
    """Return what a decision says about one exception it rests on; a waiver of one finding names it."""
    said = {
        "id": str(waiver.public_id),
        "control": waiver.rule,
        "grantedBy": waiver.decided_by.ledger_name if waiver.decided_by else "",
        "expiresAt": seal.instant(waiver.expires_at),
    }
    if waiver.finding is not None:
        said |= {"vulnerability": waiver.finding.vulnerability, "component": waiver.finding.purl}
    return said


def sign_due(limit: int = 200) -> int:
    """Sign decisions that have no signature yet. Returns how many. Safe to run many times at once."""
    signer = User.objects.system("signer")
    waiting = Decision.objects.filter(signature=None).order_by("pk").values_list("pk", flat=True)[:limit]
    signed = 0
    for pk in list(waiting):
        try:
            signed += sign(pk, actor=signer)
        except Refused as error:
            # One that the keyset does not allow stays unsigned, so it is not in force; the others go on.
            logger.error("Decision %s cannot be signed: %s", pk, error)  # noqa: TRY400 -- the sentence says it all
    return signed


def sign(pk: int, *, actor: User) -> bool:
    """Sign one decision's exact payload, and move the version when production was approved. Returns whether it did."""
    with transaction.atomic():
        found = Decision.objects.select_related("version__asset").get(pk=pk)
        version = lifecycle.lock(found.version)
        decision = Decision.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk).first()
        if decision is None or Signature.objects.filter(decision=decision).exists():
            return False
        actor.require("decision.sign", decision)
        keyset.expect_signing(decision.made_at)
        envelope = seal.sign(bytes(decision.payload), PAYLOAD_TYPE)
        with log.record(Event.DECISION_SIGNED, actor=actor, subject=decision) as entry:
            Signature.objects.create(
                decision=decision,
                envelope=envelope,
                keyid=envelope["signatures"][0]["keyid"],
                signed_at=timezone.now(),
            )
            entry.note(keyid=envelope["signatures"][0]["keyid"], envelope=seal.digest(envelope))
            settle_state(version, actor=actor, cause=str(decision.public_id))
    return True


def settle_state(version: Version, *, actor: User, cause: str) -> None:
    """Bring a locked version's state in line with whether a production decision is in force."""
    in_force = standing.of(version, lifecycle.PRODUCTION).decision_id
    if in_force and version.state == State.CANDIDATE:
        lifecycle.move(version, "sign", actor=actor, reason="A production decision is in force.", cause=cause)
    elif not in_force and version.state == State.APPROVED:
        lifecycle.move(version, "lapse", actor=actor, reason="No production decision is in force.", cause=cause)


def revoke(decision: Decision, *, actor: User, reason: str, rule: str = "decision.revoke") -> Decision:
    """Revoke an approval from now on; the revocation is a signed decision of its own.

    A reviewer who takes a verdict back, and the clock, ask under a `rule` of their own.
    """
    lifecycle.expect_reason(reason)
    with log.record(Event.DECISION_REVOKED, actor=actor, subject=decision) as entry:
        version = lifecycle.lock(decision.version)
        decision = (
            Decision.objects.select_for_update(of=("self",)).select_related("submission__policy").get(pk=decision.pk)
        )
        actor.require(rule, decision)
        if decision.verdict != "approved" or Decision.objects.filter(revokes=decision).exists():
            raise Refused("not_revocable", f"{decision} is no approval that is still in force.")
        revocation = Decision(
            public_id=uuid.uuid4(),
            submission=decision.submission,
            version=version,
            environment=decision.environment,
            verdict="revoked",
            reason=reason,
            revokes=decision,
            identity_digest=decision.identity_digest,
            dossier_digest=decision.dossier_digest,
            made_by=actor,
            made_at=timezone.now(),
        )
        content = statement(revocation, (), (), decision.dossier_digest)
        content["predicate"]["supersedes"] = str(decision.public_id)
        revocation.payload = seal.canonical(content)
        revocation.save()
        settle_state(version, actor=actor, cause=str(revocation.public_id))
        entry.note(revocation=str(revocation.public_id), reason=reason)
        announcements.ended(revocation)
        ring(Job.SIGN_DECISIONS)
        ring(Job.ISSUE_REVOCATIONS)
    return revocation


def is_sealed(decision: Decision) -> bool:
    """Return whether the signature of a decision is sealed into the ledger, so that it may be handed out."""
    told = log.entries(kind=Event.DECISION_SIGNED, subject=decision)
    return Leaf.objects.filter(entry__in=told.values("pk")).exists()


def bundle(decision: Decision) -> bytes:
    """Return the signed decision as a Sigstore v0.3 bundle. Raises Refused until it is signed."""
    return json.dumps(seal.bundle(envelope(decision)), indent=2).encode()


def envelope(decision: Decision) -> dict[str, Any]:
    """Return the bare DSSE envelope. Raises Refused until the decision is signed and its entry is sealed."""
    signature = Signature.objects.filter(decision=decision).first()
    if signature is None:
        raise Refused("unsigned", f"{decision} is not signed yet; the signer works within seconds.")
    if not is_sealed(decision):
        raise Refused("unsealed", f"{decision} waits to be sealed into the ledger; that takes seconds.")
    found: dict[str, Any] = signature.envelope
    return found
