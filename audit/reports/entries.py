"""Looking entries of the ledger up the way people ask for them: by a part of a name, by who did it."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from audit import log
from audit.models import Entry
from audit.reports.names import ledger_names_like


def search(
    *,
    kind: str = "",
    subject: str = "",
    actor: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Entry]:
    """Return entries with their leaves, newest first.

    `kind` is an event or a family such as `review.`, `subject` a part of the name of what they are about, `actor` a
    part of a name or a whole ledger name. `since` is inclusive and `until` exclusive.
    """
    found = log.entries(kind=kind, since=since, until=until)
    if subject:
        found = found.filter(subject_label__icontains=subject)
    if actor:
        found = found.filter(actor__in=ledger_names_like(actor))
    return found.select_related("leaf")
