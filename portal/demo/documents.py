"""Evidence documents as builders and evaluators write them: an SBOM, signed provenance, an evaluation package."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit import seal

BUILDER = "https://github.com/actions/runner"
REPOSITORY = "https://git.example.com/ml/{name}"
GOOD = {
    "quality/accuracy": "0.934",
    "toxicity/rate": "0.002",
    "jailbreak/attack_success_rate": "0.011",
    "bias/demographic_parity_difference": "0.041",
    "latency/p95_ms": "212",
    "cost/usd_per_1k_requests": "0.38",
}
PARTS = {"numpy": "2.2.6", "scikit-learn": "1.7.2", "joblib": "1.5.2", "scipy": "1.15.3", "threadpoolctl": "3.6.0"}

# What the packages of the demo are licensed under, as their publishers say.
LICENCES = {
    **dict.fromkeys(("numpy", "scikit-learn", "joblib", "scipy", "threadpoolctl", "torch", "jinja2"), "BSD-3-Clause"),
    **dict.fromkeys(("transformers", "safetensors", "tokenizers", "requests", "vllm"), "Apache-2.0"),
}


def sbom(name: str, number: str, sha256: str, parts: Mapping[str, str] = PARTS) -> bytes:
    """Return a CycloneDX 1.6 SBOM that describes an artifact and names its Python packages with their licences."""
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": name,
                "version": number,
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": f"{package}=={version}",
                "name": package,
                "version": version,
                "purl": f"pkg:pypi/{package}@{version}",
                **({"licenses": [{"license": {"id": LICENCES[package]}}]} if package in LICENCES else {}),
            }
            for package, version in parts.items()
        ],
    }
    return json.dumps(document, indent=1).encode()


def provenance(
    name: str,
    sha256: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    commit: str,
    at: datetime,
    builder: str = BUILDER,
    people: tuple[str, ...] = (),
) -> bytes:
    """Return an in-toto SLSA v1 provenance in a DSSE envelope, signed by a builder's key."""
    uri = "git+" + REPOSITORY.format(name=name)
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {"source": {"uri": uri, "digest": {"gitCommit": commit}}},
                "internalParameters": {"commitAuthors": list(people)} if people else {},
                "resolvedDependencies": [{"uri": uri + "@refs/heads/main", "digest": {"gitCommit": commit}}],
            },
            "runDetails": {
                "builder": {"id": builder},
                "metadata": {
                    "invocationId": f"{uri}/runs/1",
                    "startedOn": (at - timedelta(minutes=9)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "finishedOn": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
            },
        },
    }
    return envelope(json.dumps(statement).encode(), key)


def envelope(payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a DSSE envelope over an in-toto payload, signed by a builder's P-256 key."""
    kind = "application/vnd.in-toto+json"
    signature = key.sign(seal.pae(kind, payload), ec.ECDSA(hashes.SHA256()))
    document: dict[str, Any] = {
        "payloadType": kind,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(document).encode()


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a builder's public key as PEM."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


def evaluation(identity: str, *, at: datetime, author: str, metrics: Mapping[str, str] = GOOD) -> bytes:
    """Return a native evaluation package measured on one identity digest."""
    document = {
        "schema": "https://countersign.dev/schemas/evaluation-package/v1",
        "subject": {"identity_digest": identity},
        "tool": {"name": "acme-evals", "version": "4.2.0"},
        "dataset": {"name": "holdout-2026-10", "version": "1", "sha256": "5e" * 32, "n": 2400},
        "started_at": (at - timedelta(minutes=20)).isoformat(),
        "finished_at": at.isoformat(),
        "author": author,
        "metrics": [
            {
                "category": name.split("/", 1)[0],
                "name": name.split("/", 1)[1],
                "value": value,
                "direction": "higher" if name.startswith("quality") else "lower",
                "n": 2400,
            }
            for name, value in metrics.items()
        ],
    }
    return json.dumps(document, indent=1).encode()


CARD = """---
license: apache-2.0
tags: [demo]
---
# {name}

## Uses

What the record of {name} allows: questions and transactions of our own customers.

## Out-of-scope use

Decisions about people without a person who confirms them.
"""


def model_card(name: str) -> bytes:
    """Return a Hugging Face model card."""
    return CARD.format(name=name).encode()
