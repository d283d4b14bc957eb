"""Challenges: what something new does to versions in force, and to everything in force that is made from them.

A finding challenges a decision that did not know of it: it began to count, or grew worse, after the decision was made.
So does a base that is retired or licensed otherwise. What somebody knew when they approved is the policy's matter.
Whether a challenged version may still serve is computed from these rows in `standing`; nothing is ever written when a
due date passes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import (
    Case,
    CharField,
    DateTimeField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Least
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import advisories, counting, doubts, dues, notices, requirements
from governance.models import Challenge, ChallengeEnd, CheckRun, Decision, Finding, Policy, Waiver
from governance.models.challenges import Cause
from governance.models.findings import Triage
from governance.models.waivers import WaiverState
from registry import composition
from registry.models import Relicensing, State, User, Version

RULE = "vulnerabilities"
# The rule that asks after what each cause changes: it says whether a policy minds, and a waiver of it covers.
RULES: Mapping[Cause, str] = {Cause.FINDING: RULE, Cause.BASE_RETIRED: "base-model", Cause.RELICENSED: "licence"}
GRACE_DAYS = 14


@dataclass(frozen=True)
class Wanted:
    """A challenge that has to be written: of which version, by what of which root, until when, under which policy."""

    version: Version
    root: Version
    cause: Cause
    due_at: datetime
    policy: Policy
    finding: Finding | None = None


def unended(at: datetime) -> QuerySet[Challenge]:
    """Return the challenges whose end had not been written at an instant, the one that is due first on top."""
    return Challenge.objects.filter(opened_at__lte=at).filter(Q(end=None) | Q(end__ended_at__gt=at))


def opened(at: datetime) -> QuerySet[Challenge]:
    """Return the challenges that stand open at an instant, the one that is due first on top.

    One by another licence is over as soon as the licence check has passed that read it, whether or not anybody has
    written that down.
    """
    return unended(at).exclude(Q(cause=Cause.RELICENSED) & Exists(licence_passed(at)))


def licence_passed(at: datetime) -> QuerySet[Any]:
    """Return the answers of the licence check that let through what had become of the challenge's root, by then."""
    rows = licence_answers().filter(outcome__in=("passed", "not_applicable"), ended_at__lte=at)
    return rows.filter(read_until__gte=OuterRef("opened_at"))


def licence_answers() -> QuerySet[Any]:
    """Return the answers of the licence check to the challenge outside, with until when each had read other licences.

    That instant and no other tells whether an answer knows: it may have begun before the licence was recorded.
    """
    rows = CheckRun.objects.filter(
        version=OuterRef("version"), policy=OuterRef("policy"), check_slug=RULES[Cause.RELICENSED]
    )
    return rows.annotate(read_until=Cast(KeyTextTransform("relicensed_until", "facts"), DateTimeField()))


def opened_in(environment: str, at: datetime) -> QuerySet[Challenge]:
    """Return the challenges that count in one environment at an instant.

    What became of a base counts where the policy asks after it. `met` is until when a decision is in force that was
    made since and so has met the rule as it is now; until then the challenge does not count there.
    """
    later = Decision.objects.filter(
        Q(revocation=None) | Q(revocation__made_at__gt=at),
        version=OuterRef("version"),
        environment=environment,
        verdict="approved",
        made_at__gt=OuterRef("opened_at"),
        signature__signed_at__lte=at,
        expires_at__gt=at,
    ).exclude(Q(reliances__waiver__revoked_at__lte=at) | Exists(dues.late(at)))
    until = later.annotate(until=Least("expires_at", Subquery(dues.still_open(at).values("due_at")[:1])))
    met = Case(
        When(cause=Cause.FINDING, then=None),
        default=Subquery(until.order_by("-until").values("until")[:1]),
        output_field=DateTimeField(),
    )
    here = KeyTransform(environment, KeyTransform("environments", "policy__content"))
    rows = opened(at).annotate(here=here, always=KeyTransform("baseline", "policy__content"))
    asking = Q()
    for cause, rule in RULES.items():
        plainly = {"rules": [rule]}
        asks = Q(always__contains=plainly) | Q(here__contains=plainly) | Q(here__contains={"when": [plainly]})
        asking |= Q(cause=cause) & asks
    return rows.filter(Q(cause=Cause.FINDING) | asking).annotate(met=met)


