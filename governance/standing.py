"""Whether a version may serve in an environment at an instant, and why: computed from append-only facts, never stored.

The gate, the pages, the API, the exports and the sweeps all ask here, so an expired decision is expired everywhere
even when the clock has stopped. One question costs one query.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from governance import challenges
from governance.models import ConsumerGrant, Decision, Reliance, Transition
from portal.errors import Reason
from registry.models import State, Version


@dataclass(frozen=True)
class OpenChallenge:
    """A vulnerability that puts a version in doubt, found in itself or in a root that it is made from."""

    vulnerability: str
    severity: str
    root: str
    since: datetime
    due: datetime
    where: str

    def as_reason(self, label: str) -> Reason:
        """Return the challenge as a reason for a no."""
        says = f"{self.vulnerability} ({self.severity}) has been open against {self.root} since {self.since:%Y-%m-%d}"
        inside = "" if self.root == label else f", which {label} is made from,"
        fix = "Build with the fixed version and register that as a new version, or answer the finding in its triage."
        return Reason("challenged", f"{says}{inside} and was due on {self.due:%Y-%m-%d %H:%M} UTC.", fix, self.where)


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
            names = ", ".join(dict.fromkeys(each.vulnerability for each in self.challenges))
            challenged = f"; challenged by {names}" if names else ""
            return f"May serve in {self.environment} until {self.expires_at:%Y-%m-%d %H:%M} UTC{challenged}."
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
            made.annotate(is_revoked=Exists(revoked), is_bared=Exists(bared)).values(
                row=JSONObject(
                    id="public_id",
                    expires="expires_at",
                    signed="signature__signed_at",
                    identity="identity_digest",
                    revoked="is_revoked",
                    bared="is_bared",
                )
            )[:1]
        ),
        in_force=Subquery(
            made.filter(expires_at__gt=at, signature__signed_at__lte=at, identity_digest=OuterRef("identity_digest"))
            .exclude(Exists(revoked) | Exists(bared))
            .order_by("-expires_at")
            .values(row=JSONObject(id="public_id", expires="expires_at"))[:1]
        ),
        is_consumer=Exists(granted),
        challenged=ArraySubquery(challenged_by(at)),
    )


def challenged_by(at: datetime) -> QuerySet[Any]:
    """Return the challenges that stand open against the row outside, as of an instant, the first that is due on top."""
    rows = challenges.opened(at).filter(version=OuterRef("pk")).order_by("due_at", "pk")
    return rows.values(
        row=JSONObject(
            vulnerability="vulnerability",
            severity="severity",
            slug="finding__version__asset__slug",
            number="finding__version__number",
            since="opened_at",
            due="due_at",
        )
    )


def of(version: Version, environment: str, *, at: datetime | None = None, consumer: str = "") -> Standing:
    """Return the standing of one version."""
    at = at or timezone.now()
    row = facts(Version.objects.filter(pk=version.pk).select_related("asset"), environment, at, consumer).get()
    return judge(row, environment, at, consumer)


def of_digest(digest: str, environment: str, *, at: datetime | None = None, consumer: str = "") -> Standing:
    """Return the standing of whatever is registered under an identity digest; unregistered means no.

    Where several versions have the same digest, one that may serve answers for all.
    """
    at = at or timezone.now()
    rows = Version.objects.filter(identity_digest=digest, registered_at__lte=at).select_related("asset")
    # Those with a decision in force come first, so that no number of others can push one out of sight.
    known = facts(rows, environment, at, consumer).order_by(F("in_force").asc(nulls_last=True), "-registered_at", "-pk")
    found = [judge(row, environment, at, consumer) for row in known[:20]]
    if not found:
        reason = Reason(
            "unregistered",
            f"No version with the identity digest {digest[:12]}… is registered.",
            "Register it through CI or in the portal.",
        )
        return Standing(None, environment, at, False, "unregistered", (reason,))
    return next((standing for standing in found if standing.allow), found[0])


def of_all(
    versions: QuerySet[Version], environments: Iterable[str], *, at: datetime | None = None
) -> dict[tuple[int, str], Standing]:
    """Return the standing of many versions, keyed by (version id, environment), one query an environment."""
    at = at or timezone.now()
    found = {}
    for environment in environments:
        for row in facts(versions, environment, at):
            found[(row.pk, environment)] = judge(row, environment, at, "")
    return found


def judge(row: Any, environment: str, at: datetime, consumer: str) -> Standing:
    """Return the standing that annotated facts amount to. Pure: no query, no clock."""
    last = row.last_move or {}
    state = last.get("state") or State.DRAFT
    sunset = instant(last.get("sunset"))
    decision = row.in_force or {}
    doubts = read_challenges(row.challenged)
    reasons = [*judge_state(row, state, sunset, last.get("successor"), at, consumer)]
    if not decision:
        reasons.append(judge_decision(row, environment, at))
    reasons += [doubt.as_reason(row.label) for doubt in doubts if at >= doubt.due]
    ends = [instant(decision.get("expires")), sunset, *(doubt.due for doubt in doubts if decision)]
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


def read_challenges(rows: Iterable[dict[str, Any]]) -> tuple[OpenChallenge, ...]:
    """Return a version's challenges, each vulnerability of each root once: by the one that is due first."""
    found: dict[tuple[str, str], OpenChallenge] = {}
    for row in rows:
        doubt = OpenChallenge(
            vulnerability=row["vulnerability"],
            severity=row["severity"],
            root=f"{row['slug']}@{row['number']}",
            since=datetime.fromisoformat(row["since"]),
            due=datetime.fromisoformat(row["due"]),
            where=reverse("registry:version-tab", args=[row["slug"], row["number"], "findings"]),
        )
        found.setdefault((doubt.vulnerability, doubt.root), doubt)
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
    if last["bared"]:
        says = f"The decision for {row.label} in {environment} rested on a waiver that was revoked."
        return Reason("waiver_revoked", says, submit, where)
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
        .filter(Q(expires_at__gt=at) & Q(expires_at__lte=before))
        .exclude(version__state=State.RETIRED)
        .annotate(until=F("expires_at"))
        .select_related("version__asset")
        .order_by("expires_at")
    )
