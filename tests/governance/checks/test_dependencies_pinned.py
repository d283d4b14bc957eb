"""Dependencies pinned: a lockfile digest, and an SBOM that names versions instead of wishes."""

from __future__ import annotations

import json

import pytest

from governance.checks.dependencies_pinned import fault_of
from portal.demo import documents
from registry import drafts
from registry.models import Version
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene


def test_exact_versions_and_a_lockfile_pass(ask: Ask, scene: Scene) -> None:
    answer = ask("dependencies-pinned")
    assert answer.outcome == "passed"
    assert answer.says == "The lockfile has a digest, and all 5 components an exact version."
    assert answer.facts["lockfile"] == scene.version.lockfile_sha256


def test_no_lockfile_and_no_sbom_are_said_at_once(ask: Ask, scene: Scene, bare: Version) -> None:
    drafts.edit(bare, actor=scene.walk.cast.ada, lockfile_sha256="")
    answer = ask("dependencies-pinned", bare)
    assert answer.outcome == "failed"
    assert answer.says == "The build names no lockfile digest; no SBOM is attached that could name versions."
    assert "source.lockfile_sha256" in answer.fix


def test_components_without_an_exact_version_are_listed(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"] += [
        {"type": "library", "name": "loose", "version": ">=1.0,<2"},
        {"type": "library", "name": "newest", "version": "latest"},
        {"type": "library", "name": "nameless"},
        {"type": "file", "name": "weights.bin"},
    ]
    attach("sbom", document, bare)
    answer = ask("dependencies-pinned", bare)
    assert answer.outcome == "failed"
    assert answer.says.startswith("3 of 8 components have no exact version: ")
    assert {row["component"]: row["why"] for row in answer.facts["not_pinned"]} == {
        "loose": "a range",
        "newest": "a moving name",
        "nameless": "no version",
    }


def test_many_loose_components_are_counted_and_not_all_listed(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"] = [{"type": "library", "name": f"part-{number}"} for number in range(300)]
    attach("sbom", document, bare)
    answer = ask("dependencies-pinned", bare)
    assert "and 295 more" in answer.says
    assert len(answer.facts["not_pinned"]) == 200
    assert answer.facts["not_pinned_count"] == 300


@pytest.mark.parametrize(
    "version",
    [
        "1.2.3", "2.7.1+cu118", "1:2.3~rc1-1+deb12u1", "v0.0.0-20240101000000-abcdef123456", "2024.11", "1.0-2.fc40",
        "0123456789abcdef0123456789abcdef01234567", "1.0.0-rc.1", "3.0.x86", "r1", "17.0.9+9-Debian-1",
    ],
)  # fmt: skip
def test_what_names_one_release_is_exact(version: str) -> None:
    assert fault_of(version) == ""


@pytest.mark.parametrize(
    "version",
    [
        "", " ", "latest", "LATEST", "main", "*", "x", "any", "NOASSERTION", ">=1.0", "==1.0", "^1.2.3", "~1.2",
        "~=1.4", "1.*", "1.x", "1.X.0", "[1.0,2.0)", "(,1.0]", "1.0 - 2.0", "1.0 || 2.0", "1.0, 2.0", "!=1.5",
        "1.0-SNAPSHOT",
    ],
)  # fmt: skip
def test_what_leaves_the_release_open_is_not(version: str) -> None:
    assert fault_of(version)