def worded(rows: QuerySet[Challenge]) -> QuerySet[Challenge]:
    """Annotate challenges with the licence that their root was given, for `doubts`."""
    told = Relicensing.objects.filter(version=OuterRef("root"), recorded_at=OuterRef("opened_at"))
    return rows.annotate(licence=Subquery(told.values("licence")[:1]))


def with_tolerance(rows: QuerySet[Challenge], environment: str, at: datetime) -> QuerySet[Challenge]:
    """Annotate challenges with `tolerated`: until when a waiver in force at an instant covers each there, or None.

    It covers one from its grant until it ends: a waiver of the finding, while that is no worse than at the grant, or of
    the whole rule, for the version in the place where the policy asks the rule. Where it is critical nothing does.
    """
    rule = Case(*(When(cause=cause, then=Value(rule)) for cause, rule in RULES.items()), output_field=CharField())
    in_baseline, critical = Q(), Q()
    for cause, name in RULES.items():
        in_baseline |= Q(cause=cause, policy__content__baseline__rules__contains=[name])
        critical |= Q(cause=cause, **{f"policy__content__rules__{name}__critical": True})
    place = Case(When(in_baseline, then=Value("baseline")), default=Value(environment), output_field=CharField())
    waivers = Waiver.objects.filter(
        Q(finding=None) | Q(finding=OuterRef("finding")),
        Q(revoked_at=None) | Q(revoked_at__gt=at),
        rule=OuterRef("rule"),
        version=OuterRef("version"),
        environment=OuterRef("place"),
        state__in=(WaiverState.GRANTED, WaiverState.REVOKED),
        decided_at__lte=at,
        expires_at__gt=at,
    )
    lasting = counting.not_outgrown(waivers, at).order_by("-expires_at").values("expires_at")
    covered = Case(When(critical, then=None), default=Subquery(lasting[:1]), output_field=DateTimeField())
    return rows.annotate(rule=rule, place=place).annotate(tolerated=covered)


def open_of(version: Version, at: datetime | None = None) -> list[Challenge]:
    """Return a version's open challenges as of an instant, the one that is due first on top."""
    return open_for([version], at)[version.pk]


def open_for(versions: Iterable[Version], at: datetime | None = None) -> dict[int, list[Challenge]]:
    """Return the open challenges of many versions as of an instant, by the versions' ids, in one query."""
    found: defaultdict[int, list[Challenge]] = defaultdict(list)
    rows = opened(at or timezone.now()).filter(version__in=[version.pk for version in versions])
    for challenge in worded(rows).select_related("version__asset", "root__asset", "finding__version__asset", "policy"):
        found[challenge.version_id].append(challenge)
    return found


def lock(version: Version) -> list[Version]:
    """Lock a version and everything that is made from it until the transaction ends, in the order of their ids.

    Whoever locks one of them alone has to do it before, or not lock another one: the order keeps two from waiting for
    each other.
    """
    rows = Version.objects.select_for_update(of=("self",)).select_related("asset__team").order_by("pk")
    return list(rows.filter(pk__in=family_of(version)))


def family_of(version: Version) -> set[int]:
    """Return the ids of a version and of everything that is made from it."""
    return {version.pk, *(edge.version_id for edge in composition.descendants(version))}


def reconsider(version: Version, *, actor: User) -> int:
    """Open and end the challenges that a version's findings bring about now. Returns how many were written.

    Doing it again writes nothing. A verb that already holds a lock has to have taken it by `lock`.
    """
    if not list(ending(version)) and not wanted(version, family_of(version)):
        return 0
    with transaction.atomic():
        members = lock(version)
        ended = [end(challenge, reason, actor=actor) for challenge, reason in ending(version)]
        begun = [begin(each, actor=actor) for each in wanted(version, {member.pk for member in members})]
    return len(ended) + len(begun)


