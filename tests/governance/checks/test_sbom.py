"""SBOM: the newest one has to describe this very artifact."""

from __future__ import annotations

import json

import pytest

from portal.demo import documents
from portal.errors import Invalid
from registry.models import Version
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene


def test_an_sbom_of_this_artifact_passes(ask: Ask, scene: Scene) -> None:
    answer = ask("sbom")
    assert answer.outcome == "passed"
    assert answer.says == "Describes this artifact; 5 of 5 components identifiable."
    assert answer.facts["evidence"]


def test_no_sbom_fails(ask: Ask, bare: Version) -> None:
    answer = ask("sbom", bare)
    assert answer.outcome == "failed"
    assert answer.says == "No SBOM is attached."


def test_an_sbom_of_another_artifact_fails(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    attach("sbom", documents.sbom("fraud-scorer", "1.1.0", scene.version.artifact_sha256), bare)
    answer = ask("sbom", bare)
    assert answer.outcome == "failed"
    assert scene.version.artifact_sha256[:12] in answer.says
    assert bare.identity_digest[:12] in answer.says


def test_the_newest_sbom_counts_even_when_an_older_one_was_right(ask: Ask, attach: Attach) -> None:
    attach("sbom", documents.sbom("fraud-scorer", "1.0.0", "cd" * 32))
    assert ask("sbom").outcome == "failed"


def test_an_sbom_that_names_no_artifact_fails(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    del document["metadata"]["component"]["hashes"]
    attach("sbom", document, bare)
    answer = ask("sbom", bare)
    assert answer.outcome == "failed"
    assert "no artifact at all" in answer.says


@pytest.mark.parametrize(
    "body", [b"{}", b"not json", b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": {}}']
)
def test_a_broken_sbom_is_not_even_attached(ask: Ask, attach: Attach, bare: Version, body: bytes) -> None:
    with pytest.raises(Invalid):
        attach("sbom", body, bare)
    assert ask("sbom", bare).says == "No SBOM is attached."


def test_components_that_nobody_can_identify_are_counted(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    del document["components"][0]["purl"]
    attach("sbom", document, bare)
    assert ask("sbom", bare).says == "Describes this artifact; 4 of 5 components identifiable."
