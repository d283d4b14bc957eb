"""Reads `eval_results.yaml`, in which Hugging Face repositories report results about themselves.

Like the results in a model card they are what an author says: they are shown, and never become metrics that a policy
could count. The file names a repository and no digest.

Source: Hugging Face, evaluation results (`.eval_results/*.yaml`).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from registry.readers import fields
from registry.readers.documents import fail, parse_yaml, picture
from registry.readers.reading import Reading

MAX_ENTRIES = 500
MAX_SHOWN = 200
NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,20})?")
DATE = re.compile(r"\d{4}-\d\d-\d\d")


class EvalResults:
    """The reader of self-reported results."""

    slug = "eval-results"
    title = "Hugging Face eval_results.yaml (shown, never counted)"
    kind = "evaluation"
    max_bytes = 256 * 1024

    def recognises(self, body: bytes) -> bool:
        """Say whether the body looks like a YAML list with data sets and values."""
        start = body.removeprefix(b"\xef\xbb\xbf").lstrip()
        return start[:1] in {b"-", b"#"} and b"dataset:" in body and b"value:" in body

    def read(self, body: bytes) -> Reading:
        """Return the reported results, and no metric. Raises Invalid."""
        entries = parse_yaml(body, max_bytes=self.max_bytes)
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_ENTRIES:
            fail("document", picture(entries), f"a list of 1 to {MAX_ENTRIES} results")
        reported = [result(entry, fields.below("results", index)) for index, entry in enumerate(entries)]
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/yaml",
            summary={"format": self.title, "reported": reported[:MAX_SHOWN], "reported_count": len(reported)},
            warnings=("These results are self-reported: they are shown and count for nothing.",),
        )


def result(entry: Any, at: str) -> dict[str, str]:
    """Return one reported result as texts."""
    holder = fields.as_mapping(entry, at)
    dataset = fields.mapping(holder, "dataset", at, required=True)
    place = fields.below(at, "dataset")
    told = {key: words(dataset, key, place) for key in ("task_id", "config", "split", "revision")}
    source = fields.mapping(holder, "source", at)
    return {
        "dataset": fields.text(dataset, "id", place, limit=300, required=True),
        **{key: value for key, value in told.items() if value},
        "metric": words(holder, "metric", at) or told["task_id"],
        "value": number(holder, at),
        "date": day(holder, at),
        "source": fields.text(source, "url", fields.below(at, "source"), limit=1000),
    }


def words(holder: dict[str, Any], key: str, at: str) -> str:
    """Return a short text; a bare number is written as text too."""
    value = holder.get(key)
    return str(value) if isinstance(value, int) else fields.text(holder, key, at, limit=300)


def number(holder: dict[str, Any], at: str) -> str:
    """Return the reported value as it was written. Raises Invalid for anything but a plain decimal number."""
    value = holder.get("value")
    written = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(written, str) or not NUMBER.fullmatch(written):
        fail(fields.below(at, "value"), picture(value), "a decimal number")
    return written


def day(holder: dict[str, Any], at: str) -> str:
    """Return the day of a result, "" when it says none. Raises Invalid for a day that has not begun anywhere."""
    written = fields.text(holder, "date", at, limit=40)
    if not written:
        return ""
    if not DATE.match(written):
        fail(fields.below(at, "date"), picture(written), "a date such as 2026-11-23")
    try:
        found = date.fromisoformat(written[:10])
    except ValueError:
        fail(fields.below(at, "date"), picture(written), "a date such as 2026-11-23")
    if found > (datetime.now(UTC) + timedelta(hours=14)).date():
        fail(fields.below(at, "date"), written, "a day that is not in the future")
    return written
