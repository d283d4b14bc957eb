"""Whether a version may serve in an environment at an instant, and why: computed from append-only facts, never stored.

The gate, the pages, the API, the exports and the sweeps all ask here, so an expired decision is expired everywhere
even when the clock has stopped. One question costs one query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, BooleanField, Exists, F, Func, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import JSONObject, Least
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from governance import challenges, dues
from governance.doubts import OpenChallenge
from governance.models import ConsumerGrant, Decision, Reliance, Transition, Waiver
from governance.models.waivers import WaiverState
from portal.compiled import Compiled
from portal.errors import Reason
from registry.models import State, Version


@dataclass(frozen=True)
class Standing:
    """The answer for one version, environment, instant and consumer.

    `challenges` stand open whether or not their time has run out; until then they do not change the answer.
    """

    version: Version | None
    environment: str
    at: datetime
    allow: bool
    state: str
    reasons: tuple[Reason, ...]
    decision_id: str = ""
    expires_at: datetime | None = None
    sunset_at: datetime | None = None
    is_known_consumer: bool = False
    challenges: tuple[OpenChallenge, ...] = ()

    @property
    def says(self) -> str:
        """Return the answer as one sentence."""
        if self.allow and self.expires_at:
            waived = {each.name: None for each in self.challenges if each.tolerated_until}
            open_ = {each.name: None for each in self.challenges if not each.tolerated_until}
            said = "; challenged by " + ", ".join(open_) if open_ else ""
            said += "; tolerated by waiver: " + ", ".join(waived) if waived else ""
            return f"May serve in {self.environment} until {self.expires_at:%Y-%m-%d %H:%M} UTC{said}."
        return " ".join(reason.says for reason in self.reasons)


def facts(versions: QuerySet[Version], environment: str, at: datetime, consumer: str = "") -> QuerySet[Version]:
    """Annotate versions with everything `judge` needs, as of an instant."""
    moved = Transition.objects.filter(version=OuterRef("pk"), at__lte=at).order_by("-at", "-pk")
    made = Decision.objects.filter(
        version=OuterRef("pk"), environment=environment, verdict="approved", made_at__lte=at
    ).order_by("-made_at", "-pk")
    revoked = Decision.objects.filter(revokes=OuterRef("pk"), made_at__lte=at)
    bared = Reliance.objects.filter(decision=OuterRef("pk"), waiver__revoked_at__lte=at)
    granted = ConsumerGrant.objects.filter(
        version=OuterRef("pk"), environment=environment, consumer=consumer, granted_at__lte=at
    )
    return versions.annotate(
        last_move=Subquery(
            moved.values(row=JSONObject(state="to_state", sunset="sunset_at", successor="successor__number"))[:1]
        ),
        last_decision=Subquery(
            made.annotate(is_revoked=Exists(revoked), is_bared=Exists(bared), missed=first_late(at)).values(
                row=JSONObject(
                    id="public_id",
                    expires="expires_at",
                    signed="signature__signed_at",
                    identity="identity_digest",
                    revoked="is_revoked",
                    bared="is_bared",
                    missed="missed",
                )
            )[:1]
        ),
        in_force=Subquery(
            made.filter(expires_at__gt=at, signature__signed_at__lte=at, identity_digest=OuterRef("identity_digest"))
            .exclude(Exists(revoked) | Exists(bared) | Exists(dues.late(at)))
            .annotate(until=until(at))
            .order_by("-until")
            .values(row=JSONObject(id="public_id", expires="until"))[:1]
        ),
        is_consumer=Exists(granted),
        sunset_waived=Subquery(waivers_of_sunset(at).values("expires_at")[:1]),
        challenged=ArraySubquery(challenged_by(environment, at)),
    )


def first_late(at: datetime) -> Subquery:
    """Return the condition of the decision outside that was the first to be late at an instant."""
    return Subquery(dues.late(at).values(row=JSONObject(says="says", due="due_at", role="review__role"))[:1])


def until(at: datetime) -> Least:
    """Return when the decision outside ends as things stand at an instant: with its own time or its first condition."""
    return Least("expires_at", Subquery(dues.still_open(at).values("due_at")[:1]))


def waivers_of_sunset(at: datetime) -> QuerySet[Waiver]:
    """Return the waivers of the row outside that postpone its sunset at an instant, the one that ends last on top."""
    granted = Waiver.objects.filter(state__in=(WaiverState.GRANTED, WaiverState.REVOKED), decided_at__lte=at)
    of_sunset = granted.filter(version=OuterRef("pk"), environment="hygiene", rule="sunset", expires_at__gt=at)
    return of_sunset.filter(Q(revoked_at=None) | Q(revoked_at__gt=at)).order_by("-expires_at")


def challenged_by(environment: str, at: datetime) -> QuerySet[Any]:
    """Return the challenges that stand open against the row outside, as of an instant, the first that is due on top.

    One that is tolerated in the environment stays in sight, with until when.
    """
    mine = challenges.worded(challenges.opened_in(environment, at).filter(version=OuterRef("pk")))
    rows = challenges.with_tolerance(mine, environment, at).order_by("due_at", "pk")
    return rows.values(
        row=JSONObject(
            cause="cause",
            licence="licence",
            vulnerability="vulnerability",
            severity="severity",
            slug="root__asset__slug",
            number="root__number",
            since="opened_at",
            due="due_at",
            tolerated="tolerated",
            met="met",
        )
    )


def facts_of(pk: int, environment: str, at: datetime, consumer: str) -> QuerySet[Version]:
    """Return one version with its facts."""
    return facts(Version.objects.filter(pk=pk).select_related("asset"), environment, at, consumer)


def facts_of_all(ids: list[int], environment: str, at: datetime, consumer: str) -> QuerySet[Version]:
    """Return many versions with their facts."""
    # One parameter however many there are, so that the SQL stays the same: `id = ANY(array)`, which uses the index.
    listed = Value(ids, output_field=ArrayField(BigIntegerField()))
    chosen = Func(F("pk"), listed, template="%(expressions)s)", arg_joiner=" = ANY(", output_field=BooleanField())
    return facts(Version.objects.filter(chosen).select_related("asset"), environment, at, consumer)


def facts_of_digest(digest: str, environment: str, at: datetime, consumer: str) -> QuerySet[Version]:
    """Return the versions with an identity digest, with their facts.

    Those with a decision in force come first, then those that ever were candidates, so that no number of others can
    push one out of sight.
    """
    rows = Version.objects.filter(identity_digest=digest, registered_at__lte=at).select_related("asset")
    known = facts(rows, environment, at, consumer).annotate(was_admitted=admitted(at))
    return known.order_by(F("in_force").asc(nulls_last=True), "-was_admitted", "-registered_at", "-pk")[:20]


def admitted(at: datetime) -> Exists:
    """Return whether the version outside was a candidate by an instant.

    Until then its digest is what somebody typed: it neither answers for what serves nor opens what is said about it.
    """
    return Exists(Transition.objects.filter(version=OuterRef("pk"), to_state=State.CANDIDATE, at__lte=at))


SAMPLES: Mapping[str, tuple[Any, Any]] = {
    "environment": ("environment-1", "environment-2"),
    "at": (datetime(1971, 1, 1, tzinfo=UTC), datetime(1972, 2, 2, tzinfo=UTC)),
    "consumer": ("consumer-1", "consumer-2"),
}
OF_VERSION = Compiled(facts_of, pk=(-1, -2), **SAMPLES)
OF_VERSIONS = Compiled(facts_of_all, ids=([-1], [-2]), **SAMPLES)
OF_DIGEST = Compiled(facts_of_digest, digest=("digest-1", "digest-2"), **SAMPLES)


def of(version: Version, environment: str, *, at: datetime | None = None, consumer: str = "") -> Standing:
    """Return the standing of one version."""
    at = at or timezone.now()
    (row,) = OF_VERSION.rows(pk=version.pk, environment=environment, at=at, consumer=consumer)
    return judge(row, environment, at, consumer)


def of_digest(digest: str, environment: str, *, at: datetime | None = None, consumer: str = "") -> Standing:
    """Return the standing of whatever is registered under an identity digest; unregistered means no.

    Where several versions have the same digest, one that may serve answers for all.
    """
    at = at or timezone.now()
    rows = OF_DIGEST.rows(digest=digest, environment=environment, at=at, consumer=consumer)
    found = [judge(row, environment, at, consumer) for row in rows]
    if not found:
        reason = Reason(
            "unregistered",
            f"No version with the identity digest {digest[:12]}… is registered.",
            "Register it through CI or in the portal.",
        )
        return Standing(None, environment, at, False, "unregistered", (reason,))
    return next((standing for standing in found if standing.allow), found[0])


def of_all(
    ids: Iterable[int], environments: Iterable[str], *, at: datetime | None = None
) -> dict[tuple[int, str], Standing]:
    """Return the standing of many versions, keyed by (version id, environment), one query an environment."""
    at = at or timezone.now()
    wanted = sorted(set(ids))
    found = {}
    for environment in environments if wanted else ():
        for row in OF_VERSIONS.rows(ids=wanted, environment=environment, at=at, consumer=""):
            found[(row.pk, environment)] = judge(row, environment, at, "")
    return found


def judge(row: Any, environment: str, at: datetime, consumer: str) -> Standing:
    """Return the standing that annotated facts amount to. Pure: no query, no clock."""
    last = row.last_move or {}
    state = last.get("state") or State.DRAFT
    sunset = instant(last.get("sunset"))
    if sunset is not None and row.sunset_waived is not None:
        sunset = max(sunset, row.sunset_waived)
    decision = row.in_force or {}
    doubts = read_challenges((each for each in row.challenged if not each["met"]), row.label)
    reasons = [*judge_state(row, state, sunset, last.get("successor"), at, consumer)]
    if not decision:
        reasons.append(judge_decision(row, environment, at))
    reasons += [doubt.as_reason() for doubt in doubts if at >= doubt.due]
    ends = [
        instant(decision.get("expires")),
        sunset,
        *(doubt.due for doubt in doubts if decision),
        *met_until(row.challenged),
    ]
    return Standing(
        version=row,
        environment=environment,
        at=at,
        allow=not reasons,
        state=state,
        reasons=tuple(reasons),
        decision_id=str(decision.get("id") or ""),
        expires_at=earliest(*ends),
        sunset_at=sunset,
        is_known_consumer=bool(row.is_consumer),
        challenges=doubts,
    )


def met_until(rows: Iterable[dict[str, Any]]) -> list[datetime]:
    """Return until when the challenges do not count that a newer decision has met: they would count again after it."""
    ends = [[instant(row[name]) for name in ("met", "due", "tolerated")] for row in rows if row["met"]]
    return [max(end for end in each if end is not None) for each in ends]


def read_challenges(rows: Iterable[dict[str, Any]], label: str) -> tuple[OpenChallenge, ...]:
    """Return a version's challenges, each vulnerability, or what became, of each root once: the one due first."""
    found: dict[tuple[str, str], OpenChallenge] = {}
    for row in rows:
        tolerated = instant(row["tolerated"])
        due = datetime.fromisoformat(row["due"])
        doubt = OpenChallenge(
            version=label,
            cause=row["cause"],
            root=f"{row['slug']}@{row['number']}",
            since=datetime.fromisoformat(row["since"]),
            due=due if tolerated is None else max(due, tolerated),
            vulnerability=row["vulnerability"],
            severity=row["severity"],
            licence=row["licence"] or "",
            tolerated_until=tolerated,
        )
        key = (doubt.name, doubt.root)
        known = found.get(key)
        # One vulnerability may be in several components, of which a waiver covers one: then it is not tolerated.
        if known is not None and None in {known.tolerated_until, tolerated}:
            known, doubt = replace(known, tolerated_until=None), replace(doubt, tolerated_until=None)
        found[key] = doubt if known is None or doubt.due < known.due else known
    return tuple(found.values())