def open_due() -> int:
    """Open the challenges that an acceptance which has run out brings about. Returns how many were written."""
    sweeps = User.objects.system("sweeps")
    told = Challenge.objects.filter(finding=OuterRef("pk"), opened_at__gte=OuterRef("accepted_until"))
    lapsed = Finding.objects.filter(~Exists(told), closed_at=None, triage=Triage.ACCEPTED)
    versions = Version.objects.filter(findings__in=lapsed.filter(accepted_until__lte=timezone.now()))
    return sum(reconsider(version, actor=sweeps) for version in versions.order_by("pk").distinct())


def end_due() -> int:
    """End the challenges that nothing keeps open any more. Returns how many rows were written."""
    sweeps = User.objects.system("sweeps")
    now = timezone.now()
    roots = {each.root_id: each.root for each in judged(now) if why_over(each, now)}
    return sum(reconsider(roots[pk], actor=sweeps) for pk in sorted(roots))


def ending(version: Version) -> Iterator[tuple[Challenge, str]]:
    """Yield the open challenges that a version brought about and that are over, each with the reason."""
    now = timezone.now()
    for challenge in judged(now).filter(root=version).order_by("version", "pk"):
        if reason := why_over(challenge, now):
            yield challenge, reason


def judged(at: datetime) -> QuerySet[Any]:
    """Return the challenges whose end is not written yet, with what tells whether they are over."""
    older = in_force_of(at).filter(version=OuterRef("version"), made_at__lte=OuterRef("opened_at"))
    rows = unended(at).select_related("version__asset", "root__asset", "finding", "policy")
    return rows.annotate(has_passed=Q(cause=Cause.RELICENSED) & Exists(licence_passed(at)), is_in_force=Exists(older))


def why_over(challenge: Any, at: datetime) -> str:
    """Return why a challenge, read by `judged`, is over, or nothing while it stands."""
    finding = challenge.finding
    if challenge.version.state == State.RETIRED:
        return "The version is retired."
    if finding is None:
        passed = "The licence check passed with the new licence." if challenge.has_passed else ""
        return passed or ("" if challenge.is_in_force else "No approval from before is in force any more.")
    if finding.closed_at is not None:
        return f"{finding.vulnerability} is no longer found in it."
    if not finding.is_open_at(at):
        return f"{finding.vulnerability} was answered: {finding.get_triage_display().lower()}."
    if not advisories.reaches(finding.severity, challenge.policy.rule(RULE)):
        return f"{finding.vulnerability} is now {finding.severity}, which the policy does not block."
    return ""


def end(challenge: Challenge, reason: str, *, actor: User) -> ChallengeEnd:
    """Write that a challenge is over."""
    told = {"vulnerability": challenge.vulnerability, "cause": str(challenge.cause), "reason": reason}
    with log.record(Event.CHALLENGE_ENDED, actor=actor, subject=challenge.version, **told):
        return ChallengeEnd.objects.create(challenge=challenge, reason=reason, ended_by=actor, ended_at=timezone.now())


def wanted(version: Version, members: Iterable[int]) -> list[Wanted]:
    """Return the challenges that a version's findings ask for among some versions and that are not there yet."""
    now = timezone.now()
    decisions = asking(in_force(members, now), RULE, now)
    rows = version.findings.filter(closed_at=None).select_related("version__asset") if decisions else ()
    findings = [finding for finding in rows if finding.is_open_at(now)]
    if not findings:
        return []
    there = set(opened(now).filter(finding__version=version).values_list("version_id", "finding_id"))
    histories = counting.read_histories(findings)
    found: dict[tuple[int, int], Wanted] = {}
    for finding in findings:
        for decision in decisions:
            due = due_at(decision, histories[finding.pk], now)
            key = (decision.version_id, finding.pk)
            if due is None or key in there or (key in found and found[key].due_at <= due):
                continue
            policy = decision.submission.policy
            found[key] = Wanted(decision.version, version, Cause.FINDING, due, policy, finding)
    return [found[key] for key in sorted(found)]


