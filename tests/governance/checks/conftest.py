"""What every test of a check does: put its question about a version, under the shipped policy or a changed rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import pytest
from django.utils import timezone

from governance.checks import BY_SLUG, Answer, Dossier
from registry import dossier, evidence
from registry.models import Evidence, Version
from tests.factories import artifacts
from tests.scene import Scene


class Ask(Protocol):
    """Puts a check's question and returns the answer; keywords change the policy's rule."""

    def __call__(
        self, slug: str, version: Version | None = None, *, at: datetime | None = None, **rule: Any
    ) -> Answer: ...


@pytest.fixture
def ask(scene: Scene) -> Ask:
    """Ask about the scene's candidate, or about another version."""

    def asked(slug: str, version: Version | None = None, *, at: datetime | None = None, **rule: Any) -> Answer:
        version = Version.objects.get(pk=(version or scene.version).pk)
        merged = {**scene.walk.cast.policy.rule(slug), **rule}
        answer = BY_SLUG[slug].examine(Dossier(version, dossier.picture(version), at or timezone.now()), merged)
        json.dumps(dict(answer.facts))
        assert answer.says
        assert answer.outcome not in {"failed", "error"} or answer.fix
        return answer

    return asked


class Attach(Protocol):
    """Attaches one document to a version as CI does."""

    def __call__(self, kind: str, body: bytes | Mapping[str, Any], version: Version | None = None) -> Evidence: ...


@pytest.fixture
def attach(scene: Scene) -> Attach:
    """Attach to the scene's candidate, or to another version."""
    names = {"sbom": "sbom.cdx.json", "provenance": "provenance.dsse.json", "evaluation": "evaluation.json"}

    def attached(kind: str, body: bytes | Mapping[str, Any], version: Version | None = None) -> Evidence:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        version = version or scene.version
        return evidence.attach(version, actor=scene.walk.cast.cee_i, kind=kind, filename=names[kind], body=content)

    return attached


@pytest.fixture
def bare(scene: Scene) -> Version:
    """Return a complete version with no evidence at all."""
    return scene.walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2))
