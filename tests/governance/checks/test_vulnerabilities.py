"""Vulnerabilities: open findings at or above the policy's severity, and never green for want of knowledge."""

from __future__ import annotations

import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import advisories, findings, policy
from governance.checks import BY_SLUG
from governance.models import AdvisoryImport, Finding
from portal.demo import documents
from registry.models import User, Version
from tests import policies
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
        finding.triage = "not_affected"
        finding.save(update_fields=["triage"])
    assert ask("vulnerabilities").outcome == "passed"


def test_an_acceptance_lets_it_pass_until_it_ends_and_then_blocks_by_itself(ask: Ask, known: Any, scene: Scene) -> None:
    known(osv("GHSA-1111-numpy-bad", "numpy", fixed="2.3.0"))
    finding = Finding.objects.get(version=scene.version)
    until = timezone.now() + timedelta(days=30)
    with log.record(Event.FINDING_TRIAGED, actor=scene.walk.cast.rhea, subject=finding, status="accepted"):
        finding.triage, finding.accepted_until = "accepted", until
        finding.save(update_fields=["triage", "accepted_until"])
    answer = ask("vulnerabilities")
    assert (answer.outcome, answer.valid_until, answer.facts["triaged"]) == ("passed", until, {"Accepted": 1})
    late = ask("vulnerabilities", at=until)
    assert (late.outcome, late.valid_until, late.facts["open"]) == ("failed", None, 1)


def test_a_policy_can_say_what_an_unknown_severity_counts_as(ask: Ask, known: Any) -> None:
    known(osv("GHSA-2222-scipy-bad", "scipy", fixed="99.0", severity="UNHEARD OF"))
    assert ask("vulnerabilities", block="critical", unknown="critical").outcome == "failed"
    assert "of unknown severity" in ask("vulnerabilities", block="critical", unknown="critical").says
    assert ask("vulnerabilities", block="high", unknown="medium").outcome == "passed"


def test_advisories_that_are_too_old_for_the_policy_say_nothing(ask: Ask) -> None:
    [used] = ask("vulnerabilities").facts["imports"]
    assert used["ecosystem"] == "PyPI"
    imported = AdvisoryImport.objects.latest("pk").imported_at
    fresh = ask("vulnerabilities", advisories_max_age_days=7)
    assert (fresh.outcome, fresh.valid_until) == ("passed", imported + timedelta(days=7))
    late = ask("vulnerabilities", at=imported + timedelta(days=7), advisories_max_age_days=7)
    assert late.outcome == "failed"
    assert "the policy allows 7 days" in late.says
    assert late.valid_until is None


def inputs(scene: Scene) -> Any:
    """Return what the answer depends on beyond the dossier."""
    return seal.plain(BY_SLUG["vulnerabilities"].outside(scene.version))


def test_an_import_that_touches_no_package_of_a_version_leaves_its_answer_as_it_is(
    scene: Scene, tmp_path: Path
) -> None:
    findings.rematch_due()
    before = inputs(scene)
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-3333-other", "something-else", fixed="2.0"))
    assert inputs(scene) == before
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-1111-numpy-bad", "numpy", fixed="2.0"))
    assert inputs(scene) != before
    findings.rematch_due()
    # It was looked at and nothing was found: what was answered before is still the answer.
    assert inputs(scene) == before
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-2222-scipy-bad", "scipy", fixed="99.0", severity="LOW"))
    findings.rematch_due()
    assert inputs(scene) != before


def test_an_answer_changes_with_the_age_that_some_policy_allows_and_with_nothing_else_of_an_import(
    scene: Scene, tmp_path: Path
) -> None:
    content = policy.read((policy.FOLDER / "default.yaml").read_text())
    content["rules"]["vulnerabilities"]["advisories_max_age_days"] = 7
    policies.publish(content, scene.walk.cast)
    findings.rematch_due()
    before = inputs(scene)
    with time_machine.travel(timezone.now() + timedelta(days=6)):
        assert inputs(scene) == before
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        assert inputs(scene) == {**before, "outdated": [7]}
        import_advisories(scene.walk.cast, tmp_path, osv("GHSA-3333-other", "something-else", fixed="2.0"))
        assert inputs(scene) == before


def test_what_changes_a_finding_gets_the_check_asked_again(scene: Scene, tmp_path: Path) -> None:
    scene.walk.submit(scene.version, "staging")
    runs = scene.version.check_runs.filter(check_slug="vulnerabilities")
    assert runs.count() == 1
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-3333-other", "something-else", fixed="2.0"))
    scene.walk.work()
    assert runs.count() == 1
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-1111-numpy-bad", "numpy", fixed="2.3.0"))
    scene.walk.work()
    assert [run.outcome for run in runs] == ["failed", "passed"]
    scene.walk.work()
    assert runs.count() == 2


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


def test_a_package_of_a_distribution_is_covered_by_the_advisories_of_that_distribution_only(
    ask: Ask, attach: Attach, bare: Version, scene: Scene, tmp_path: Path
) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    purls = ["pkg:deb/debian/bash@5.2?distro=debian-12", "pkg:huggingface/bert@1.0", ""]
    document["components"] += [
        {"type": "library", "name": f"part-{place}", **({"purl": purl} if purl else {})}
        for place, purl in enumerate(purls)
    ]
    attach("sbom", document, bare)

    def take(ecosystem: str) -> Any:
        record = osv(f"OSV-{ecosystem[:6]}", "bash", fixed="5.1")
        record["affected"][0]["package"]["ecosystem"] = ecosystem
        path = tmp_path / f"{ecosystem[:6]}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("one.json", json.dumps(record))
            archive.writestr("two.json", json.dumps({**record, "id": "OSV-GIT", "affected": [{"ranges": []}]}))
        advisories.import_zip(path, ecosystem=ecosystem, actor=scene.walk.cast.alma)
        findings.rematch(bare, actor=User.objects.system("runner"))
        return ask("vulnerabilities", bare)

    answer = take("Ubuntu:22.04")
    assert answer.outcome == "failed"
    assert "for the package types deb/debian, which" in answer.says
    answer = take("Debian:12")
    assert answer.outcome == "passed"
    assert answer.says.endswith("2 of 8 components are not covered by any advisories.")
    assert answer.facts["not_covered"] == {"without a package URL": 1, "huggingface": 1}
    used = {each["ecosystem"]: each["not_covered"] for each in answer.facts["imports"]}
    assert set(used) == {"PyPI", "Debian:12"}
    assert used["Debian:12"].startswith("1 records name only git commits")


def test_a_version_that_cannot_be_compared_counts_as_affected(
    ask: Ask, attach: Attach, bare: Version, scene: Scene, tmp_path: Path
) -> None:
    attach("sbom", documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256, {"numpy": "our-own-build"}), bare)
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-1111-numpy-bad", "numpy", fixed="2.3.0"))
    findings.rematch(bare, actor=User.objects.system("runner"))
    answer = ask("vulnerabilities", bare)
    assert answer.outcome == "failed"
    assert answer.says.startswith(
        "1 to be looked at, because the version could not be compared: GHSA-1111-numpy-bad in"
    )
    assert answer.facts["review"] == ["GHSA-1111-numpy-bad in pkg:pypi/numpy@our-own-build"]
