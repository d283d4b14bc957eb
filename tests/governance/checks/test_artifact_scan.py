"""Artifact scan: what the scanner says becomes the answer, and what it cannot say is never green."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from registry.models import Version
from tests.factories import artifacts
from tests.governance.checks.conftest import Ask
from tests.scene import Scene


def file_of(version: Version) -> Path:
    return Path(urlsplit(version.storage_uri).path)


def test_a_format_without_code_passes(ask: Ask, scene: Scene) -> None:
    model = scene.walk.register("credit-llm", "1.0.0", artifacts.language_model(1), suffix="safetensors")
    answer = ask("artifact-scan", model)
    assert answer.outcome == "passed"
    assert answer.facts["sha256"] == model.artifact_sha256
    assert "safetensors" in answer.says
    assert answer.tool_version


def test_a_pickle_that_would_call_the_system_fails(ask: Ask, scene: Scene) -> None:
    harmful = scene.walk.register("ticket-tagger", "0.1.0", artifacts.harmful_pickle(), suffix="pkl")
    answer = ask("artifact-scan", harmful)
    assert answer.outcome == "failed"
    assert "posix" in answer.says
    assert answer.facts["verdict"] == "rejected"


@pytest.mark.parametrize(
    ("suffix", "body"),
    [
        ("safetensors", artifacts.language_model(1)[:-100]),
        ("safetensors", b"\xff" * 64),
        ("joblib", artifacts.scorer(1)[:200]),
        ("onnx", b"\x00\x01not an onnx graph"),
        ("zip", b"PK\x03\x04 broken"),
        ("bin", b""),
    ],
)
def test_a_file_that_is_broken_is_not_green(ask: Ask, scene: Scene, suffix: str, body: bytes) -> None:
    broken = scene.walk.register("broken-model", "1.0.0", body, suffix=suffix)
    assert ask("artifact-scan", broken).outcome in {"failed", "error"}


def test_other_bytes_than_the_registered_ones_fail_however_harmless(ask: Ask, scene: Scene) -> None:
    model = scene.walk.register("credit-llm", "1.0.0", artifacts.language_model(1), suffix="safetensors")
    file_of(model).write_bytes(artifacts.language_model(2))
    answer = ask("artifact-scan", model)
    assert answer.outcome == "failed"
    assert "not to the registered sha256" in answer.says


def test_bytes_that_nobody_can_read_are_an_error(ask: Ask, scene: Scene) -> None:
    model = scene.walk.register("credit-llm", "1.0.0", artifacts.language_model(1), suffix="safetensors")
    file_of(model).unlink()
    answer = ask("artifact-scan", model)
    assert answer.outcome == "error"
    assert "could not be read" in answer.says


def test_a_bundle_of_parts_holds_no_file(ask: Ask, scene: Scene) -> None:
    parts = [{"role": "member", "version": scene.version.label}]
    bundle = scene.walk.register("fraud-desk", "1.0.0", None, kind="bundle", components=parts)
    assert ask("artifact-scan", bundle).outcome == "not_applicable"
