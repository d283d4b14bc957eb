"""Finding windows again: by customer and instant, by digest or customer and period.

Every window lasts five minutes from the grid, so who served a customer at an instant is a question about one start:
one day, and there the beginning of the primary key.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from audit.models import ServingWindow
from audit.models.serving import GRID, GRID_ORIGIN
from audit.serving.intake import KEY
from portal.compiled import Compiled

MOST = 10_000


def floor(at: datetime) -> datetime:
    """Return the start of the window that an instant lies in."""
    return at - (at - GRID_ORIGIN) % GRID


def current(
    rows: QuerySet[ServingWindow],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    as_of: datetime | None = None,
) -> QuerySet[ServingWindow]:
    """Return those of some windows that no correction has superseded, or had by an instant.

    `since` and `until` bound the starts of the rows, if that is known: then the other days need not be looked at.
    """
    same = {name: OuterRef(name) for name in KEY if name != "sequence"}
    newer = ServingWindow.objects.filter(**same, sequence__gt=OuterRef("sequence"))
    if since is not None:
        newer = newer.filter(start__gte=since)
    if until is not None:
        newer = newer.filter(start__lt=until)
    if as_of is not None:
        newer = newer.filter(batch__received_at__lte=as_of)
    return rows.filter(~Exists(newer))


def serving_at(customer: str, at: datetime, deployment: str | None = None) -> list[ServingWindow]:
    """Return the windows in which a customer was served at an instant, without what was corrected; 10,000 at most."""
    if deployment is None:
        return _AT.rows(customer=customer, start=floor(at))
    return _IN.rows(customer=customer, start=floor(at), deployment=deployment)


def _begun(**where: object) -> QuerySet[ServingWindow]:
    """Return the windows that begin at one instant, without what was corrected."""
    # The rest of the key: one walk along the index, with no second look for a newer row.
    same = [name for name in KEY if name not in {"customer", "start", "sequence"}]
    found = ServingWindow.objects.filter(**where).select_related("batch")
    return found.order_by(*same, "-sequence").distinct(*same)[:MOST]


# Two of the questions that deployments ask all day: making their SQL anew would take as long as answering it.
_SAMPLES = {"customer": ("one", "other"), "start": (GRID_ORIGIN, GRID_ORIGIN + GRID)}
_AT: Compiled[ServingWindow] = Compiled(_begun, **_SAMPLES)
_IN: Compiled[ServingWindow] = Compiled(_begun, **_SAMPLES, deployment=("here", "there"))


def windows_of(digest: str, since: datetime, until: datetime) -> QuerySet[ServingWindow]:
    """Return the windows served by an identity digest that overlap [since, until), oldest first."""
    return overlapping(ServingWindow.objects.filter(digest=digest.removeprefix("sha256:")), since, until)


def windows_for(customer: str, since: datetime, until: datetime) -> QuerySet[ServingWindow]:
    """Return the windows in which a customer was served that overlap [since, until), oldest first."""
    return overlapping(ServingWindow.objects.filter(customer=customer), since, until)


def overlapping(found: QuerySet[ServingWindow], since: datetime, until: datetime) -> QuerySet[ServingWindow]:
    """Return those that overlap [since, until), without what was corrected."""
    found = found.filter(start__gt=since - GRID, start__lt=until)
    return current(found, since=since - GRID, until=until).order_by("start", "customer", "deployment", "sequence")
