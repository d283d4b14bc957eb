"""Waivers: request an exception, have a second person grant or refuse it, revoke it. Never for a critical rule."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import lifecycle, policy, reviews
from governance.checks import runner
from governance.models import Waiver
from governance.models.waivers import WaiverState
from governance.permissions import on_team, sits_for
from portal.errors import Fault, Invalid, Refused, show
from portal.jobs import Job, ring
from registry import drafts
from registry.models import User, Version

NOT_TYPED = ("version", "policy", "extends", "requested_by", "decided_by", "decided_at", "revoked_at")


def request(
    version: Version,
    *,
    actor: User,
    rule: str,
    environment: str,
    reason: str,
    compensating_control: str,
    expires_at: datetime,
    extends: Waiver | None = None,
) -> Waiver:
    """Ask for an exception from one rule for one version in one environment (or `baseline`), until an instant.

    To extend one is to ask anew, naming the one that is extended; whoever granted that one cannot grant this one.
    """
    rules = policy.governing(version)
    waiver = Waiver(
        version=version,
        environment=environment,
        rule=rule,
        policy=rules,
        reason=reason,
        compensating_control=compensating_control,
        requested_by=actor,
        requested_at=timezone.now(),
        expires_at=expires_at,
        extends=extends,
    )
    expect_same_exception(waiver)
    expect_in_policy(waiver)
    drafts.validated(waiver, exclude=NOT_TYPED)
    with log.record(Event.WAIVER_REQUESTED, actor=actor, subject=waiver, rule=rule, environment=environment):
        waiver.version = lifecycle.lock(version)
        actor.require("waiver.request", waiver.version)
        if rules.is_critical(rule):
            raise Refused(
                "rule_is_critical", f"The rule {rule} is critical in {rules}: nobody can waive it. Meet it instead."
            )
        waiver.save()
    return waiver


def expect_in_policy(waiver: Waiver) -> None:
    """Raise Invalid unless the policy knows the rule and the environment and allows as long a time."""
    rules, last = waiver.policy, waiver.policy.content["waivers"]["max_days"]
    if waiver.rule not in runner.slugs_of(rules):
        raise Invalid(Fault("rule", show(waiver.rule), f"one of {', '.join(runner.slugs_of(rules))}"))
    if waiver.environment not in (known := ("baseline", *rules.environments)):
        raise Invalid(Fault("environment", show(waiver.environment), f"one of {', '.join(known)}"))
    if not waiver.requested_at < waiver.expires_at <= waiver.requested_at + timedelta(days=last):
        raise Invalid(Fault("expires_at", waiver.expires_at.isoformat(), f"an instant within the next {last} days"))


def expect_same_exception(waiver: Waiver) -> None:
    """Raise Invalid when a waiver is said to extend one of something else."""
    older = waiver.extends
    same = ("version_id", "environment", "rule")
    if older is not None and any(getattr(older, name) != getattr(waiver, name) for name in same):
        raise Invalid(Fault("extends", str(older), f"a waiver of {waiver}"))


def grant(waiver: Waiver, *, actor: User, note: str = "") -> Waiver:
    """Grant an exception, from now until its expiry. The requester cannot grant."""
    with log.record(Event.WAIVER_GRANTED, actor=actor, subject=waiver, rule=waiver.rule, expires=waiver.expires_at):
        waiver = lock(waiver)
        expect_second_person(waiver, actor)
        if timezone.now() >= waiver.expires_at:
            raise Refused("waiver_over", f"The requested time of {waiver} is over. Request it again.")
        if waiver.policy.is_critical(waiver.rule):
            raise Refused("rule_is_critical", f"The rule {waiver.rule} is critical: nobody can waive it.")
        decide(waiver, WaiverState.GRANTED, actor, note)
    return waiver


def refuse(waiver: Waiver, *, actor: User, note: str) -> Waiver:
    """Refuse an exception."""
    with log.record(Event.WAIVER_REFUSED, actor=actor, subject=waiver, rule=waiver.rule):
        waiver = lock(waiver)
        expect_second_person(waiver, actor)
        lifecycle.expect_reason(note)
        decide(waiver, WaiverState.REFUSED, actor, note)
    return waiver


def decide(waiver: Waiver, state: WaiverState, actor: User, note: str) -> None:
    """Write the second person's answer."""
    lifecycle.expect_text("note", note)
    waiver.state, waiver.decided_by, waiver.decided_at, waiver.decision_note = state, actor, timezone.now(), note
    waiver.save(update_fields=["state", "decided_by", "decided_at", "decision_note"])
    ring(Job.RUN_CHECKS)


def revoke(waiver: Waiver, *, actor: User, reason: str) -> Waiver:
    """End a granted exception now."""
    with log.record(Event.WAIVER_REVOKED, actor=actor, subject=waiver, rule=waiver.rule, reason=reason):
        waiver = lock(waiver)
        expect_granter(waiver, actor)
        if not waiver.is_in_force(timezone.now()):
            raise Refused("waiver_over", f"{waiver} is not in force.")
        lifecycle.expect_reason(reason)
        waiver.state, waiver.revoked_at = WaiverState.REVOKED, timezone.now()
        waiver.save(update_fields=["state", "revoked_at"])
    return waiver


def lock(waiver: Waiver) -> Waiver:
    """Lock the version, then the waiver."""
    lifecycle.lock(waiver.version)
    return (
        Waiver.objects.select_for_update(of=("self",))
        .select_related("version__asset", "policy", "extends")
        .get(pk=waiver.pk)
    )


def expect_granter(waiver: Waiver, actor: User) -> None:
    """Raise unless the actor sits in a role that the policy lets grant waivers."""
    actor.require("waiver.decide", waiver)
    roles = waiver.policy.content["waivers"]["roles"]
    if not any(sits_for(actor, role, waiver) for role in roles):
        raise PermissionDenied(f"{actor.username} does not decide on waivers; {' or '.join(roles)} does.")


def expect_second_person(waiver: Waiver, actor: User) -> None:
    """Raise unless an undecided waiver is being answered by somebody who had no hand in it."""
    expect_granter(waiver, actor)
    is_theirs = on_team(actor, waiver) or waiver.version.submissions.filter(submitted_by=actor).exists()
    if waiver.requested_by_id == actor.pk or is_theirs or reviews.hand_in(waiver.version, actor):
        raise Refused("not_independent", f"{actor} had a hand in this: somebody else has to answer the request.")
    if waiver.extends is not None and waiver.extends.decided_by_id == actor.pk:
        says = f"{actor} granted the waiver that this one extends: another person has to answer the request."
        raise Refused("same_granter", says)
    if waiver.state != WaiverState.REQUESTED:
        raise Refused("waiver_decided", f"{waiver} is {waiver.get_state_display().lower()} already.")


def tolerated(at: datetime | None = None) -> list[Waiver]:
    """Return the waivers in force at an instant, those that end first on top."""
    at = at or timezone.now()
    rows = Waiver.objects.filter(decided_at__lte=at, expires_at__gt=at).select_related(
        "version__asset", "requested_by", "decided_by", "policy"
    )
    return sorted((waiver for waiver in rows if waiver.is_in_force(at)), key=lambda waiver: waiver.expires_at)
