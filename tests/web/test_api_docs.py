"""What is written about the API is what is there: the table, the digest by hand, the OpenAPI page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from portal.api import api
from portal.http import Bearer
from registry.models import Component
from tests.factories import Walk, artifacts

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
ROW = re.compile(r"^\| (GET|POST) \| (\S+) \| ([^|]+) \|", re.MULTILINE)


def operations() -> set[tuple[str, str, str]]:
    """Return (method, path, scopes) of every operation, as OpenAPI and the guards have them."""
    found = set()
    for _, router in api._routers:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                guards = [guard for guard in operation.auth_callbacks if isinstance(guard, Bearer)]
                scopes = " or ".join(guards[0].scope.split("|")) if guards else "(anybody)"
                for method in operation.methods:
                    found.add((method, re.sub(r"\{\w+:(\w+)\}", r"{\1}", path), scopes))
    return found


def test_the_table_names_every_endpoint_with_its_scopes() -> None:
    written = {
        (method, path, " or ".join(re.split(r", | or ", scopes.strip()))) for method, path, scopes in ROW.findall(TEXT)
    }
    assert written == operations()
    assert len(written) > 10


def test_every_endpoint_has_a_guard_but_the_keys() -> None:
    assert {path for _, path, scopes in operations() if scopes == "(anybody)"} == {"/keys"}


def test_the_digest_by_hand_is_the_portals(walk: Walk) -> None:
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code
    names: dict[str, Any] = {}
    exec(code.group(1), names)  # the documentation's own lines
    base = walk.candidate("small-llm", "1.0.0", artifacts.language_model(1), suffix="safetensors")
    parts = [{"role": "base", "version": base.label}, {"role": "member", "version": base.label}]
    lone = walk.register("lone", "1.0.0", artifacts.scorer(1), components=parts[:1])
    bundle = walk.register("assistant", "1.0.0", None, kind="bundle", components=parts)
    mixed = walk.register("mixed", "1.0.0", artifacts.scorer(2), kind="bundle", components=parts[1:])
    for version in (lone, bundle, mixed):
        edges = Component.objects.filter(version=version).exclude(role="base")
        parts_of = [(edge.role, edge.part.identity_digest) for edge in edges]
        assert names["identity_digest"](version.artifact_sha256, parts_of) == version.identity_digest
    assert len({lone.identity_digest, bundle.identity_digest, mixed.identity_digest}) == 3


@pytest.mark.django_db
def test_openapi_is_there_for_people_and_machines() -> None:
    schema = Client().get("/api/v1/openapi.json").json()
    listed = {
        (method.upper(), path.removeprefix("/api/v1")) for path, each in schema["paths"].items() for method in each
    }
    assert listed == {(method, path) for method, path, _ in operations()}
    page = Client().get("/api/v1/docs")
    assert page.status_code == 200
    assert b"https://" not in page.content
    assert re.findall(rb"<script(?![^>]* (?:src|type=\"application/json\"))", page.content) == []
