"""Waivers: request an exception, have a second person grant or refuse it, revoke it. Never for a critical rule.

A waiver covers a whole rule or one finding, from the instant at which it is granted until it ends, never before.
Whether it covers anything is asked of its row at an instant (`Waiver.is_in_force`); nothing is written when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import independence, lifecycle, notices, policy, requirements
from governance.checks import custom
from governance.models import Finding, Policy, Waiver
from governance.models.waivers import WaiverState
from governance.permissions import on_team, sits_for
from portal.errors import Fault, Invalid, Reason, Refused, show
from portal.jobs import Job, ring
from registry import drafts
from registry.models import User, Version

# The environment under which a waiver postpones a move that the clock would make, and the moves it can postpone.
HYGIENE = "hygiene"
HYGIENE_RULES = ("stale", "vulnerable", "unowned", "sunset")
# The rule whose single findings can be waived.
BY_FINDING = "vulnerabilities"
WARNED = timedelta(days=7)
NOT_TYPED = ("version", "policy", "finding", "extends", "requested_by", "decided_by", "decided_at", "revoked_at")


def request(
    version: Version,
    *,
    actor: User,
    rule: str,
    environment: str,
    reason: str,
    compensating_control: str,
    expires_at: datetime,
    finding: Finding | None = None,
    extends: Waiver | None = None,
) -> Waiver:
    """Ask for an exception from one rule, or one finding, for one version in one environment, until an instant.

    The environment may be `baseline`, or `hygiene` to postpone what the clock would do. To extend a waiver is to ask
    anew, naming the one that is extended; whoever granted one that it continues cannot grant it.
    """
    waiver = Waiver(
        version=version,
        environment=environment,
        rule=rule,
        finding=finding,
        policy=policy.governing(version),
        reason=reason,
        compensating_control=compensating_control,
        requested_by=actor,
        requested_at=timezone.now(),
        expires_at=expires_at,
        extends=extends,
    )
    expect_askable(waiver)
    said = {"rule": rule, "environment": environment, "finding": str(finding.public_id) if finding else ""}
    with log.record(Event.WAIVER_REQUESTED, actor=actor, subject=waiver, **said):
        waiver.version = lifecycle.lock(version)
        actor.require("waiver.request", waiver.version)
        expect_not_critical(waiver)
        waiver.save()
        tell_granters(waiver)
    return waiver


def expect_askable(waiver: Waiver) -> None:
    """Raise Invalid unless a waiver can be asked for as it is worded, whoever asks."""
    expect_same_exception(waiver)
    expect_in_policy(waiver)
    expect_finding(waiver)
    drafts.validated(waiver, exclude=NOT_TYPED)


def expect_not_critical(waiver: Waiver) -> None:
    """Raise Refused for a rule that the policy lets nobody waive."""
    if waiver.policy.is_critical(waiver.rule):
        says = f"The rule {waiver.rule} is critical in {waiver.policy}: nobody can waive it."
        reason = Reason(waiver.rule, says, "Meet the rule.", waiver.version.get_absolute_url())
        raise Refused("rule_is_critical", f"{says} Meet it instead.", reasons=[reason])


def expect_in_policy(waiver: Waiver) -> None:
    """Raise Invalid unless the policy knows the rule and the environment and allows as long a time."""
    rules, last = waiver.policy, waiver.policy.content["waivers"]["max_days"]
    if waiver.environment not in (known := environments_of(rules)):
        raise Invalid(Fault("environment", show(waiver.environment), f"one of {', '.join(known)}"))
    if waiver.rule not in (known := rules_of(rules, waiver.environment)):
        asking = [place for place in environments_of(rules) if waiver.rule in rules_of(rules, place)]
        elsewhere = f"; {waiver.rule} is asked for {', '.join(asking)}" if asking else ""
        seen = f"{show(waiver.rule)} for {waiver.environment}"
        raise Invalid(Fault("rule", seen, f"what is asked there: {', '.join(known) or 'nothing'}{elsewhere}"))
    if not waiver.requested_at < waiver.expires_at <= waiver.requested_at + timedelta(days=last):
        raise Invalid(Fault("expires_at", waiver.expires_at.isoformat(), f"an instant within the next {last} days"))


def environments_of(rules: Policy) -> list[str]:
    """Return where a rule can be waived under a policy: the baseline, its environments, and the clock's moves."""
    return ["baseline", *rules.environments, *([HYGIENE] if rules.content.get("hygiene") else [])]


