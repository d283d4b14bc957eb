"""Telling administrators what is wrong with the copies of checkpoints outside, once for each cause.

How the places are is known by `audit.copies`; the health page says the same.
"""

from __future__ import annotations

from django.urls import reverse

from audit import copies
from governance import notices
from registry.models import Seat


def tell_due() -> int:
    """Tell every administrator of each alarm that they have not been told of. Returns how many notices are new."""
    alarms = copies.alarms()
    if not alarms:
        return 0
    seats = Seat.objects.filter(role="administrator", user__is_active=True).select_related("user")
    administrators = [seat.user for seat in seats]
    page = reverse("admin:audit_checkpointcopy_changelist")
    return sum(
        notices.tell(
            notices.Kind.COPIES_MISSING,
            cause=alarm.cause,
            to=administrators,
            subject=alarm.subject,
            text=alarm.says,
            url=page,
        )
        for alarm in alarms
    )
