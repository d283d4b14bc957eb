"""Reads the native evaluation package: metrics bound to the identity digest that they were measured on.

This is the format to write when a tool's own report does not say which model it measured. The JSON Schema beside this
file, `schemas/evaluation-package-v1.json`, is the contract and is served to users; its descriptions are the sentences
of the refusals. An example:

    {
      "schema": "https://countersign.dev/schemas/evaluation-package/v1",
      "subject": {
        "identity_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "params": {"temperature": 0, "max_tokens": 256, "seed": 7}
      },
      "tool": {"name": "acme-evals", "version": "3.2.0"},
      "dataset": {"name": "fraud-holdout", "version": "2026-10", "sha256": "…64 hex digits…", "n": 5000},
      "started_at": "2026-11-20T08:00:00Z",
      "finished_at": "2026-11-20T09:30:00Z",
      "author": "ada",
      "metrics": [
        {"category": "quality", "name": "accuracy", "value": "0.913", "direction": "higher", "n": 5000,
         "ci_low": "0.905", "ci_high": "0.921"},
        {"category": "quality", "name": "accuracy", "value": "0.871", "direction": "higher", "n": 310,
         "slice": "merchants in Austria"},
        {"category": "latency", "name": "p95_ms", "value": 212, "unit": "ms", "direction": "lower"}
      ]
    }

What a schema cannot say is said here: nothing finished before it started, nothing lies in the future (five minutes of
clock skew are allowed), no category and name come twice for one slice, and no overall value of a model's answers rests
on fewer samples than the data set is said to have (a part of it is a slice; time and money may be measured on fewer).
Values are exact decimals, rounded to twelve places. `author` is the person responsible: whoever measured a version
cannot approve it.

With `raw_file_sha256` a package speaks for a tool's own report that is attached beside it, as its sidecar: what the
report does not say about its subject is then declared. Its own list of metrics may be empty.
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
from registry.readers.reading import Metric, Named, Reading

SCHEMA = "https://countersign.dev/schemas/evaluation-package/v1"
SCHEMA_FILE = Path(__file__).parent / "schemas" / "evaluation-package-v1.json"
MAX_FAULTS = 20
# What time and money are measured on may be a few requests; what a model answers is measured on all samples.
PARTLY = frozenset({"latency", "cost"})


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
        return read_package(fields.as_mapping(parse(body, max_bytes=self.max_bytes), ""))


def read_package(package: dict[str, Any]) -> Reading:
    """Return what a parsed package says, wherever it was wrapped in. Raises Invalid."""
    # Counted first, because listing the faults of half a million entries would take a minute.
    if (size := len(fields.array(package, "metrics"))) > measures.MAX_METRICS:
        fail("metrics", f"{size:,} metrics", f"at most {measures.MAX_METRICS:,} metrics")
    if faults := list(islice(_schema_faults(package), MAX_FAULTS)):
        raise Invalid(*faults)
    started = fields.moment(package, "started_at", required=True)
    finished = fields.moment(package, "finished_at", required=True)
    fields.in_order(started, finished, "finished_at")
    raw = package.get("raw_file_sha256", "")
    if not package["metrics"] and not raw:
        fail("metrics", "[]", _schema()[0]["properties"]["metrics"]["description"])
    metrics = measures.checked(_metrics(package, finished)) if package["metrics"] else ()
    return Reading(
        kind=EvaluationPackage.kind,
        reader=EvaluationPackage.slug,
        media_type="application/json",
        summary=_summary(package, metrics, started, finished),
        metrics=metrics,
        subject_digests=(package["subject"]["identity_digest"],),
        author=package["author"].strip(),
        measured_at=finished,
        named=_named(package["subject"]),
        reports=(raw,) if raw else (),
    )


def _named(subject: dict[str, Any]) -> tuple[Named, ...]:
    """Return the artifacts and the prompt that the package says were measured."""
    artifacts = subject.get("artifact_sha256", [])
    models = [artifacts] if isinstance(artifacts, str) else artifacts
    prompts = [subject["prompt_sha256"]] if "prompt_sha256" in subject else []
    return tuple(Named("model", (digest,)) for digest in models) + tuple(Named("prompt", (each,)) for each in prompts)


def _summary(
    package: dict[str, Any], metrics: tuple[Metric, ...], started: datetime | None, finished: datetime | None
) -> dict[str, Any]:
    """Return what pages show of a package."""
    told = {key: package[key] for key in ("runner", "raw_file_sha256") if key in package}
    return {
        "format": EvaluationPackage.title,
        "subject": plain(package["subject"]),
        "tool": package["tool"],
        "dataset": plain(package["dataset"]),
        "started_at": started.isoformat() if started else "",
        "finished_at": finished.isoformat() if finished else "",
        "author": package["author"],
        **told,
        "metric_count": len(metrics),
        "metrics": measures.shown(metrics),
    }


def _metrics(package: dict[str, Any], measured_at: datetime | None) -> Iterator[Metric]:
    """Yield each metric of a package that passes the schema."""
    dataset = package["dataset"]
    for index, entry in enumerate(package["metrics"]):
        at = fields.below("metrics", index)
        n = int(entry["n"]) if "n" in entry else None
        sliced = entry.get("slice", "").strip()
        if n is not None and n < dataset["n"] and not sliced and entry["category"] not in PARTLY:
            expected = f"at least the {int(dataset['n']):,} samples of the data set, or the name of a slice of it"
            fail(f"{at}.n", f"{n:,}", expected)
        metric = Metric(
            category=entry["category"],
            name=entry["name"],
            value=measures.measure(Decimal(entry["value"]), f"{at}.value"),
            unit=entry.get("unit", ""),
            direction=entry["direction"],
            n=n,
            stderr=_optional(entry, "stderr", at),
            measured_at=measured_at,
            dataset=dataset["name"].strip(),
            slice=sliced,
            ci_low=_optional(entry, "ci_low", at),
            ci_high=_optional(entry, "ci_high", at),
        )
        yield measures.expect_spread(metric, at)


def _optional(entry: dict[str, Any], key: str, at: str) -> Decimal | None:
    """Return a number that may be left out; it may be written as text, like every value of a package."""
    return measures.measure(Decimal(entry[key]), fields.below(at, key)) if key in entry else None


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
