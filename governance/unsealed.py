"""Telling administrators that entries wait too long to be sealed, once for each time that sealing stops.

How long is too long is known by `audit.log`; the health page and a banner say the same.
"""

from __future__ import annotations

from django.urls import reverse

from audit import log
from audit.models import Entry
from governance import notices
from registry.models import Seat


def tell_due() -> int:
    """Tell every administrator that sealing has stopped, unless they were told. Returns how many notices are new."""
    fault = log.sealing_fault()
    oldest = Entry.objects.filter(pending__isnull=False).order_by("pk").first() if fault else None
    if oldest is None:
        return 0
    seats = Seat.objects.filter(role="administrator", user__is_active=True).select_related("user")
    return notices.tell(
        notices.Kind.SEALING_STOPPED,
        cause=f"sealing:{oldest.event_id}",
        to=[seat.user for seat in seats],
        subject="The ledger is not being sealed",
        text=f"{fault} Decisions that wait cannot be handed out, and what waits can still be changed unseen.",
        url=reverse("admin:audit_pending_changelist"),
    )
