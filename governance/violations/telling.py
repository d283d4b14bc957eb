"""Who is told of violations and of contradictions between reports, once for each."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from audit.models import ServingConflict
from governance import addressees, notices
from governance.models import Notice, Violation
from registry.models import AccessToken, Seat, User

OPERATORS = ("platform", "administrator")
# A conflict that was recorded longer ago, and of which nobody was told, is only on the page.
LOOKING_BACK = timedelta(days=7)
MOST_CONFLICTS = 500


def tell(violation: Violation) -> None:
    """Tell those who have to act: the keepers of what was served and platform, or whoever runs the deployment."""
    asset = violation.version.asset if violation.version is not None else None
    if asset is not None:
        seats = addressees.seated(asset, ["platform"])
        to: list[User | str] = [*addressees.keepers(asset), *(seat.user for seat in seats)]
    else:
        to = [*operators(), *reporters(violation.source)]
    place = ", ".join(filter(None, (violation.deployment, violation.environment))) or "many places"
    since = f"{violation.first_window:%Y-%m-%d %H:%M} UTC"
    notices.tell(
        notices.Kind.VIOLATION,
        cause=f"violation:{violation.public_id}",
        to=to,
        subject=f"Not allowed, but served: {violation.label} in {place}",
        text=f"{violation.says} {violation.source} reported that it was served from {since} on. Somebody has to say "
        "on its page what is done about it.",
        url=violation.get_absolute_url(),
        asset=asset,
    )


def operators() -> list[User]:
    """Return the people who run the portal and its deployments."""
    rows = Seat.objects.filter(role__in=OPERATORS, everywhere=True, user__is_active=True, user__kind="person")
    return list({seat.user for seat in rows.select_related("user")})


def reporters(source: str) -> list[User]:
    """Return the people who issued the tokens of a service that reports."""
    tokens = AccessToken.objects.filter(user__username=source, revoked_at=None)
    return list(User.objects.filter(pk__in=tokens.values("issued_by"), kind="person", is_active=True))


def tell_conflicts_due() -> int:
    """Tell operators and reporters that reports contradict each other, once a day for each source. Returns how many."""
    since = timezone.now() - LOOKING_BACK
    rows = ServingConflict.objects.filter(received_at__gte=since).select_related("batch").order_by("received_at")
    found = {f"serving-conflict:{row.batch.source}:{row.received_at:%Y-%m-%d}": row for row in rows[:MOST_CONFLICTS]}
    told = set(Notice.objects.filter(cause__in=found).values_list("cause", flat=True))
    return sum(tell_conflict(row, cause) for cause, row in found.items() if cause not in told)


def tell_conflict(conflict: ServingConflict, cause: str) -> int:
    """Tell of one contradiction. Returns how many are told."""
    source = conflict.batch.source
    return notices.tell(
        notices.Kind.SERVING_CONFLICT,
        cause=cause,
        to=[*operators(), *reporters(source)],
        subject=f"{source} contradicts what it reported before",
        text=f"{conflict.batch} says something else than an earlier report, which stands. Windows concerned: "
        f"{conflict.row_count:,}. Corrections are sent as a new batch with the next sequence. Further contradictions "
        "of that day are on the page.",
        url=reverse("governance:serving-conflicts"),
    )