def in_force(members: Iterable[int], at: datetime) -> QuerySet[Decision]:
    """Return the approvals in force of some versions, with what is read about them."""
    people = ("version__asset__owner", "version__asset__backup_owner")
    rows = in_force_of(at).filter(version__in=list(members))
    return rows.select_related("version__asset", "submission__policy", *people).order_by("version", "pk")


def in_force_of(at: datetime) -> QuerySet[Decision]:
    """Return the approvals in force.

    Those that wait for their signature count: it comes within seconds, and nobody would look again.
    """
    rows = Decision.objects.filter(verdict="approved", revocation=None, expires_at__gt=at)
    return rows.filter(identity_digest=F("version__identity_digest")).exclude(version__state=State.RETIRED)


def asking(decisions: Iterable[Decision], rule: str, at: datetime) -> list[Decision]:
    """Return those of some decisions whose policy asks a rule of their version for their environment."""
    rows = [(each, each.submission.policy) for each in decisions]
    asked = requirements.of_many([(each.version, policy, each.environment) for each, policy in rows], at=at)
    return [
        each
        for each, policy in rows
        if rule in policy.content["baseline"]["rules"]
        or rule in asked[each.version_id, policy.pk, each.environment].rules
    ]


def due_at(decision: Decision, history: Sequence[Any], at: datetime) -> datetime | None:
    """Return until when a decision's version may serve on in spite of a finding, or None when it is not challenged.

    The days run from when the finding began to count, not from when somebody noticed.
    """
    rule = decision.submission.policy.rule(RULE)
    if rule.get("on_new", "challenge") != "challenge":
        return None
    began = counting.counts_since(history, rule, at)
    if began is None or began <= decision.made_at:
        return None
    return began + timedelta(days=rule.get("grace_days", GRACE_DAYS))


def follow(root: Version, cause: Cause, members: Iterable[int], *, at: datetime, actor: User) -> list[Challenge]:
    """Challenge what is in force among locked versions, where a policy asks after what became of a root.

    Each version once for each policy, by the days of grace that this policy gives.
    """
    rule, written = RULES[cause], []
    decisions = asking(in_force(members, at), rule, at)
    found = {(each.version_id, each.submission.policy_id): each for each in decisions}
    for key in sorted(found):
        policy = found[key].submission.policy
        due = at + timedelta(days=policy.rule(rule).get("grace_days", GRACE_DAYS))
        written.append(begin(Wanted(found[key].version, root, cause, due, policy), actor=actor, at=at))
    return written


def begin(each: Wanted, *, actor: User, at: datetime | None = None) -> Challenge:
    """Write a challenge, and tell those who answer for its version."""
    finding = each.finding
    about = {"vulnerability": finding.vulnerability, "severity": finding.severity} if finding else {}
    challenge = Challenge(
        version=each.version,
        root=each.root,
        cause=each.cause,
        finding=finding,
        policy=each.policy,
        opened_at=at or timezone.now(),
        due_at=each.due_at,
        **about,
    )
    told = {"by": doubts.of(challenge).name, "cause": str(each.cause), "root": each.root.label, **about}
    with log.record(Event.VERSION_CHALLENGED, actor=actor, subject=each.version, due=each.due_at, **told):
        challenge.save()
        tell(challenge)
    return challenge


def tell(challenge: Challenge) -> None:
    """Tell the owners and the escalation contact of a version what challenges it, once for each root and cause."""
    asset, doubt = challenge.version.asset, doubts.of(worded(Challenge.objects.filter(pk=challenge.pk)).get())
    what = f"{challenge.root_id}:{challenge.cause}:{challenge.vulnerability}:{challenge.due_at:%Y-%m-%d}"
    notices.tell(
        notices.Kind.CHALLENGED,
        cause=f"challenged:{challenge.version_id}:{what}",
        to=[each for each in (asset.owner, asset.backup_owner, asset.escalation_contact) if each],
        subject=f"{doubt.version} is challenged by {doubt.name}",
        text=f"{doubt.says}. It may serve until {doubt.due:%Y-%m-%d %H:%M} UTC. {doubt.fix}",
        url=doubt.where,
        asset=asset,
    )
