"""The sample documents, and builders of small documents that tests then break in one place."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
ARTIFACT = "126afc844360ecd5b66641f9da0de7fe3a10bd3840efbb9a5ef3b9081db64e18"
COMMIT = "a" * 40


def sample(name: str) -> bytes:
    """Return the bytes of a sample file."""
    return (SAMPLES / name).read_bytes()


def as_body(document: Any) -> bytes:
    """Return a value as JSON bytes."""
    return json.dumps(document).encode()


def bom(*components: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a small CycloneDX document."""
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": list(components), **members}


def component(name: str, **members: Any) -> dict[str, Any]:
    """Return a small CycloneDX component."""
    return {"type": "library", "name": name, **members}


def provenance(**changes: Any) -> dict[str, Any]:
    """Return a SLSA v1 predicate with whole parts replaced: external, internal, metadata, dependencies, builder."""
    dependency = {"uri": "git+https://git.example/risk/fraud@refs/heads/main", "digest": {"gitCommit": COMMIT}}
    return {
        "buildDefinition": {
            "buildType": "https://ci.example/train/v1",
            "externalParameters": changes.get("external", {"source": {"uri": "git+https://git.example/risk/fraud"}}),
            "internalParameters": changes.get("internal", {}),
            "resolvedDependencies": changes.get("dependencies", [dependency]),
        },
        "runDetails": {
            "builder": changes.get("builder", {"id": "https://ci.example/builders/train"}),
            "metadata": changes.get("metadata", {"invocationId": "run-7"}),
        },
    }


def statement(predicate: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return an in-toto statement about the sample artifact."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model.safetensors", "digest": {"sha256": ARTIFACT}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": predicate,
        **members,
    }


def envelope(content: Any, **members: Any) -> bytes:
    """Return a DSSE envelope around a statement; its signature is no real one, because no reader verifies it."""
    document = {
        "payload": base64.b64encode(as_body(content)).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "k", "sig": base64.b64encode(b"signature").decode()}],
        **members,
    }
    return as_body(document)


def metric(name: str = "accuracy", **members: Any) -> dict[str, Any]:
    """Return one metric of a native evaluation package."""
    return {"category": "quality", "name": name, "value": "0.913", "direction": "higher", **members}


def package(metrics: Iterable[dict[str, Any]] = (), **members: Any) -> dict[str, Any]:
    """Return a native evaluation package."""
    return {
        "schema": "https://countersign.dev/schemas/evaluation-package/v1",
        "subject": {"identity_digest": ARTIFACT},
        "tool": {"name": "acme-evals", "version": "3.2.0"},
        "dataset": {"name": "fraud-holdout", "version": "2026-10", "sha256": "b" * 64, "n": 5000},
        "started_at": "2026-01-20T08:00:00Z",
        "finished_at": "2026-01-20T10:30:00+01:00",
        "author": "ada",
        "metrics": list(metrics) or [metric()],
        **members,
    }
