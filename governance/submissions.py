"""Nominate a draft, submit a version for an environment, withdraw, and let the unanswered lapse to no."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import addressees, announcements, lifecycle, policy, requirements
from governance.checks import runner, verdicts
from governance.models import Policy, Submission
from governance.models.submissions import SubmissionState
from governance.requirements import Requirements
from portal.errors import Reason, Refused
from registry import completeness, dossier, drafts
from registry.models import State, User, Version


def nominate(version: Version, *, actor: User) -> Version:
    """Freeze a complete draft's content and ask the baseline checks; passing them makes it a candidate.

    Nominating again asks the baseline checks again that have no fresh answer. Raises Refused naming what is missing.
    """
    with log.record(Event.VERSION_NOMINATED, actor=actor, subject=version) as entry:
        version = lifecycle.lock(version)
        actor.require("version.nominate", version)
        lifecycle.expect(version, "nominate")
        rules = policy.governing(version)
        if version.is_frozen:
            entry.skip()
        else:
            expect_complete(version)
            drafts.freeze(version)
            entry.note(identity=version.identity_digest, policy=rules.digest)
        runner.request_stale(version, rules, actor=actor, errors_too=True)
    return version


def expect_complete(version: Version) -> None:
    """Raise Refused with one reason for each required part of the record that is missing or wrong."""
    found = completeness.measure(version)
    if not found.is_complete:
        raise Refused(
            "incomplete",
            f"{version.label} cannot be nominated yet: {len(found.faults)} required parts are missing or wrong.",
            reasons=[
                Reason("metadata", str(fault), "Fill it in on the version's form.", version.get_absolute_url())
                for fault in found.faults
            ],
        )


def admit_due() -> int:
    """Make candidates of nominated drafts whose baseline rules are all green. Returns how many."""
    runner_account = User.objects.system("runner")
    admitted = 0
    for version in Version.objects.filter(state=State.DRAFT).exclude(frozen_at=None).filter(check_requests=None):
        with transaction.atomic():
            locked = lifecycle.lock(version)
            if locked.state == State.DRAFT and baseline_is_green(locked):
                lifecycle.move(locked, "nominate", actor=runner_account, reason="Every baseline rule is green.")
                admitted += 1
    return admitted


def baseline_is_green(version: Version) -> bool:
    """Return whether every baseline rule of the governing policy passes or is waived now."""
    rules = policy.governing(version)
    found = verdicts.judge(version, rules.content["baseline"]["rules"], rules, "baseline", at=timezone.now())
    return not verdicts.red(found)


def submit(version: Version, environment: str, *, actor: User, note: str = "") -> Submission:
    """Ask for an environment under the policy that governs today. A newer submission supersedes the asset's older one.

    Raises Refused when the version is no candidate, or when a submission of it is open already.
    """
    rules = policy.governing(version)
    wanted = policy.environment(rules, environment)
    now = timezone.now()
    submission = Submission(
        version=version,
        environment=environment,
        policy=rules,
        note=note,
        submitted_by=actor,
        submitted_at=now,
        due_at=now + timedelta(days=wanted["review_within_days"]),
    )
    drafts.validated(submission, exclude=("version", "policy", "submitted_by", "dossier_digest", "closed_at"))
    with log.record(Event.SUBMISSION_OPENED, actor=actor, subject=submission, environment=environment) as entry:
        submission.version = version = lifecycle.lock(version)
        actor.require("submission.open", version)
        expect_submittable(version, environment)
        policy.pin(rules, version)
        supersede(submission, actor=actor)
        submission.dossier_digest = current_digest(submission)
        submission.save()
        runner.request_stale(version, rules, actor=actor, errors_too=True)
        entry.note(policy=rules.digest, dossier=submission.dossier_digest)
        wanted_roles = required_roles(submission)
        announcements.wanted(submission, wanted_roles, addressees.reviewers(submission, wanted_roles))
    return submission


def required_roles(submission: Submission) -> list[str]:
    """Return the roles whose approval the submission needs, in the policy's order."""
    return list(needs_of(submission).approvals)


def needs_of(submission: Submission) -> Requirements:
    """Return what the policy asks of a submission: now, or when it was closed."""
    known: Requirements | None = getattr(submission, "known_needs", None)
    at = submission.closed_at or timezone.now()
    return known or requirements.of(submission.version, submission.policy, submission.environment, at=at)