def rules_of(rules: Policy, environment: str) -> list[str]:
    """Return the rules that may be asked in a place, by its conditions too; whether one is critical is asked apart."""
    if environment == HYGIENE:
        return list(HYGIENE_RULES)
    own = [each["id"] for each in custom.rules_of(rules.content, environment)]
    if environment == "baseline":
        return [*rules.content["baseline"]["rules"], *own]
    return [*requirements.asked_at_most_in(rules, environment), *own]


def expect_same_exception(waiver: Waiver) -> None:
    """Raise Invalid when a waiver is said to extend one of something else."""
    older = waiver.extends
    same = ("version_id", "environment", "rule", "finding_id")
    if older is not None and any(getattr(older, name) != getattr(waiver, name) for name in same):
        raise Invalid(Fault("extends", name(older), f"a waiver of {name(waiver)}"))


def expect_finding(waiver: Waiver) -> None:
    """Raise Invalid unless a finding that is named is one of the version's that are open, under the rule about them."""
    finding = waiver.finding
    if finding is None:
        return
    if waiver.rule != BY_FINDING or waiver.environment == HYGIENE:
        raise Invalid(Fault("finding", show(finding.vulnerability), f"nothing, except for the rule {BY_FINDING}"))
    if finding.version_id != waiver.version.pk or not finding.is_open_at(timezone.now()):
        raise Invalid(Fault("finding", str(finding.public_id), f"an open finding of {waiver.version.label}"))


def name(waiver: Waiver) -> str:
    """Return what a waiver is of in a few words, with its finding if it is of one."""
    return f"{waiver.finding.vulnerability}: {waiver}" if waiver.finding else str(waiver)


def grant(waiver: Waiver, *, actor: User, note: str = "") -> Waiver:
    """Grant an exception, from now until its expiry. The requester cannot grant."""
    with log.record(Event.WAIVER_GRANTED, actor=actor, subject=waiver, rule=waiver.rule, expires=waiver.expires_at):
        waiver = lock(waiver)
        expect_second_person(waiver, actor)
        if timezone.now() >= waiver.expires_at:
            raise Refused("waiver_over", f"The requested time of {waiver} is over. Request it again.")
        expect_not_critical(waiver)
        if waiver.finding is not None and not waiver.finding.is_open_at(timezone.now()):
            raise Refused("finding_closed", f"{waiver.finding} is not open any more: nothing has to be waived.")
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
    tell_requester(waiver, str(state), actor)
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
        tell_requester(waiver, "revoked", actor)
    return waiver