def judge_state(
    row: Version, state: str, sunset: datetime | None, successor: str | None, at: datetime, consumer: str
) -> list[Reason]:
    """Return what the lifecycle state alone forbids."""
    where = row.get_absolute_url()
    if state == State.RETIRED:
        return [Reason("retired", f"{row.label} is retired.", "Serve a version that is in force.", where)]
    if state == State.DRAFT:
        return [Reason("draft", f"{row.label} is a draft.", "Nominate and submit it.", where)]
    if state != State.DEPRECATED:
        return []
    use = f"Use {row.asset.slug}@{successor} instead." if successor else "Use another version."
    if sunset is not None and at >= sunset:
        return [Reason("sunset", f"{row.label} reached its sunset on {sunset:%Y-%m-%d}.", use, where)]
    if consumer and not getattr(row, "is_consumer", False):
        says = f"{row.label} is deprecated and {consumer} does not use it yet: new consumers are refused."
        return [Reason("deprecated", says, use, where)]
    return []


def judge_decision(row: Any, environment: str, at: datetime) -> Reason:
    """Return why no decision is in force."""
    where = row.get_absolute_url()
    last = row.last_decision
    submit = f"Submit it for {environment} and have it approved."
    if not last:
        return Reason("no_decision", f"{row.label} has no decision for {environment}.", submit, where)
    if last["revoked"]:
        return Reason("revoked", f"The decision for {row.label} in {environment} was revoked.", submit, where)
    if last["bared"] or last["missed"]:
        return judge_unmet(row, environment, last["missed"], submit)
    expires = instant(last["expires"])
    if expires is not None and at >= expires:
        says = f"The decision for {row.label} in {environment} expired on {expires:%Y-%m-%d %H:%M} UTC."
        return Reason("expired", says, submit, where)
    if last["identity"] != row.identity_digest:
        return Reason("other_digest", f"The decision for {row.label} is about another identity digest.", submit, where)
    return Reason(
        "unsigned",
        f"The decision for {row.label} in {environment} is made but not signed yet.",
        "Wait for the signer; it works within seconds.",
        where,
    )


