"""What came of the test cases of texts that pages show again and again, run once for each content.

A run takes up to `cases.MAX_SECONDS`, and anybody may open such a page.
"""

from __future__ import annotations

from typing import Any

from django.core.cache import cache

from governance import cases

# A release that asks otherwise starts its processes anew, and each process keeps its own.
KEPT_SECONDS = 24 * 3600


def report_of(content: dict[str, Any], digest: str) -> cases.Report:
    """Return the report about a content by its digest, from this process where it ran within a day."""
    key = f"policy-cases:{digest}"
    known: cases.Report | None = cache.get(key)
    if known is None:
        known = cases.run(content)
        cache.set(key, known, KEPT_SECONDS)
    return known
