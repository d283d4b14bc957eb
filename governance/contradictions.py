"""Telling administrators and auditors that the record contradicts itself, once for each set of contradictions.

They are found by `audit.verifier`, every night and when an auditor asks; the pages of the audit show them.
"""

from __future__ import annotations

from itertools import takewhile

from django.urls import reverse

from audit.models import Verification
from governance import notices
from registry.models import Seat

TOLD = ("administrator", "auditor")
# Of contradictions that stand for longer than so many checks, everybody is told again.
MOST_ALIKE = 60


def tell_due() -> int:
    """Tell everybody concerned of what the newest check found, once as long as every check finds just the same.

    Returns how many notices are new.
    """
    checks = list(Verification.objects.order_by("-started_at")[:MOST_ALIKE])
    if not checks or not checks[0].fault_count:
        return 0
    # The cause is the first of those that found the same: whoever was not told of it then is told by one that follows.
    newest = list(takewhile(lambda each: found_the_same(each, checks[0]), checks))[-1]
    seats = Seat.objects.filter(role__in=TOLD, user__is_active=True).select_related("user")
    return notices.tell(
        notices.Kind.RECORD_CONTRADICTED,
        cause=f"verification:{newest.pk}",
        to={seat.user for seat in seats},
        subject=f"The record contradicts itself {newest.fault_count} times",
        text="The check of the record found rows, entries or checkpoints that do not fit each other. The page lists"
        " them. Keep the database and its backups as they are until somebody has understood why.",
        url=reverse("audit:verification", args=[newest.pk]),
    )


def found_the_same(one: Verification, other: Verification) -> bool:
    """Return whether two checks found the same contradictions."""
    return (one.fault_count, one.faults) == (other.fault_count, other.faults)
