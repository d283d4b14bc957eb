"""Findings follow the SBOM and the advisories: opened, closed, opened again, renamed; what people said stays said."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from audit import log
from audit.events import Event
from audit.models import Entry
from governance import advisories, findings, lifecycle, sweeps
from governance.models import CheckRequest, Finding, TouchedPackage
from governance.models.findings import Triage
from registry import evidence
from registry.models import User, Version
from tests.factories import artifacts, documents, import_advisories, osv
from tests.scene import Scene
from tests.web.services import count_rows


@pytest.fixture
def version(scene: Scene) -> Version:
    """Return a draft whose SBOM names numpy 2.2.6 among others."""
    draft = scene.walk.register("tagger", "1.0.0", artifacts.scorer(2))
    return scene.walk.attach_all(draft, without=("provenance", "evaluation", "model-card"))


def advise(scene: Scene, folder: Path, *records: dict[str, Any]) -> None:
    import_advisories(scene.walk.cast, folder, *records)


def rematch(version: Version) -> list[Finding]:
    return findings.rematch(version, actor=User.objects.system("runner"))


def triage(finding: Finding, answer: Triage, scene: Scene) -> None:
    """Write what security answered, as its page will."""
    with log.record(Event.FINDING_OPENED, actor=scene.walk.cast.rhea, subject=finding):
        finding.triage = answer
        finding.save()


def state(finding: Finding) -> tuple[str, bool]:
    """Return the triage, and whether the finding is still found."""
    finding.refresh_from_db()
    return finding.triage, finding.closed_at is None


def test_what_an_advisory_says_about_a_component_becomes_a_finding(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    assert rematch(version) == []
    advise(
        scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0", aliases=["CVE-2026-10001"], severity="HIGH")
    )
    [found] = rematch(version)
    assert (found.vulnerability, found.purl) == ("CVE-2026-10001", "pkg:pypi/numpy@2.2.6")
    assert (found.severity, found.fixed_in, found.certain, found.triage) == ("high", ["2.3.0"], True, "open")
    assert found.advisory_ids == ["GHSA-1111-1111-1111"]
    assert Entry.objects.latest("pk").kind == "finding.opened"


def test_looking_again_changes_nothing(scene: Scene, version: Version, tmp_path: Path) -> None:
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    rematch(version)
    before = count_rows()
    rematch(version)
    assert count_rows() == before


def test_a_new_sbom_closes_what_it_does_not_name_and_an_old_one_opens_it_again(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    [found] = rematch(version)
    triage(found, Triage.ACCEPTED, scene)

    def attach(number: str, parts: dict[str, str]) -> None:
        body = documents.sbom("tagger", number, version.artifact_sha256, parts)
        evidence.attach(version, actor=scene.walk.cast.cee_i, kind="sbom", filename="sbom.json", body=body)
        rematch(version)

    attach("fixed", {"numpy": "2.3.0"})
    assert state(found) == ("accepted", False)
    assert Entry.objects.latest("pk").kind == "finding.closed"
    # It came back: what was accepted then was another build, so somebody looks again.
    attach("again", {"numpy": "2.2.6"})
    assert state(found) == ("open", True)
    assert found.accepted_until is None
    assert Finding.objects.count() == 1
    assert [row.triage for row in found.history.order_by("history_date")] == ["open", "accepted", "accepted", "open"]


def test_an_advisory_that_is_withdrawn_closes_its_findings(scene: Scene, version: Version, tmp_path: Path) -> None:
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    [found] = rematch(version)
    later = {"modified": "2026-11-20T00:00:00Z", "withdrawn": "2026-11-20T00:00:00Z"}
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0", **later))
    rematch(version)
    assert state(found) == ("open", False)


def test_a_worse_severity_reaches_the_finding_and_leaves_its_triage(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0", severity="LOW"))
    [found] = rematch(version)
    triage(found, Triage.NOT_AFFECTED, scene)
    worse = osv("GHSA-1111-1111-1111", "numpy", fixed="2.4.0", severity="CRITICAL", modified="2026-11-20T00:00:00Z")
    advise(scene, tmp_path, worse)
    rematch(version)
    assert state(found) == ("not_affected", True)
    assert (found.severity, found.fixed_in) == ("critical", ["2.4.0"])


def test_a_vulnerability_that_gets_its_number_later_is_the_same_finding(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    [found] = rematch(version)
    assert found.vulnerability == "GHSA-1111-1111-1111"
    triage(found, Triage.NOT_AFFECTED, scene)
    named = {"aliases": ["CVE-2026-10001"], "modified": "2026-11-20T00:00:00Z"}
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0", **named))
    assert [each.pk for each in rematch(version)] == [found.pk]
    assert state(found) == ("not_affected", True)
    assert found.vulnerability == "CVE-2026-10001"


def test_two_names_that_turn_out_to_be_one_vulnerability_leave_one_finding_open(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    first, second = "GHSA-1111-1111-1111", "PYSEC-2026-1"
    advise(scene, tmp_path, osv(first, "numpy", fixed="2.3.0"), osv(second, "numpy", fixed="2.3.0"))
    assert len(rematch(version)) == 2
    merged = {"aliases": ["CVE-2026-10001"], "modified": "2026-11-20T00:00:00Z"}
    advise(scene, tmp_path, *(osv(each, "numpy", fixed="2.3.0", **merged) for each in (first, second)))
    rematch(version)
    [still] = Finding.objects.filter(closed_at=None)
    assert (still.vulnerability, still.advisory_ids) == ("CVE-2026-10001", [first, second])
    before = count_rows()
    rematch(version)
    assert count_rows() == before


def test_each_component_has_its_own_finding(scene: Scene, version: Version, tmp_path: Path) -> None:
    package = {"package": {"ecosystem": "PyPI", "name": "scipy"}, "versions": ["1.15.3"]}
    record = osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0")
    record["affected"].append(package)
    advise(scene, tmp_path, record)
    assert [each.purl for each in rematch(version)] == ["pkg:pypi/numpy@2.2.6", "pkg:pypi/scipy@1.15.3"]


def test_a_vulnerability_that_falls_into_two_keeps_its_finding_and_gets_another(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    first, second = "GHSA-1111-1111-1111", "PYSEC-2026-1"
    linked = osv(second, "numpy", fixed="2.3.0", aliases=[first])
    advise(scene, tmp_path, osv(first, "numpy", fixed="2.3.0"), linked)
    [found] = rematch(version)
    triage(found, Triage.NOT_AFFECTED, scene)
    advise(scene, tmp_path, osv(second, "numpy", fixed="2.3.0", modified="2026-11-20T00:00:00Z"))
    rematch(version)
    kept, other = Finding.objects.order_by("pk")
    assert (kept.pk, kept.vulnerability, kept.triage) == (found.pk, first, "not_affected")
    assert (other.vulnerability, other.triage) == (second, "open")
    before = count_rows()
    rematch(version)
    assert count_rows() == before


def other_version(scene: Scene, number: str, parts: dict[str, str]) -> Version:
    """Return a draft of another asset with an SBOM."""
    draft = scene.walk.register("bystander", number, artifacts.scorer(3))
    return scene.walk.attach_all(draft, without=("provenance", "evaluation", "model-card"), parts=parts)


def test_an_import_matches_only_the_versions_that_use_what_it_touches(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    findings.rematch_due()
    bystander = other_version(scene, "1.0.0", {"jinja2": "3.1.6"})
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    assert set(TouchedPackage.objects.values_list("purl_name", flat=True)) == {"numpy"}
    # The draft, and the candidate that the scene begins with.
    assert findings.rematch_due() == 2
    assert {found.version for found in Finding.objects.all()} == {version, scene.version}
    assert not bystander.findings.exists()
    assert not TouchedPackage.objects.exists()
    before = count_rows()
    assert findings.rematch_due() == 0
    assert count_rows() == before


def test_only_the_touched_packages_of_a_version_are_matched_again(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    findings.rematch_due()
    advise(scene, tmp_path, osv("GHSA-2222-2222-2222", "scipy", fixed="2.0.0"))
    findings.rematch_due()
    gone = {"modified": "2026-11-20T00:00:00Z", "withdrawn": "2026-11-20T00:00:00Z"}
    advise(scene, tmp_path, osv("GHSA-2222-2222-2222", "scipy", fixed="2.0.0", **gone))
    findings.rematch_due()
    numpy, scipy = version.findings.order_by("vulnerability")
    assert (state(numpy), state(scipy)) == (("open", True), ("open", False))


def test_a_source_package_that_only_a_purl_names_is_matched_again(scene: Scene, tmp_path: Path) -> None:
    draft = scene.walk.register("tagger", "2.0.0", artifacts.scorer(4))
    document = json.loads(documents.sbom("tagger", "2.0.0", draft.artifact_sha256, {}))
    purl = "pkg:deb/debian/libssl3@3.0.9-1?distro=debian-12&upstream=openssl"
    document["components"] = [{"type": "library", "name": "libssl3", "version": "3.0.9-1", "purl": purl}]
    body = json.dumps(document).encode()
    evidence.attach(draft, actor=scene.walk.cast.cee_i, kind="sbom", filename="sbom.json", body=body)
    record = osv("DSA-1", "openssl", fixed="3.0.11-1")
    record["affected"][0]["package"]["ecosystem"] = "Debian:12"
    with zipfile.ZipFile(tmp_path / "debian.zip", "w") as archive:
        archive.writestr("DSA-1.json", json.dumps(record))
    advisories.import_zip(tmp_path / "debian.zip", ecosystem="Debian", actor=scene.walk.cast.alma)
    findings.rematch_due()
    assert [found.vulnerability for found in draft.findings.all()] == ["DSA-1"]


def test_a_retired_version_is_left_alone_unless_something_else_is_made_from_it(
    scene: Scene, version: Version, tmp_path: Path
) -> None:
    edges = [{"role": "base", "version": version.label}]
    scene.walk.register("lora", "1.0.0", artifacts.scorer(5), kind="adapter", finetune_method="lora", components=edges)
    for each in (version, scene.version):
        lifecycle.retire(each, actor=scene.walk.cast.ada, reason="Not needed any more.")
    advise(scene, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    assert findings.rematch_due() == 1
    assert (version.findings.count(), scene.version.findings.count()) == (1, 0)


def test_a_version_that_cannot_be_matched_gets_its_check_asked_and_stops_nobody(
    scene: Scene, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.walk.work()
    many = {f"package-{number}": "1.0" for number in range(30)}
    body = documents.sbom("fraud-scorer", "1.0.0", scene.version.artifact_sha256, {**many, "numpy": "2.2.6"})
    evidence.attach(scene.version, actor=scene.walk.cast.cee_i, kind="sbom", filename="many.json", body=body)
    records = [osv(f"GHSA-{name}", name, fixed="2.0") for name in many]
    monkeypatch.setattr("governance.advisories.matching.MAX_COMPARISONS", 20)
    advise(scene, tmp_path, *records, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    findings.rematch_due()
    assert [found.vulnerability for found in version.findings.all()] == ["GHSA-1111-1111-1111"]
    assert CheckRequest.objects.filter(version=scene.version, check_slug="vulnerabilities").count() == 1
    sweeps.answer_checks_due()
    run = scene.version.check_runs.filter(check_slug="vulnerabilities").first()
    assert run is not None
    assert run.outcome == "error"
    assert not TouchedPackage.objects.exists()


def test_without_an_sbom_nothing_is_found_and_what_was_found_is_closed(scene: Scene) -> None:
    bare = scene.walk.register("bare", "1.0.0", artifacts.scorer(3))
    assert rematch(bare) == []
