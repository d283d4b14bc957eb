"""Which versions a rule of hygiene names, and when: querysets whose dates the database computes.

Every row carries `own`, the rule's own date, `moves`, that date or the end of the last waiver of the rule, and `fact`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Greatest, JSONObject, Least

from audit.models import ServingWindow
from audit.models.serving import GRID
from governance import challenges, waivers
from governance.hygiene.rules import Rules
from governance.models import Challenge, Decision, Submission, Transition, Waiver
from governance.models.challenges import Cause
from governance.models.waivers import WaiverState
from registry.models import Component, Evidence, State, Version
from registry.models.evidence import EvidenceKind

STALE, VULNERABLE, UNOWNED, SUNSET = waivers.HYGIENE_RULES
LIVING = (State.CANDIDATE, State.APPROVED, State.DEPRECATED)


def stale(rows: QuerySet[Version], rules: Rules, until: datetime) -> QuerySet[Version]:
    """Return the versions that will have shown no sign of life for the policy's days; `fact` is the last sign.

    What something is made from that is not retired is in use, however old it is.
    """
    days = rules.days("stale_days")
    if days is None:
        return rows.none()
    cutoff = until - days
    quiet = rows.filter(asset__kind__in=rules.kinds, state__in=LIVING, registered_at__lte=cutoff)
    quiet = quiet.exclude(Exists(Component.objects.filter(part=OuterRef("pk")).exclude(version__state=State.RETIRED)))
    # Each of these leaves out the many that are alive by one index, before any date of the few others is computed.
    for sign in signs_of_life():
        quiet = quiet.filter(~Exists(sign.filter(seen__gt=cutoff)))
    newest = [Subquery(sign.values("seen")[:1]) for sign in signs_of_life()]
    own = Greatest(later(Greatest("registered_at", *newest), days), Value(rules.first("stale_days")))
    return moving(quiet.annotate(own=own, fact=Greatest("registered_at", *newest)), STALE, until)


def signs_of_life() -> list[QuerySet[Any]]:
    """Return what shows that the version outside is not forgotten, each with the instant `seen`, the newest first.

    Of serving windows the one that began last tells; all are equally long. A part was in use until what it was
    in was retired.
    """
    of = OuterRef("pk")
    ended = Transition.objects.filter(version__components__part=of, to_state=State.RETIRED)
    return [
        ServingWindow.objects.filter(digest=OuterRef("identity_digest")).annotate(seen=F("end")).order_by("-start"),
        Evidence.objects.filter(version=of, kind=EvidenceKind.EVALUATION)
        .annotate(seen=F("attached_at"))
        .order_by("-seen"),
        Decision.objects.filter(version=of).annotate(seen=F("made_at")).order_by("-seen"),
        Submission.objects.filter(version=of).annotate(seen=F("submitted_at")).order_by("-seen"),
        ended.annotate(seen=F("at")).order_by("-seen"),
    ]


def vulnerable(rows: QuerySet[Version], rules: Rules, at: datetime, until: datetime) -> QuerySet[Version]:
    """Return the versions with a vulnerability open past its due date and the policy's grace; `fact` is the first."""
    grace = rules.days("vulnerable_grace_days")
    if grace is None:
        return rows.none()
    doubts = doubts_of(at)
    told = JSONObject(vulnerability="vulnerability", severity="severity", due="due")
    named = rows.filter(asset__kind__in=rules.kinds, state__in=LIVING)
    named = named.filter(Exists(doubts.filter(due__lte=until - grace)))
    own = Greatest(later(Subquery(doubts.values("due")[:1]), grace), Value(rules.first("vulnerable_grace_days")))
    return moving(named.annotate(own=own, fact=Subquery(doubts.values(row=told)[:1])), VULNERABLE, until)


def doubts_of(at: datetime) -> QuerySet[Any]:
    """Return the vulnerabilities that challenge the version outside, each with when it is `due`, the first on top."""
    return with_due(challenges.opened(at).filter(version=OuterRef("pk")), Cause.FINDING)


def with_due(rows: QuerySet[Challenge], of: Cause) -> QuerySet[Any]:
    """Return the challenges of one cause with when each is `due`: not before a waiver that tolerates it somewhere ends.

    One that has ended counts as it did, so that the date stays what it was.
    """
    tolerated = granted(rule=challenges.RULES[of], version=OuterRef("version"))
    ended = Subquery(tolerated.filter(Q(finding=None) | Q(finding=OuterRef("finding"))).values("ended")[:1])
    return rows.filter(cause=of).annotate(due=Greatest("due_at", ended)).order_by("due", "pk")


def sunset(rows: QuerySet[Version], rules: Rules, until: datetime) -> QuerySet[Version]:
    """Return the deprecated versions whose announced sunset will have come; `fact` is that sunset."""
    last = Transition.objects.filter(version=OuterRef("pk")).order_by("-at", "-pk").values("sunset_at")[:1]
    named = rows.filter(asset__kind__in=rules.kinds, state=State.DEPRECATED)
    return moving(named.annotate(own=Subquery(last), fact=F("own")), SUNSET, until)


def moving(rows: QuerySet[Any], rule: str, until: datetime) -> QuerySet[Any]:
    """Return the versions that a rule moves until an instant, once its waivers are over too."""
    moves = Greatest("own", waived_until(rule))
    return rows.annotate(moves=moves).filter(own__lte=until, moves__lte=until).order_by("moves", "pk")


def waived_until(rule: str) -> Subquery:
    """Return when the last waiver of a rule for the version outside ends, or ended: the date stays what it was."""
    postponing = granted(rule=rule, environment=waivers.HYGIENE, version=OuterRef("pk"))
    return Subquery(postponing.values("ended")[:1])


def granted(**what: Any) -> QuerySet[Any]:
    """Return the waivers of something that were ever granted, with when each `ended` or will end, the last on top."""
    rows = Waiver.objects.filter(state__in=(WaiverState.GRANTED, WaiverState.REVOKED), **what)
    return rows.annotate(ended=Least("expires_at", "revoked_at")).order_by("-ended")


def serves(at: datetime, within: timedelta) -> Q:
    """Return whether the version outside may be serving: a decision is in force, or it served lately."""
    decided = Decision.objects.filter(version=OuterRef("pk"), verdict="approved", revocation=None, expires_at__gt=at)
    since = at - within
    windows = ServingWindow.objects.filter(digest=OuterRef("identity_digest"), end__gt=since)
    return Exists(decided) | Exists(windows.filter(start__gt=since - GRID))


def later(instant: Any, by: timedelta) -> ExpressionWrapper:
    """Return an instant of the database, later by some time."""
    return ExpressionWrapper(instant + Value(by), output_field=DateTimeField())
