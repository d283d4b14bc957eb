"""Move an environment's pointer to a version on the strength of a decision, back again, and let consumers in."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import departures, lifecycle, policy, standing
from governance.models import ConsumerGrant, Decision, Promotion
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import Asset, User, Version

MAX_CONSUMER = 120


def promote(version: Version, environment: str, *, actor: User, reason: str = "") -> Promotion:
    """Point an environment at a version; once more changes nothing.

    Raises Refused unless its standing there is yes, and while it is challenged or orphaned: what is in doubt, or what
    nobody answers for, may serve on where it serves, and goes nowhere new.
    """
    return point(version, environment, actor=actor, reason=reason, back=False)


def roll_back(asset: Asset, environment: str, *, actor: User, reason: str) -> Promotion:
    """Point an environment back at the version it served before, which must still be allowed to serve.

    A challenged version may be gone back to until its time has run out: the newer one may be worse.
    """
    lifecycle.expect_reason(reason)
    now = current(asset, environment)
    if now is None or now.previous is None:
        raise Refused("nothing_before", f"No earlier version of {asset.slug} served in {environment}.")
    return point(now.previous, environment, actor=actor, reason=reason, back=True)


def point(version: Version, environment: str, *, actor: User, reason: str, back: bool) -> Promotion:
    """Write the pointer's move: lock, ask, expect, write, tell."""
    event = Event.VERSION_ROLLED_BACK if back else Event.VERSION_PROMOTED
    lifecycle.expect_text("reason", reason)
    with log.record(event, actor=actor, subject=version, environment=environment) as entry:
        # Rows that only refer to the asset, such as notices, may be written meanwhile: their writers lock the version.
        Asset.objects.select_for_update(no_key=True).get(pk=version.asset_id)
        version = lifecycle.lock(version)
        actor.require("version.promote", version)
        policy.environment(policy.governing(version), environment)
        answer = standing.of(version, environment)
        if not answer.allow:
            raise Refused("may_not_serve", f"{version.label} may not serve in {environment}.", reasons=answer.reasons)
        before = current(version.asset, environment)
        if (
            before is not None
            and before.version_id == version.pk
            and str(before.decision.public_id) == answer.decision_id
        ):
            entry.skip()
            return before
        if not back:
            departures.expect_owned(version.asset)
            expect_unchallenged(version, answer)
        moved = Promotion.objects.create(
            asset=version.asset,
            environment=environment,
            version=version,
            decision=Decision.objects.get(public_id=answer.decision_id),
            previous=None if before is None else before.version if before.version_id != version.pk else before.previous,
            is_rollback=back,
            reason=reason,
            promoted_by=actor,
            promoted_at=timezone.now(),
        )
        entry.note(decision=answer.decision_id, previous=before.version.label if before else "")
    return moved


def expect_unchallenged(version: Version, answer: standing.Standing) -> None:
    """Raise Refused with a reason for each challenge that stands open against a version and that no waiver covers."""
    doubts = [each for each in answer.challenges if each.tolerated_until is None]
    if not doubts:
        return
    reasons = [
        Reason("challenged", f"{each.says}, to be answered by {each.due:%Y-%m-%d %H:%M} UTC.", each.fix, each.where)
        for each in doubts
    ]
    raise Refused("challenged", f"{version.label} is challenged and cannot be promoted.", reasons=reasons)


def current(asset: Asset, environment: str, *, at: datetime | None = None) -> Promotion | None:
    """Return the newest move of an environment's pointer for an asset, as of an instant."""
    rows = Promotion.objects.filter(asset=asset, environment=environment, promoted_at__lte=at or timezone.now())
    return rows.select_related("version__asset", "previous__asset", "decision").first()


def ask_gate(digest: str, environment: str, consumer: str, *, actor: User) -> standing.Standing:
    """Answer a deployer: may this identity digest serve here for this consumer? The first yes makes it a consumer."""
    actor.require("gate.ask")
    if not consumer.strip() or len(consumer) > MAX_CONSUMER or not consumer.isprintable():
        raise Invalid(
            Fault("consumer", show(consumer), f"the consuming service's name, at most {MAX_CONSUMER} characters")
        )
    answer = standing.of_digest(digest.removeprefix("sha256:"), environment, consumer=consumer)
    if answer.allow and answer.version is not None and not answer.is_known_consumer:
        grant_consumer(answer.version, environment, consumer, actor=actor)
    return answer


def grant_consumer(version: Version, environment: str, consumer: str, *, actor: User) -> None:
    """Write down that a consumer was let in, once."""
    with transaction.atomic():
        lifecycle.lock(version)
        known = ConsumerGrant.objects.filter(version=version, environment=environment, consumer=consumer)
        if known.exists():
            return
        told = {"consumer": consumer, "environment": environment}
        with log.record(Event.CONSUMER_GRANTED, actor=actor, subject=version, **told):
            ConsumerGrant.objects.create(
                version=version, environment=environment, consumer=consumer, granted_at=timezone.now()
            )
