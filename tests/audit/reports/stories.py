"""Short stories for the auditor's tests: a prompt that is cheap to walk, and windows of serving."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from audit import serving
from audit.models import ServingBatch
from governance.models import Decision
from registry.models import Version
from tests.factories import Walk, artifacts

WORDS = {"kind": "prompt", "suffix": "txt", "finetune_method": "prompt", "parts": {"jinja2": "3.1.6"}, "risk": "low"}
MINUTE = timedelta(minutes=1)
SLOT = timedelta(minutes=5)


def prompt(walk: Walk, number: str = "1.0.0", asset: str = "credit-prompt", **changes: Any) -> Version:
    """Walk a prompt as far as candidate."""
    return walk.candidate(asset, number, artifacts.prompt(f"Answer as {asset} {number}."), **{**WORDS, **changes})


def decided(walk: Walk, number: str = "1.0.0", asset: str = "credit-prompt", **changes: Any) -> Decision:
    """Walk a prompt as far as a signed approval for staging."""
    return walk.approved(prompt(walk, number, asset, **changes), "staging")


def window(digest: str, start: datetime, end: datetime, **changes: Any) -> dict[str, Any]:
    """Return a serving window in staging, of customer acme by default."""
    told = {"deployment": "desk-eu", "customer": "acme", "environment": "staging", "requests": 7, "digest": digest}
    return {**told, "start": start.isoformat(), "end": end.isoformat(), **changes}


def report(walk: Walk, *windows: dict[str, Any], batch: str = "1") -> ServingBatch:
    """Report serving windows as the deployer does."""
    return serving.report(actor=walk.cast.otto, source="gateway", batch_id=batch, windows=windows)


def grid(at: datetime) -> datetime:
    """Return the beginning of the next five minutes."""
    return datetime.fromtimestamp((at.timestamp() // 300 + 1) * 300, tz=UTC)


def slots(digest: str, start: datetime, *places: int, **changes: Any) -> list[dict[str, Any]]:
    """Return one window of five minutes for each place on the grid."""
    return [window(digest, start + SLOT * each, start + SLOT * (each + 1), **changes) for each in places]
