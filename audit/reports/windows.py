"""Which serving windows a question is about: those that were reported by an instant and overlap a period."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from audit import serving
from audit.models import ServingWindow
from audit.models.serving import GRID
from audit.reports.base import Filters, of_asset
from registry.models import Version


def reported(filters: Filters, as_of: datetime) -> QuerySet[ServingWindow]:
    """Return the windows reported by then that overlap the period, of every digest, in no order.

    Of a window that was corrected by then only the newest row counts. The batches are narrowed too, because they are
    few: they lead to the windows of a period by an index.
    """
    rows = ServingWindow.objects.filter(batch__received_at__lte=as_of)
    if filters.since is not None:
        rows = rows.filter(end__gt=filters.since, start__gt=filters.since - GRID)
        rows = rows.filter(batch__last_end__gt=filters.since)
    if filters.until is not None:
        rows = rows.filter(start__lt=filters.until, batch__first_start__lt=filters.until)
    for name in ("customer", "deployment", "environment"):
        if asked := getattr(filters, name):
            rows = rows.filter(**{name: asked})
    since = filters.since - GRID if filters.since is not None else None
    return serving.current(rows, since=since, until=filters.until, as_of=as_of).order_by()


def digests_of(asset: str, as_of: datetime) -> QuerySet[Any]:
    """Return the identity digests that an asset, or the one version of `asset@number`, had by an instant."""
    versions = Version.objects.filter(**of_asset(asset), registered_at__lte=as_of).exclude(identity_digest="")
    return versions.order_by().values("identity_digest")
