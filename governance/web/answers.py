"""How the judgements look as JSON: one class for each answer, one function that makes it."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse
from django.utils import timezone
from ninja import Schema

from audit import seal
from governance import policy, promotions, requirements, reviews, standing, submissions
from governance.checks import verdicts
from governance.doubts import OpenChallenge
from governance.models import Decision, Policy, Promotion, Submission, Violation
from portal.errors import Reason, Refused
from registry import completeness
from registry.models import Version
from registry.web.doors import ReasonAnswer, absolute, prefixed, reasons_of


class CheckAnswer(Schema):
    """How one rule stands: `environment` is the one that asks, or `baseline`; `outcome` green or not."""

    rule: str
    title: str
    environment: str
    outcome: str
    green: bool
    critical: bool
    says: str
    fix: str


class DecisionLinks(Schema):
    """A decision by its id, with the addresses of its signed forms."""

    id: str
    dsse: str
    sigstore: str


class StandingAnswer(Schema):
    """Whether a version may serve in one environment now, and whether the environment points at it."""

    allow: bool
    says: str
    reasons: list[ReasonAnswer]
    decision: DecisionLinks | None
    expires_at: str | None
    promoted: bool


class SubmissionLine(Schema):
    """One submission in a list."""

    id: str
    environment: str
    state: str
    submitted_at: str
    due_at: str


class VersionAnswer(Schema):
    """Where a version stands. `missing` is what nomination would still ask for, empty once it is nominated."""

    version: str
    kind: str
    state: str
    identity_digest: str | None
    nominated_at: str | None
    url: str
    missing: list[str]
    policy: str | None
    checks: list[CheckAnswer]
    submissions: list[SubmissionLine]
    standing: dict[str, StandingAnswer]


class RoleAnswer(Schema):
    """One role that a submission needs, and who approved the present dossier for it."""

    role: str
    approved: bool
    by: str | None
    at: str | None


class SubmissionAnswer(Schema):
    """Where a submission stands: roles got and needed, and every rule that stands in the way."""

    id: str
    version: str
    environment: str
    state: str
    policy: str
    submitted_at: str
    due_at: str
    dossier_digest: str
    roles: list[RoleAnswer]
    missing_roles: list[str]
    blocking: list[ReasonAnswer]
    closed_because: str
    decision: DecisionLinks | None
    url: str


class ChallengeAnswer(Schema):
    """What puts a version in doubt, in which version that is, and until when to answer it.

    `cause` is finding, base_retired or relicensed; `vulnerability` and `severity` are empty unless it is a finding.
    """

    cause: str
    says: str
    fix: str
    vulnerability: str
    severity: str
    version: str
    since: str
    due: str


class GateAnswer(Schema):
    """The gate's answer: allow, and for a no the reasons and what would make it a yes.

    `challenges` stand open also while the answer is still yes; `expires_at` is never later than the first of them.
    """

    allow: bool
    version: str | None
    state: str
    reasons: list[ReasonAnswer]
    decision: DecisionLinks | None
    expires_at: str | None
    challenges: list[ChallengeAnswer]


class PromotionAnswer(Schema):
    """A move of an environment's pointer."""

    version: str
    environment: str
    previous: str | None
    decision: DecisionLinks | None
    promoted_at: str
    reason: str


def decision_links(decision_id: str) -> DecisionLinks | None:
    """Return a decision's addresses, or None where there is no decision."""
    if not decision_id:
        return None
    return DecisionLinks(
        id=decision_id,
        dsse=absolute(reverse("api-1:decision-dsse", args=[decision_id])),
        sigstore=absolute(reverse("api-1:decision-sigstore", args=[decision_id])),
    )


def check(verdict: verdicts.RuleVerdict, environment: str) -> CheckAnswer:
    """Return how one rule stands."""
    return CheckAnswer(
        rule=verdict.rule,
        title=verdict.title,
        environment=environment,
        outcome=verdict.outcome,
        green=verdict.is_green,
        critical=verdict.critical,
        says=verdict.says,
        fix=verdict.fix,
    )


def checks(version: Version, rules: Policy) -> list[CheckAnswer]:
    """Return how every rule of a policy stands, the baseline's first, each environment's own after it."""
    now = timezone.now()
    asked = requirements.rules_by_place(version, rules, at=now)
    return [
        check(verdict, name)
        for name, slugs in asked.items()
        for verdict in verdicts.judge(version, slugs, rules, name, at=now)
    ]


def standing_in(version: Version, environment: str) -> StandingAnswer:
    """Return whether a version may serve in an environment now."""
    answer = standing.of(version, environment)
    pointer = promotions.current(version.asset, environment)
    return StandingAnswer(
        allow=answer.allow,
        says=answer.says,
        reasons=reasons_of(answer.reasons),
        decision=decision_links(answer.decision_id),
        expires_at=seal.instant(answer.expires_at) if answer.expires_at else None,
        promoted=pointer is not None and pointer.version_id == version.pk,
    )


def governing(version: Version) -> Policy | None:
    """Return the policy that governs a version, or None where none is published for its kind."""
    try:
        return policy.governing(version)
    except Refused:
        return None


