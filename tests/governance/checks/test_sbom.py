"""SBOM: the newest one has to describe this very artifact."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portal.demo import documents
from portal.errors import Invalid
from registry.models import Version
from tests.governance.checks.conftest import Ask, Attach
from tests.registry.readers.samples import ARTIFACT, sample
from tests.scene import Scene

# One document of each format about the same model, with where its format says what it is about.
FORMATS = {
    "ml-bom.cdx.json": ("CycloneDX 1.6", "1.6", "cyclonedx", "metadata.component.hashes"),
    "model.spdx.json": ("SPDX 2.3", "2.3", "spdx", "a SHA256 checksum of the package that the document DESCRIBES"),
    "model.spdx": ("SPDX 2.3", "2.3", "spdx-tag-value", "a PackageChecksum: SHA256 of the package"),
    "model.spdx3.json": ("SPDX 3.0.1", "3.0.1", "spdx3", "a sha256 Hash in verifiedUsing of the SBOM's root element"),
}


def about(name: str, version: Version) -> bytes:
    """Return a sample that describes a version instead of the sample model."""
    return sample(name).replace(ARTIFACT.encode(), version.artifact_sha256.encode())


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


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_passes_when_it_is_about_this_artifact(ask: Ask, attach: Attach, bare: Version, name: str) -> None:
    row = attach("sbom", about(name, bare), bare)
    answer = ask("sbom", bare)
    assert answer.outcome == "passed", answer.says
    assert "components identifiable" in answer.says
    said, spec, reader, _ = FORMATS[name]
    assert (answer.facts["format"], answer.facts["spec_version"], answer.facts["reader"]) == (said, spec, reader)
    assert (answer.facts["evidence"], answer.facts["subject"]) == (row.sha256, [bare.artifact_sha256])
    assert answer.facts["components"] == row.sbom_components.count()
    assert answer.tool == f"countersign reader {reader}"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_about_another_artifact_fails_and_says_where_the_digest_belongs(
    ask: Ask, attach: Attach, bare: Version, name: str
) -> None:
    attach("sbom", sample(name), bare)
    answer = ask("sbom", bare)
    assert answer.outcome == "failed"
    assert f"describes {ARTIFACT[:12]}…, not this artifact ({bare.identity_digest[:12]}…)" in answer.says
    assert FORMATS[name][3] in answer.fix
    assert bare.artifact_sha256 in answer.fix
    assert answer.facts["describes_this_artifact"] is False


def test_an_sbom_that_names_no_artifact_fails(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    del document["metadata"]["component"]["hashes"]
    attach("sbom", document, bare)
    answer = ask("sbom", bare)
    assert answer.outcome == "failed"
    assert answer.says == "The SBOM sbom.cdx.json does not say which artifact it describes."
    assert answer.facts["subject"] == []


@pytest.mark.parametrize(
    "body", [b"{}", b"not json", b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": {}}']
)
def test_a_broken_sbom_is_not_even_attached(ask: Ask, attach: Attach, bare: Version, body: bytes) -> None:
    with pytest.raises(Invalid):
        attach("sbom", body, bare)
    assert ask("sbom", bare).says == "No SBOM is attached."


def test_components_that_nobody_can_identify_are_counted(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"][0] |= {"cpe": "cpe:2.3:a:numpy:numpy:2.2.6:*:*:*:*:*:*:*"}
    del document["components"][0]["purl"]
    attach("sbom", document, bare)
    answer = ask("sbom", bare)
    assert answer.says == (
        "Describes this artifact; 4 of 5 components identifiable (1 with only a CPE, which is not matched)."
    )
    assert (answer.facts["identifiable"], answer.facts["cpe_only"], answer.facts["percent"]) == (4, 1, 80)


@pytest.mark.parametrize(("least", "outcome"), [(0, "passed"), (80, "passed"), (81, "failed"), (100, "failed")])
def test_the_policy_may_ask_how_much_can_be_looked_up(
    ask: Ask, attach: Attach, bare: Version, least: int, outcome: str
) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    del document["components"][0]["purl"]
    attach("sbom", document, bare)
    answer = ask("sbom", bare, min_identifiable_percent=least)
    assert answer.outcome == outcome
    assert answer.facts["min_identifiable_percent"] == least
    if outcome == "failed":
        assert answer.says == (
            f"Describes this artifact, but 4 of 5 components identifiable; the policy asks for {least} %."
        )
        assert "package URL" in answer.fix


@pytest.mark.parametrize(("rule", "outcome"), [({}, "passed"), ({"min_identifiable_percent": 1}, "failed")])
def test_an_sbom_without_components_hides_nothing_from_a_policy_that_asks_for_some(
    ask: Ask, attach: Attach, bare: Version, rule: dict[str, Any], outcome: str
) -> None:
    attach("sbom", documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256, parts={}), bare)
    answer = ask("sbom", bare, **rule)
    assert answer.outcome == outcome
    assert "it names no components" in answer.says


def test_a_component_without_a_version_cannot_be_looked_up(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"][0] |= {"purl": "pkg:pypi/numpy"}
    del document["components"][0]["version"]
    attach("sbom", document, bare)
    assert ask("sbom", bare).facts["identifiable"] == 4


def test_the_question_names_both_formats(ask: Ask, bare: Version) -> None:
    answer = ask("sbom", bare)
    assert "CycloneDX JSON 1.2 to 1.7, SPDX 2.2 or 2.3 in JSON or tag-value, or SPDX 3.0.1" in answer.fix
    assert answer.facts["artifact"] == [bare.artifact_sha256]
