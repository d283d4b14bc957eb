"""Checksum: the registered bytes are the bytes that are there, or somebody trusted has said so."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from portal.demo import documents
from portal.demo.walk import COMMIT
from registry import drafts
from registry.models import Version
from tests.factories import artifacts
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene


def file_of(version: Version) -> Path:
    return Path(urlsplit(version.storage_uri).path)


@pytest.fixture
def registered(scene: Scene) -> Version:
    """Return a draft with a file of its own, which a test may spoil."""
    return scene.walk.register("fraud-scorer", "1.2.0", artifacts.scorer(3))


def test_the_registered_bytes_pass(ask: Ask, registered: Version) -> None:
    answer = ask("checksum", registered)
    assert answer.outcome == "passed"
    assert answer.facts["seen"] == registered.artifact_sha256
    assert answer.facts["size"] == registered.artifact_size


def test_one_changed_byte_fails_and_both_digests_are_named(ask: Ask, registered: Version) -> None:
    path = file_of(registered)
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    answer = ask("checksum", registered)
    assert answer.outcome == "failed"
    assert registered.artifact_sha256 in answer.says
    assert answer.facts["seen"] in answer.says
    assert "ask again" in answer.fix


def test_an_appended_byte_fails(ask: Ask, registered: Version) -> None:
    with file_of(registered).open("ab") as file:
        file.write(b"\0")
    assert ask("checksum", registered).outcome == "failed"


def test_another_size_for_the_same_bytes_fails(ask: Ask, scene: Scene, registered: Version) -> None:
    drafts.edit(registered, actor=scene.walk.cast.ada, artifact_size=1)
    assert ask("checksum", registered).outcome == "failed"


def test_bytes_that_nobody_can_read_are_an_error(ask: Ask, registered: Version) -> None:
    file_of(registered).unlink()
    answer = ask("checksum", registered)
    assert answer.outcome == "error"
    assert "could not be read" in answer.says
    assert registered.storage_uri in answer.fix


def test_a_link_out_of_the_artifact_folders_is_not_followed(ask: Ask, registered: Version) -> None:
    path = file_of(registered)
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert ask("checksum", registered).outcome == "error"


def test_trusted_provenance_speaks_for_bytes_that_are_elsewhere(
    ask: Ask, attach: Attach, scene: Scene, registered: Version
) -> None:
    drafts.edit(registered, actor=scene.walk.cast.ada, storage_uri="hf://acme/fraud-scorer@main/model.joblib")
    assert ask("checksum", registered).outcome == "error"
    told = {"commit": COMMIT, "at": timezone.now()}
    attach("provenance", documents.provenance("other", "ab" * 32, scene.walk.builder, **told), registered)
    assert ask("checksum", registered).outcome == "error"
    body = documents.provenance("fraud-scorer", registered.artifact_sha256, scene.walk.builder, **told)
    attach("provenance", body, registered)
    answer = ask("checksum", registered)
    assert answer.outcome == "passed"
    assert answer.facts["attested_by"] == "CI builder 2026"


def test_a_bundle_of_parts_has_no_bytes_of_its_own(ask: Ask, scene: Scene) -> None:
    parts = [{"role": "member", "version": scene.version.label}]
    bundle = scene.walk.register("fraud-desk", "1.0.0", None, kind="bundle", components=parts)
    assert ask("checksum", bundle).outcome == "not_applicable"