def version(found: Version) -> VersionAnswer:
    """Return where a version stands: state, checks, submissions, and its standing in every environment."""
    rules = governing(found)
    return VersionAnswer(
        version=found.label,
        kind=found.asset.kind,
        state=found.state,
        identity_digest=prefixed(found.identity_digest),
        nominated_at=seal.instant(found.frozen_at) if found.frozen_at else None,
        url=absolute(found.get_absolute_url()),
        missing=[] if found.is_frozen else [str(fault) for fault in completeness.measure(found).faults],
        policy=str(rules) if rules else None,
        checks=checks(found, rules) if rules else [],
        submissions=[submission_line(row) for row in found.submissions.order_by("-pk")[:50]],
        standing={name: standing_in(found, name) for name in (rules.environments if rules else ())},
    )


def submission_line(row: Submission) -> SubmissionLine:
    """Return one submission in a list."""
    return SubmissionLine(
        id=str(row.public_id),
        environment=row.environment,
        state=row.state,
        submitted_at=seal.instant(row.submitted_at),
        due_at=seal.instant(row.ends_at),
    )


def submission(found: Submission) -> SubmissionAnswer:
    """Return where a submission stands."""
    roles = [role(each) for each in reviews.progress(found, answered_on(found))]
    blocking = verdicts.red(submissions.standing_verdicts(found)) if found.is_open else []
    decided = found.decisions.exclude(verdict="revoked").first()
    return SubmissionAnswer(
        **submission_line(found).dict(),
        version=found.version.label,
        policy=str(found.policy),
        dossier_digest=submissions.current_digest(found) if found.is_open else found.dossier_digest,
        roles=roles,
        missing_roles=[each.role for each in roles if not each.approved],
        blocking=reasons_of(verdict.as_reason(found.get_absolute_url()) for verdict in blocking),
        closed_because=found.closed_because,
        decision=decision_links(str(decided.public_id)) if decided else None,
        url=absolute(found.get_absolute_url()),
    )


def answered_on(found: Submission) -> str | None:
    """Return the dossier digest a closed submission was last answered on; an open one is asked about the present."""
    last = None if found.is_open else found.reviews.last()
    return last.dossier_digest if last else None


def role(progress: reviews.RoleProgress) -> RoleAnswer:
    """Return one role and who approved for it."""
    review = progress.review
    return RoleAnswer(
        role=progress.role,
        approved=review is not None,
        by=reviews.voice(review) if review else None,
        at=seal.instant(review.given_at) if review else None,
    )


def gate(answer: standing.Standing) -> GateAnswer:
    """Return the gate's answer."""
    return GateAnswer(
        allow=answer.allow,
        version=answer.version.label if answer.version else None,
        state=answer.state,
        reasons=reasons_of(answer.reasons),
        decision=decision_links(answer.decision_id),
        expires_at=seal.instant(answer.expires_at) if answer.expires_at else None,
        challenges=[challenge(each) for each in answer.challenges],
    )


def challenge(doubt: OpenChallenge) -> ChallengeAnswer:
    """Return one open challenge."""
    return ChallengeAnswer(
        cause=doubt.cause,
        says=f"{doubt.says}.",
        fix=doubt.fix,
        vulnerability=doubt.vulnerability,
        severity=doubt.severity,
        version=doubt.root,
        since=seal.instant(doubt.since),
        due=seal.instant(doubt.due),
    )


def promotion(moved: Promotion) -> PromotionAnswer:
    """Return a move of an environment's pointer."""
    return PromotionAnswer(
        version=moved.version.label,
        environment=moved.environment,
        previous=moved.previous.label if moved.previous else None,
        decision=decision_links(str(moved.decision.public_id)),
        promoted_at=seal.instant(moved.promoted_at),
        reason=moved.reason,
    )


def file_name(decision: Decision, form: str) -> str:
    """Return the name under which a decision's signed form is saved."""
    label = decision.version.label.replace("@", "-").replace("+", "-")
    return f"{label}-{decision.environment}-{decision.verdict}.{form}.json"


class ViolationAnswer(Schema):
    """What served without being allowed to, how often, and why not. `version` is empty where none is registered."""

    id: str
    kind: str
    state: str
    version: str
    digest: str
    environment: str
    deployment: str
    first_window: str
    last_window: str
    windows: int
    requests: int
    reason: ReasonAnswer
    url: str


class ViolationsAnswer(Schema):
    """Violations, the latest on top, at most 200."""

    violations: list[ViolationAnswer]


def violations(rows: Iterable[Violation]) -> ViolationsAnswer:
    """Return violations."""
    return ViolationsAnswer(violations=[violation(row) for row in rows])


def violation(row: Violation) -> ViolationAnswer:
    """Return one violation."""
    where = row.version.get_absolute_url() if row.version is not None else ""
    [reason] = reasons_of([Reason(row.rule, row.says, row.fix, where)])
    return ViolationAnswer(
        id=str(row.public_id),
        kind=row.kind,
        state=row.state,
        version=row.version.label if row.version is not None else "",
        digest=prefixed(row.digest) or "",
        environment=row.environment,
        deployment=row.deployment,
        first_window=seal.instant(row.first_window),
        last_window=seal.instant(row.last_window),
        windows=row.windows,
        requests=row.requests,
        reason=reason,
        url=absolute(row.get_absolute_url()),
    )
