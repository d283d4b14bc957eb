"""What tests of hygiene share: a policy with its rules, waivers of them, and reports of what served."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from audit import serving
from audit.models.serving import GRID
from audit.serving.lookups import floor
from governance import hygiene, waivers
from governance.models import Policy, Waiver
from registry.models import Version
from tests.factories import Cast, Walk
from tests.policies import publish, shipped

RULES = {"stale_days": 100, "unowned_grace_days": 20, "vulnerable_grace_days": 10, "warn_days": [30, 7, 1]}


def publish_hygiene(cast: Cast, **rules: Any) -> Policy:
    """Publish the shipped policy with other rules of hygiene."""
    return publish({**shipped(), "hygiene": rules or RULES}, cast)


def days(count: float) -> timedelta:
    return timedelta(days=count)


def foreseen(version: Version | None = None, *, within: float = 400) -> list[hygiene.Foreseen]:
    """Return what the clock will do to one version, or to all."""
    now = timezone.now()
    rows = Version.objects.filter(pk=version.pk) if version else None
    return hygiene.coming(rows, at=now, until=now + days(within))


def served(walk: Walk, digest: str, end: datetime) -> None:
    """Report that something served for the last whole five minutes until an instant."""
    window = {
        "deployment": "eu-1",
        "customer": "acme",
        "digest": digest,
        "environment": "production",
        "start": (floor(end) - GRID).isoformat(),
        "requests": 12,
    }
    serving.report(actor=walk.cast.otto, source="eu", batch_id=f"{digest[:8]}-{end:%Y%m%dT%H%M%S}", windows=[window])


def waive(walk: Walk, version: Version, rule: str, lasting: float) -> Waiver:
    """Have a move postponed for some days, by a request of the team and a second person's grant."""
    asked = waivers.request(
        version,
        actor=walk.cast.ada,
        rule=rule,
        environment="hygiene",
        reason="It is kept for a comparison.",
        compensating_control="It serves nobody meanwhile.",
        expires_at=timezone.now() + days(lasting),
    )
    return waivers.grant(asked, actor=walk.cast.rhea, note="For the comparison.")
