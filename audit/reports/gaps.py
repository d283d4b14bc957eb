"""The queries behind coverage: what was missing at an instant, since when, and out of how many that should have it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Greatest

from audit.reports.base import Filters, Found, of_asset
from governance import standing
from governance.models import Decision, Policy, Promotion, Transition
from portal.errors import Reason
from registry.models import Asset, Evaluation, Evidence, State, Version

OWNER, BACKUP, ESCALATION = "owner", "backup", "escalation"
POLICY, SBOM, PROVENANCE, EVALUATION = "policy", "sbom", "provenance", "evaluation"
RECENT, DECISION = "recent-evaluation", "decision"
LIVING = (State.CANDIDATE, State.APPROVED, State.DEPRECATED)
# The rules of policies that cannot be green without a document of a kind.
DOCUMENTS = {SBOM: "sbom", PROVENANCE: "provenance", EVALUATION: "evaluations"}
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

# What is missing, and all that should have it.
Part = tuple[Found, Found | int]


@dataclass(frozen=True)
class Use:
    """That an environment pointed to a version then although it should not have served: why, and since when."""

    version: Any
    environment: str
    reason: Reason
    since: datetime

    @property
    def pk(self) -> str:
        """Return what names this use among all."""
        return f"{self.version.pk}/{self.environment}"


@dataclass(frozen=True)
class Wanted:
    """What is asked about: an instant, part of the assets, and the policies of that instant by kind of asset."""

    at: datetime
    filters: Filters
    policies: tuple[tuple[str, Policy], ...]

    @classmethod
    def of(cls, filters: Filters, at: datetime) -> Wanted:
        """Return the question with the policies that governed then."""
        return cls(at, filters, tuple(governing(at).items()))

    def kinds(self, rule: str = "") -> list[str]:
        """Return the kinds of assets that a policy governed, or whose policy named a rule."""
        return [kind for kind, policy in self.policies if not rule or rule in rules_of(policy)]


def governing(at: datetime) -> dict[str, Policy]:
    """Return the policy that governed each kind of asset at an instant."""
    found: dict[str, Policy] = {}
    for policy in Policy.objects.filter(published_at__lte=at).defer("text").order_by("published_at", "pk"):
        found |= dict.fromkeys(policy.content["applies_to"]["kinds"], policy)
    return found


def rules_of(policy: Policy) -> set[str]:
    """Return the rules that a policy names, for the baseline or for any environment."""
    parts = (policy.content["baseline"], *policy.content["environments"].values())
    return {rule for part in parts for rule in part["rules"]}


def parts(wanted: Wanted) -> dict[str, Part]:
    """Return what was missing, and what should have it, for each sort of gap."""
    assets, versions = assets_of(wanted), versions_of(wanted)
    found: dict[str, Part] = {
        OWNER: (unattended(assets, "owner", wanted.at), assets),
        BACKUP: (unattended(assets, "backup_owner", wanted.at), assets),
        ESCALATION: (uncalled(assets, wanted.at), assets),
        POLICY: (versions.exclude(asset__kind__in=wanted.kinds()).annotate(since=F("registered_at")), versions),
    }
    for word, rule in DOCUMENTS.items():
        asked = versions.filter(asset__kind__in=wanted.kinds(rule))
        attached = Evidence.objects.filter(version=OuterRef("pk"), kind=word, attached_at__lte=wanted.at)
        found[word] = (asked.filter(~Exists(attached)).annotate(since=F("registered_at")), asked)
    found[RECENT] = outdated(versions, wanted)
    used = uses(wanted)
    found[DECISION] = ([use for use in used if isinstance(use, Use)], len(used))
    return found


def newest_rows(at: datetime) -> QuerySet[Any]:
    """Return assets as they were at an instant, each as its newest history row by then."""
    history = Asset.history.filter(history_date__lte=at)
    same = history.filter(id=OuterRef("id"))
    newer = Q(history_date__gt=OuterRef("history_date"))
    newer |= Q(history_date=OuterRef("history_date"), history_id__gt=OuterRef("history_id"))
    return history.exclude(history_type="-").filter(~Exists(same.filter(newer)))


def assets_of(wanted: Wanted) -> QuerySet[Any]:
    """Return the assets that are asked about, as they were."""
    rows = newest_rows(wanted.at).order_by("slug")
    if wanted.filters.asset:
        rows = rows.filter(slug=wanted.filters.asset.partition("@")[0])
    if wanted.filters.environment:
        rows = rows.filter(id__in=newest_pointers(wanted.at, wanted.filters.environment).values("asset"))
    return rows


def assets_then(identifiers: set[int], at: datetime) -> dict[int, Any]:
    """Return some assets as they were at an instant, by their ids, in one query."""
    return {row.id: row for row in newest_rows(at).filter(id__in=identifiers)}


def versions_of(wanted: Wanted) -> QuerySet[Any]:
    """Return the versions that are asked about and that were candidate, approved or deprecated then."""
    rows = living(wanted.at)
    if wanted.filters.asset:
        rows = rows.filter(**of_asset(wanted.filters.asset))
    if wanted.filters.environment:
        rows = rows.filter(pk__in=newest_pointers(wanted.at, wanted.filters.environment).values("version"))
    return rows


def with_state(at: datetime) -> QuerySet[Any]:
    """Return the versions registered by an instant with their state then."""
    moved = Transition.objects.filter(version=OuterRef("pk"), at__lte=at).order_by("-at", "-pk")
    rows = Version.objects.filter(registered_at__lte=at).annotate(state_then=Subquery(moved.values("to_state")[:1]))
    return rows.select_related("asset").order_by("asset__slug", "pk")


def living(at: datetime) -> QuerySet[Any]:
    """Return the versions that were candidate, approved or deprecated at an instant."""
    return with_state(at).filter(state_then__in=LIVING)


def unattended(assets: QuerySet[Any], field: str, at: datetime) -> QuerySet[Any]:
    """Return the assets whose owner, or backup, was not named then or had left, with since when."""
    nobody = Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__left_at__lte": at})
    rows = assets.filter(nobody)
    return rows.annotate(since=Coalesce(F(f"{field}__left_at"), since_row(at, Q(**{f"{field}__isnull": False}))))


def uncalled(assets: QuerySet[Any], at: datetime) -> QuerySet[Any]:
    """Return the assets without an escalation contact, with since when."""
    return assets.filter(escalation_contact="").annotate(since=since_row(at, ~Q(escalation_contact="")))


def since_row(at: datetime, had: Q) -> Subquery:
    """Return when the first history row was written after the last one of which something was true."""
    own = Asset.history.filter(id=OuterRef("id"), history_date__lte=at)
    last = Asset.history.filter(had, id=OuterRef("id"), history_date__lte=at).order_by("-history_date")
    after = own.annotate(last=Coalesce(Subquery(last.values("history_date")[:1]), Value(BEGINNING)))
    return Subquery(after.filter(history_date__gt=F("last")).order_by("history_date").values("history_date")[:1])


def outdated(versions: QuerySet[Any], wanted: Wanted) -> Part:
    """Return the versions with no value measured on their very digest within the days of their policy."""
    asked = versions.filter(asset__kind__in=wanted.kinds(DOCUMENTS[EVALUATION]))
    missing = Q(pk__in=())
    for kind in wanted.kinds(DOCUMENTS[EVALUATION]):
        days = dict(wanted.policies)[kind].rule(DOCUMENTS[EVALUATION]).get("max_age_days")
        if days is not None:
            missing |= Q(asset__kind=kind) & (Q(measured=None) | Q(measured__lte=wanted.at - timedelta(days=days)))
    values = Evaluation.objects.filter(evidence__version=OuterRef("pk"), evidence__attached_at__lte=wanted.at)
    own = values.filter(subject_digest=OuterRef("identity_digest")).order_by().values("evidence__version")
    measured = asked.annotate(measured=Subquery(own.annotate(newest=Max("measured_at")).values("newest")))
    return measured.filter(missing).annotate(since=Greatest("registered_at", ended(wanted))), asked


def ended(wanted: Wanted) -> Any:
    """Return when the newest value of the version outside became too old, by the days of its kind's policy."""
    days = {
        kind: policy.rule(DOCUMENTS[EVALUATION]).get("max_age_days")
        for kind, policy in wanted.policies
        if DOCUMENTS[EVALUATION] in rules_of(policy)
    }
    later = [
        When(asset__kind=kind, then=ExpressionWrapper(F("measured") + timedelta(days=most), DateTimeField()))
        for kind, most in days.items()
        if most is not None
    ]
    return Case(*later, default=F("measured"), output_field=DateTimeField())