def judge_unmet(row: Any, environment: str, missed: dict[str, Any] | None, submit: str) -> Reason:
    """Return why what a decision rested on is gone: a waiver was revoked, or a condition was not met in time."""
    if missed is None:
        says = f"The decision for {row.label} in {environment} rested on a waiver that was revoked."
        return Reason("waiver_revoked", says, submit, row.get_absolute_url())
    due = datetime.fromisoformat(missed["due"])
    says = (
        f"The decision for {row.label} in {environment} ended on {due:%Y-%m-%d %H:%M} UTC: nobody who reviews for "
        f"{missed['role']} agreed in time that its condition is met: {missed['says']}"
    )
    fix = f"Its team does what was asked and submits it for {environment} again; {missed['role']} reviews it anew."
    return Reason("obligation_late", says, fix, row.get_absolute_url())


def instant(text: str | None) -> datetime | None:
    """Return an instant out of the database's JSON."""
    return parse_datetime(text) if text else None


def earliest(*instants: datetime | None) -> datetime | None:
    """Return the first of the instants that are known."""
    return min((each for each in instants if each is not None), default=None)


def expiring(before: datetime, *, at: datetime | None = None) -> QuerySet[Decision]:
    """Return the signed decisions in force that expire before an instant, soonest first."""
    at = at or timezone.now()
    return (
        Decision.objects.filter(verdict="approved", revocation=None, signature__isnull=False)
        .filter(expires_at__gt=at)
        .exclude(Q(version__state=State.RETIRED) | Exists(dues.late(at)))
        .annotate(until=until(at))
        .filter(until__lte=before)
        .select_related("version__asset")
        .order_by("until")
    )
