"""Reads the native evaluation package: metrics bound to the identity digest that they were measured on.

This is the format to write when a tool's own report does not say which model it measured. The JSON Schema beside this
file, `schemas/evaluation-package-v1.json`, is the contract and is served to users; its descriptions are the sentences
of the refusals. An example:

    {
      "schema": "https://countersign.dev/schemas/evaluation-package/v1",
      "subject": {"identity_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
      "tool": {"name": "acme-evals", "version": "3.2.0"},
      "dataset": {"name": "fraud-holdout", "version": "2026-10", "sha256": "…64 hex digits…", "n": 5000},
      "started_at": "2026-11-20T08:00:00Z",
      "finished_at": "2026-11-20T09:30:00Z",
      "author": "ada",
      "metrics": [
        {"category": "quality", "name": "accuracy", "value": "0.913", "direction": "higher", "n": 5000},
        {"category": "latency", "name": "p95_ms", "value": 212, "unit": "ms", "direction": "lower"}
      ]
    }

What a schema cannot say is said here: nothing finished before it started, nothing lies in the future (five minutes of
clock skew are allowed), and no category and name come twice. Values are exact decimals, rounded to twelve places.
`author` is the person responsible: whoever measured a version cannot approve it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs

from portal.errors import Fault, Invalid
from registry.readers import fields, measures
from registry.readers.documents import fail, parse, picture, plain
from registry.readers.reading import Metric, Reading

SCHEMA = "https://countersign.dev/schemas/evaluation-package/v1"
SCHEMA_FILE = Path(__file__).parent / "schemas" / "evaluation-package-v1.json"
MAX_FAULTS = 20


class EvaluationPackage:
    """The reader of native evaluation packages."""

    slug = "evaluation-package"
    title = "Countersign evaluation package v1"
    kind = "evaluation"
    max_bytes = 2 * 1024 * 1024

    def recognises(self, body: bytes) -> bool:
        """Say whether the body names the schema of evaluation packages, of whatever version."""
        return b"countersign.dev/schemas/evaluation-package/" in body

    def read(self, body: bytes) -> Reading:
        """Return the metrics, the digest they belong to and the person responsible. Raises Invalid."""
        package = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        # Counted first, because listing the faults of half a million entries would take a minute.
        if (count := len(fields.array(package, "metrics"))) > measures.MAX_METRICS:
            fail("metrics", f"{count:,} metrics", f"at most {measures.MAX_METRICS:,} metrics")
        if faults := list(islice(_schema_faults(package), MAX_FAULTS)):
            raise Invalid(*faults)
        started = fields.moment(package, "started_at", required=True)
        finished = fields.moment(package, "finished_at", required=True)
        fields.in_order(started, finished, "finished_at")
        metrics = measures.checked(_metrics(package, finished))
        subject = package["subject"]
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/json",
            summary={
                "format": self.title,
                "subject": subject,
                "tool": package["tool"],
                "dataset": plain(package["dataset"]),
                "started_at": started.isoformat() if started else "",
                "finished_at": finished.isoformat() if finished else "",
                "author": package["author"],
                "metric_count": len(metrics),
                "metrics": measures.shown(metrics),
            },
            metrics=metrics,
            subject_digests=(subject["identity_digest"],),
            author=package["author"].strip(),
            measured_at=finished,
        )


def _metrics(package: dict[str, Any], measured_at: datetime | None) -> Iterator[Metric]:
    """Yield each metric of a package that passes the schema."""
    for index, entry in enumerate(package["metrics"]):
        at = fields.below("metrics", index)
        stderr = entry.get("stderr")
        yield Metric(
            category=entry["category"],
            name=entry["name"],
            value=measures.measure(Decimal(entry["value"]), f"{at}.value"),
            unit=entry.get("unit", ""),
            direction=entry["direction"],
            n=int(entry["n"]) if "n" in entry else None,
            stderr=None if stderr is None else measures.measure(Decimal(stderr), f"{at}.stderr"),
            measured_at=measured_at,
        )


@cache
def _schema() -> tuple[dict[str, Any], jsonschema_rs.Draft202012Validator]:
    """Return the published schema and its compiled form."""
    schema = json.loads(SCHEMA_FILE.read_bytes())
    return schema, jsonschema_rs.Draft202012Validator(schema)


def _schema_faults(package: Any) -> Iterator[Fault]:
    """Yield one fault for each place that the schema refuses; the schema's descriptions say what is expected."""
    schema, validator = _schema()
    for error in validator.iter_errors(package):
        at = ""
        for key in error.instance_path:
            at = fields.below(at, key)
        # One path leads to the object in the schema whose keyword refused, through its $refs.
        node = _follow(schema, error.schema_path[:-1])
        match error.kind:
            case jsonschema_rs.ValidationErrorKind.Required(property=name):
                yield Fault(fields.below(at, name), "nothing", _description(schema, node["properties"][name]))
            case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
                only = f"only the keys {', '.join(node['properties'])}"
                yield Fault(at or "document", f"the key {picture(names[0])}", only)
            case _:
                yield Fault(at or "document", picture(error.instance), _description(schema, node))


def _follow(schema: dict[str, Any], path: list[str | int]) -> dict[str, Any]:
    """Return the node at a path in the schema."""
    node: Any = schema
    for step in path:
        node = node[step]
    return node


def _description(schema: dict[str, Any], node: dict[str, Any]) -> str:
    """Return what a node of the schema expects, in words."""
    if "$ref" in node:
        node = _follow(schema, node["$ref"].removeprefix("#/").split("/"))
    return str(node["description"])