def learn_needs(waiting: Iterable[Submission], *, at: datetime) -> None:
    """Put what is asked of open submissions on them, in a fixed number of queries, for lists; a verb never does."""
    rows = list(waiting)
    asked = requirements.of_many([(row.version, row.policy, row.environment) for row in rows], at=at)
    for row in rows:
        known: Any = row
        known.known_needs = asked[row.version_id, row.policy_id, row.environment]


def expect_submittable(version: Version, environment: str) -> None:
    """Raise Refused unless a version is a candidate or approved and asks for the environment for the first time."""
    expect_candidate(version)
    known = Submission.objects.filter(version=version, environment=environment, state=SubmissionState.OPEN).first()
    if known is not None:
        raise Refused(
            "submission_open",
            f"{version.label} is submitted for {environment} already.",
            submission=str(known.public_id),
        )


def expect_candidate(version: Version) -> None:
    """Raise Refused unless a version is a candidate or approved: no other may be asked for or approved."""
    if version.state not in {State.CANDIDATE, State.APPROVED}:
        fix = "It becomes a candidate when every baseline check is green."
        raise Refused(
            "not_a_candidate",
            f"{version.label} is {version.state}; only a candidate or an approved version can be submitted.",
            reasons=[Reason("state", f"Its state is {version.state}.", fix, version.get_absolute_url())],
        )


def supersede(newer: Submission, *, actor: User) -> None:
    """Close the open submissions of other versions of the same asset for the same environment."""
    older = Submission.objects.select_for_update(of=("self",)).filter(
        version__asset=newer.version.asset, environment=newer.environment, state=SubmissionState.OPEN
    )
    for submission in older.select_related("version__asset").order_by("pk"):
        close(submission, SubmissionState.SUPERSEDED, actor=actor, because=f"{newer.version.label} was submitted.")


def close(submission: Submission, state: str, *, actor: User, because: str = "") -> None:
    """Close a locked, open submission, inside the caller's transaction."""
    with log.record(Event.SUBMISSION_CLOSED, actor=actor, subject=submission, outcome=str(state)):
        submission.state = state
        submission.closed_at = timezone.now()
        submission.closed_because = because
        submission.save(update_fields=["state", "closed_at", "closed_because"])
        if state != SubmissionState.WITHDRAWN:
            announcements.closed(submission)


def retire(version: Version, *, actor: User, reason: str, cause: str = "", rule: str = "version.retire") -> Version:
    """End a version for good, and take back whatever it still asks for: nobody can approve it any more."""
    with transaction.atomic():
        version = lifecycle.retire(version, actor=actor, reason=reason, cause=cause, rule=rule)
        asked = Submission.objects.select_for_update(of=("self",)).filter(version=version, state=SubmissionState.OPEN)
        for submission in asked.select_related("version__asset").order_by("pk"):
            because = f"{version.label} was retired: {reason}"[: lifecycle.MAX_TEXT]
            close(submission, SubmissionState.WITHDRAWN, actor=actor, because=because)
    return version


def withdraw(submission: Submission, *, actor: User, reason: str = "") -> Submission:
    """Take an open submission back."""
    lifecycle.expect_text("reason", reason)
    with transaction.atomic():
        submission = lock(submission)
        actor.require("submission.withdraw", submission)
        expect_open(submission)
        close(submission, SubmissionState.WITHDRAWN, actor=actor, because=reason)
    return submission


def lock(submission: Submission) -> Submission:
    """Lock the version, then the submission: always in this order, so that two verbs cannot wait for each other."""
    lifecycle.lock(submission.version)
    return (
        Submission.objects.select_for_update(of=("self",))
        .select_related("version__asset__team", "policy", "submitted_by")
        .get(pk=submission.pk)
    )


def expect_open(submission: Submission) -> None:
    """Raise Refused unless the submission waits for an answer and is not overdue; overdue means no."""
    if not submission.is_open:
        raise Refused(
            "submission_closed", f"The submission of {submission} is {submission.get_state_display().lower()}."
        )
    if timezone.now() >= submission.due_at:
        raise Refused(
            "submission_lapsed",
            f"The submission of {submission} was due on {submission.due_at:%Y-%m-%d}: unanswered is no. Submit again.",
        )
    if submission.policy_until is not None and timezone.now() >= submission.policy_until:
        raise Refused(
            "policy_ended",
            f"{submission} could be decided under {submission.policy} until {submission.policy_until:%Y-%m-%d %H:%M}"
            " UTC, because a newer policy was published. Submit it again under that one.",
        )