def newest_pointers(at: datetime, environment: str = "", assets: Iterable[int] | None = None) -> QuerySet[Promotion]:
    """Return where each environment of each asset pointed at an instant."""
    rows = Promotion.objects.filter(promoted_at__lte=at)
    rows = rows.filter(environment=environment) if environment else rows
    rows = rows if assets is None else rows.filter(asset__in=assets)
    newest = rows.order_by("asset_id", "environment", "-promoted_at", "-pk").distinct("asset_id", "environment")
    return Promotion.objects.filter(pk__in=newest.values("pk"))


def pointers(at: datetime, *, assets: set[int]) -> QuerySet[Promotion]:
    """Return where each environment of some assets pointed at an instant."""
    return newest_pointers(at, assets=assets).order_by("asset_id", "environment")


def uses(wanted: Wanted) -> list[Any]:
    """Return each environment's pointer of then: as a Use where the version should not have served, else as it is."""
    pointed = newest_pointers(wanted.at, wanted.filters.environment).select_related("version__asset")
    if wanted.filters.asset:
        pointed = pointed.filter(**of_asset(wanted.filters.asset, "version"))
    promoted: defaultdict[str, dict[int, Promotion]] = defaultdict(dict)
    for row in pointed.order_by("environment", "pk"):
        promoted[row.environment][row.version_id] = row
    found: list[Any] = []
    for environment, known in promoted.items():
        rows = dated(with_state(wanted.at).filter(pk__in=known), environment, wanted.at)
        for version in standing.facts(rows, environment, wanted.at):
            answer = standing.judge(version, environment, wanted.at, "")
            promotion = known[version.pk]
            found.append(promotion if answer.allow else use(version, promotion, answer))
    return sorted(found, key=lambda each: (each.version.asset.slug, each.environment))


def dated(rows: QuerySet[Any], environment: str, at: datetime) -> QuerySet[Any]:
    """Return versions with when the decision for an environment was last revoked, and when the state last changed."""
    revoked = Decision.objects.filter(
        version=OuterRef("pk"), environment=environment, verdict="revoked", made_at__lte=at
    )
    moved = Transition.objects.filter(version=OuterRef("pk"), at__lte=at)
    return rows.annotate(
        revoked_then=Subquery(revoked.order_by("-made_at").values("made_at")[:1]),
        moved_then=Subquery(moved.order_by("-at", "-pk").values("at")[:1]),
    )


def use(version: Any, promotion: Promotion, answer: standing.Standing) -> Use:
    """Return the use of a version that should not have served, since it was promoted or, later, what forbids it began.

    A reason whose beginning is in no row of its own counts from the promotion.
    """
    reason = answer.reasons[0]
    decision = version.last_decision or {}
    began = {
        "expired": standing.instant(decision.get("expires")),
        "revoked": version.revoked_then,
        "retired": version.moved_then,
        "sunset": answer.sunset_at,
    }.get(reason.rule)
    return Use(version, promotion.environment, reason, max(promotion.promoted_at, began or promotion.promoted_at))
