"""What the tests of violations share: windows as the deployer reports them, at grid instants of a travelled clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit import serving
from audit.models import ServingBatch
from audit.models.serving import GRID
from governance import violations
from governance.models import Violation
from tests.factories import Walk


def window(digest: str, start: datetime, **changes: Any) -> dict[str, Any]:
    """Return a window in staging, of customer acme by default."""
    told = {"deployment": "desk-eu", "customer": "acme", "environment": "staging", "requests": 7, "digest": digest}
    return {**told, "start": start.isoformat(), **changes}


def report(walk: Walk, *windows: dict[str, Any], batch: str = "1") -> ServingBatch:
    """Report windows as otto, who deploys."""
    return serving.report(actor=walk.cast.otto, source="otto", batch_id=batch, windows=windows)


def judged(walk: Walk, *windows: dict[str, Any], batch: str = "1") -> list[Violation]:
    """Report windows, let the clock judge them, and return all violations, the first that was opened first."""
    report(walk, *windows, batch=batch)
    violations.judge_due()
    return list(Violation.objects.order_by("pk"))


def steps(start: datetime, count: int) -> list[datetime]:
    """Return instants on the grid, one after the other."""
    return [start + GRID * number for number in range(count)]