def current_picture(submission: Submission) -> dict[str, Any]:
    """Return the dossier's material sections as they are now."""
    return material_of(submission, dossier.picture(submission.version))


def material_of(submission: Submission, drawn: dict[str, Any]) -> dict[str, Any]:
    """Return the sections of a picture that the submission's policy calls material."""
    return {name: drawn[name] for name in submission.policy.content["material"]}


def whole_picture(submission: Submission) -> dict[str, Any]:
    """Return all that a reviewer sees now: the whole dossier, and the environment and policy it is judged for."""
    rules = submission.policy
    asked = {"environment": submission.environment, "policy": rules.digest, "name": str(rules)}
    return {**dossier.picture(submission.version), "asked": asked}


def current_digest(submission: Submission) -> str:
    """Return the dossier digest as it is now: what a review given now would bind to."""
    return digest_of(submission, current_picture(submission))


def digest_of(submission: Submission, material: dict[str, Any]) -> str:
    """Return the dossier digest of material sections, under the environment and policy they are judged for."""
    asked = {"environment": submission.environment, "policy": submission.policy.digest}
    return dossier.digest({**material, "asked": asked}, [*material, "asked"])


def standing_verdicts(submission: Submission) -> list[verdicts.RuleVerdict]:
    """Return how the version stands now against the rules the submission was opened under."""
    return verdicts.for_environment(submission.version, submission.policy, submission.environment, at=timezone.now())


def answerable(at: datetime) -> Q:
    """Return the condition that an open submission can still be answered at an instant, by its time alone."""
    return Q(due_at__gt=at) & (Q(policy_until=None) | Q(policy_until__gt=at))


def why_lapsed(submission: Submission) -> str:
    """Return why a submission whose time is over lapses."""
    if submission.ends_at == submission.due_at:
        return "Nobody answered in time."
    return f"Nobody answered while {submission.policy} could still be decided under."


def keep(submission: Submission, until: datetime, *, actor: User) -> None:
    """Let a locked, open submission be decided under its older policy until an instant, inside the caller's record."""
    with log.record(Event.SUBMISSION_KEPT, actor=actor, subject=submission, until=until):
        submission.policy_until = until
        submission.save(update_fields=["policy_until"])


def repin(submission: Submission, rules: Policy, *, actor: User) -> None:
    """Judge a locked, open submission under another policy from now on, inside the caller's record.

    Verdicts given so far stay readable and are stale: the policy is part of the dossier that they are bound to.
    """
    with log.record(Event.SUBMISSION_MOVED, actor=actor, subject=submission, policy=str(rules)) as entry:
        submission.policy, submission.policy_until = rules, None
        submission.dossier_digest = current_digest(submission)
        submission.save(update_fields=["policy", "policy_until", "dossier_digest"])
        runner.request_stale(submission.version, rules, actor=actor, errors_too=True)
        entry.note(digest=rules.digest, dossier=submission.dossier_digest)


def lapse_due() -> int:
    """Close submissions that nobody answered in time. Returns how many."""
    sweeps = User.objects.system("sweeps")
    lapsed = 0
    for found in Submission.objects.filter(state=SubmissionState.OPEN).exclude(answerable(timezone.now())):
        with transaction.atomic():
            submission = lock(found)
            sweeps.require("sweep", submission)
            if submission.is_open and submission.ends_at <= timezone.now():
                close(submission, SubmissionState.LAPSED, actor=sweeps, because=why_lapsed(submission))
                lapsed += 1
    return lapsed


def refresh_due() -> int:
    """Ask again whatever has gone stale on open submissions. Returns how many checks were queued."""
    sweeps = User.objects.system("sweeps")
    opened = Submission.objects.filter(state=SubmissionState.OPEN).select_related(
        "version__asset__owner", "version__asset__backup_owner", "policy"
    )
    return sum(runner.request_stale(each.version, each.policy, actor=sweeps) for each in opened)
