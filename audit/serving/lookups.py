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


def serving_at(customer: str, at: datetime, deployment: str | None = None) -> QuerySet[ServingWindow]:
    """Return the windows in which a customer was served at an instant, without what was corrected.

    They can be narrowed further by what is part of the key, and by nothing else.
    """
    found = ServingWindow.objects.filter(customer=customer, start=floor(at))
    if deployment is not None:
        found = found.filter(deployment=deployment)
    # The rest of the key: one walk along the index, with no second look for a newer row.
    same = [name for name in KEY if name not in {"customer", "start", "sequence"}]
    return found.order_by(*same, "-sequence").distinct(*same)


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