def lock(waiver: Waiver) -> Waiver:
    """Lock the version, then the waiver."""
    lifecycle.lock(waiver.version)
    return (
        Waiver.objects.select_for_update(of=("self",))
        .select_related("version__asset", "policy", "extends", "finding", "requested_by")
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
    if found := involvement(waiver, actor):
        raise Refused(
            "not_independent",
            f"{actor} had a hand in this: somebody else has to answer the request.",
            reasons=[Reason("independence", each, "Somebody else has to answer it.", where(waiver)) for each in found],
        )
    if actor.pk in earlier_granters(waiver):
        says = f"{actor} granted a waiver that this one continues: another person has to answer the request."
        raise Refused("same_granter", says)
    if waiver.state != WaiverState.REQUESTED:
        raise Refused("waiver_decided", f"{name(waiver)} is {waiver.get_state_display().lower()} already.")


def involvement(waiver: Waiver, person: User) -> list[str]:
    """Return each way in which a person had a hand in what a waiver is for, or in asking for it."""
    found = [f"{person} asked for it."] if waiver.requested_by_id == person.pk else []
    if on_team(person, waiver):
        found.append(f"{person} is on the team {waiver.version.asset.team}.")
    if waiver.version.submissions.filter(submitted_by=person).exists():
        found.append(f"{person} submitted {waiver.version.label}.")
    return found + independence.hand_in(waiver.version, person)


def earlier_granters(waiver: Waiver) -> set[int | None]:
    """Return the ids of the people who granted what a waiver continues, which keeps them from granting it.

    It continues all that it extends, one after the other, and whatever covered the same when it was requested or does
    now, whether or not it says so.
    """
    same = Waiver.objects.filter(version=waiver.version_id, environment=waiver.environment, rule=waiver.rule)
    same = same.filter(Q(finding=None) | Q(finding=waiver.finding_id)).exclude(pk=waiver.pk)
    rows, now = {row.pk: row for row in same}, timezone.now()
    found = {pk for pk, row in rows.items() if row.is_in_force(waiver.requested_at) or row.is_in_force(now)}
    link = waiver.extends_id
    while link in rows:
        found.add(link)
        link = rows[link].extends_id
    granted = {WaiverState.GRANTED, WaiverState.REVOKED}
    return {rows[pk].decided_by_id for pk in found if rows[pk].state in granted}


def granters(waiver: Waiver) -> list[User]:
    """Return the people whom the policy lets answer a waiver and who had no hand in it."""
    roles = waiver.policy.content["waivers"]["roles"]
    people = User.objects.filter(kind="person", is_active=True, seats__role__in=roles).distinct().order_by("username")
    earlier = earlier_granters(waiver)
    return [
        person
        for person in people
        if any(sits_for(person, role, waiver) for role in roles)
        and not involvement(waiver, person)
        and person.pk not in earlier
    ]


def tell_granters(waiver: Waiver) -> None:
    """Tell those who may answer that a waiver is requested."""
    notices.tell(
        notices.Kind.WAIVER_REQUESTED,
        cause=f"waiver:{waiver.public_id}:requested",
        to=granters(waiver),
        subject=f"A waiver is requested: {name(waiver)}",
        text=f"{waiver.requested_by} asks for it until {waiver.expires_at:%Y-%m-%d %H:%M} UTC. Unanswered, it is a no.",
        url=where(waiver),
        asset=waiver.version.asset,
    )


def tell_requester(waiver: Waiver, word: str, actor: User) -> None:
    """Tell who asked for a waiver what became of it; what the answer says is read on the waiver's page."""
    notices.tell(
        notices.Kind.WAIVER_ANSWERED,
        cause=f"waiver:{waiver.public_id}:{word}",
        to=[waiver.requested_by],
        subject=f"{word.capitalize()}: the waiver of {name(waiver)}",
        text=f"{actor} {word} it.",
        url=where(waiver),
        asset=waiver.version.asset,
    )


def warn_due() -> int:
    """Tell, once, who asked for a waiver and who owns its asset that it ends within seven days. Returns how many.

    What has been extended beyond its end already is left out.
    """
    now = timezone.now()
    longer = Waiver.objects.filter(
        extends=OuterRef("pk"), state=WaiverState.GRANTED, expires_at__gt=OuterRef("expires_at")
    )
    rows = Waiver.objects.filter(state=WaiverState.GRANTED, expires_at__gt=now, expires_at__lte=now + WARNED)
    rows = rows.exclude(Exists(longer)).select_related("version__asset__owner", "requested_by", "finding")
    return sum(warn(waiver) for waiver in rows.order_by("pk"))


def warn(waiver: Waiver) -> int:
    """Tell that one waiver ends soon, and how many approvals end with it. Returns how many were told now."""
    resting = waiver.reliances.filter(decision__revocation=None).count()
    ends = f" {resting} approval{' ends' if resting == 1 else 's end'} with it." if resting else ""
    asset = waiver.version.asset
    with transaction.atomic():
        return notices.tell(
            notices.Kind.WAIVER_ENDING,
            cause=f"waiver:{waiver.public_id}:ending",
            to=[waiver.requested_by, *([asset.owner] if asset.owner else [])],
            subject=f"Ends soon: the waiver of {name(waiver)}",
            text=f"It ends on {waiver.expires_at:%Y-%m-%d %H:%M} UTC.{ends} Meet the rule, or ask for an extension.",
            url=where(waiver),
            asset=asset,
        )


def where(waiver: Waiver) -> str:
    """Return the address of a waiver's page."""
    return reverse("governance:waiver", args=[waiver.public_id])


def tolerated(at: datetime | None = None) -> list[Waiver]:
    """Return the waivers in force at an instant, those that end first on top."""
    at = at or timezone.now()
    rows = Waiver.objects.filter(decided_at__lte=at, expires_at__gt=at).select_related(
        "version__asset", "requested_by", "decided_by", "policy", "finding"
    )
    return sorted((waiver for waiver in rows if waiver.is_in_force(at)), key=lambda waiver: waiver.expires_at)


def postponing(version: Version, slug: str, at: datetime) -> Waiver | None:
    """Return the waiver that keeps the clock from moving a version for a hygiene rule at an instant, or None."""
    return postponements([version], at).get((version.pk, slug))


def postponements(versions: Iterable[Version], at: datetime) -> dict[tuple[int, str], Waiver]:
    """Return what postpones the clock's moves of many versions, by (version id, rule): each the one that ends last."""
    ids = [version.pk for version in versions]
    rows = Waiver.objects.filter(version__in=ids, environment=HYGIENE, expires_at__gt=at).order_by("expires_at", "pk")
    return {(row.version_id, row.rule): row for row in rows if row.is_in_force(at)}
