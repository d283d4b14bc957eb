"""Vulnerabilities: open findings at or above the policy's severity, and never green for want of knowledge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit import log
from audit.events import Event
from governance import findings
from governance.models import Finding
from portal.demo import documents
from registry.models import User, Version
from tests.factories import import_advisories, osv
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene


@pytest.fixture
def known(scene: Scene, tmp_path: Path) -> Any:
    """Import advisories and match the scene's candidate again, as the worker does before it asks."""

    def imported(*records: dict[str, Any]) -> None:
        import_advisories(scene.walk.cast, tmp_path, *records)
        findings.rematch(scene.version, actor=User.objects.system("runner"))

    return imported


def test_an_sbom_without_known_vulnerabilities_passes(ask: Ask) -> None:
    answer = ask("vulnerabilities")
    assert answer.outcome == "passed"
    assert answer.facts["open"] == 0
    assert answer.facts["components"] == 5
    assert answer.tool_version.startswith("import ")


def test_an_open_critical_finding_fails_and_names_the_way_out(ask: Ask, known: Any) -> None:
    known(osv("GHSA-1111-numpy-bad", "numpy", fixed="2.3.0"))
    answer = ask("vulnerabilities")
    assert answer.outcome == "failed"
    assert "GHSA-1111-numpy-bad in pkg:pypi/numpy@2.2.6, fixed in 2.3.0" in answer.says


def test_a_fixed_version_is_not_affected(ask: Ask, known: Any) -> None:
    known(osv("GHSA-1111-numpy-bad", "numpy", fixed="2.2.6"))
    assert ask("vulnerabilities").outcome == "passed"


@pytest.mark.parametrize(
    ("severity", "block", "outcome"),
    [
        ("HIGH", "critical", "passed"),
        ("HIGH", "high", "failed"),
        ("MODERATE", "high", "passed"),
        ("LOW", "low", "failed"),
        ("UNHEARD OF", "high", "failed"),
        ("UNHEARD OF", "critical", "passed"),
    ],
)
def test_the_policy_draws_the_line(ask: Ask, known: Any, severity: str, block: str, outcome: str) -> None:
    known(osv("GHSA-2222-scipy-bad", "scipy", fixed="99.0", severity=severity))
    answer = ask("vulnerabilities", block=block)
    assert answer.outcome == outcome
    assert answer.facts["open"] == 1


def test_a_triaged_finding_no_longer_blocks(ask: Ask, known: Any, scene: Scene) -> None:
    known(osv("GHSA-1111-numpy-bad", "numpy", fixed="2.3.0"))
    finding = Finding.objects.get(version=scene.version)
    with log.record(Event.FINDING_OPENED, actor=scene.walk.cast.rhea, subject=finding):
        finding.triage, finding.triage_reason = "not_affected", "The function is never called."
        finding.save(update_fields=["triage", "triage_reason"])
    assert ask("vulnerabilities").outcome == "passed"


def test_no_sbom_is_not_harmless(ask: Ask, bare: Version) -> None:
    answer = ask("vulnerabilities", bare)
    assert answer.outcome == "failed"
    assert "No SBOM is attached" in answer.says


def test_package_types_that_no_advisory_covers_are_not_harmless(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"].append(
        {"type": "library", "name": "left-pad", "version": "1.0", "purl": "pkg:npm/left-pad@1.0"}
    )
    attach("sbom", document, bare)
    answer = ask("vulnerabilities", bare)
    assert answer.outcome == "failed"
    assert "npm" in answer.says


def test_a_version_that_cannot_be_compared_counts_as_affected(
    ask: Ask, attach: Attach, bare: Version, scene: Scene, tmp_path: Path
) -> None:
    attach("sbom", documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256, {"numpy": "our-own-build"}), bare)
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-1111-numpy-bad", "numpy", fixed="2.3.0"))
    findings.rematch(bare, actor=User.objects.system("runner"))
    answer = ask("vulnerabilities", bare)
    assert answer.outcome == "failed"
    assert "version could not be compared" in answer.says
