"""VEX documents: what they state about whose findings. Nothing is stated twice, and nothing cleared by a name alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from packageurl import PackageURL

from governance import findings, sweeps, triage
from governance.models import Finding, TriageStatement
from governance.triage import matching, vex
from portal.errors import Invalid, Refused
from registry import evidence, storage
from registry.models import Evidence, User
from registry.readers import Claim, Product
from tests.factories import documents, import_advisories, osv
from tests.governance.findings import CVE, GHSA, NUMPY, attach_vex, find, fresh, openvex, saying
from tests.registry.readers.samples import bom, component
from tests.scene import Scene
from tests.web.services import count_rows

SERIAL = "3e671687-395b-41f5-a30f-a58921a69b79"


@pytest.fixture
def high(scene: Scene, tmp_path: Path) -> Finding:
    """Return a finding of high severity in the candidate's numpy."""
    return find(scene.walk, scene.version, tmp_path)


def attach(scene: Scene, *statements: dict[str, Any], **members: Any) -> Evidence:
    return attach_vex(scene.version, openvex(*statements, **members), actor=scene.walk.cast.cee_i)


def stated() -> list[tuple[str, str, bool]]:
    """Return what was stated, in order: status, who by, and whether it waits."""
    rows = TriageStatement.objects.select_related("stated_by").order_by("pk")
    return [(row.status, row.stated_by.username, row.needs_answer) for row in rows]


def test_a_document_is_the_word_of_whoever_attached_it_and_waits_for_security(scene: Scene, high: Finding) -> None:
    row = attach(scene, saying())
    assert triage.take_in_due() == 1
    said = TriageStatement.objects.get()
    assert (said.status, said.justification) == ("not_affected", "vulnerable_code_not_present")
    assert (said.reason, said.evidence) == ("It is built without that module.", row)
    assert stated() == [("not_affected", "cee-i", True)]
    assert fresh(high).triage == "open"
    triage.answer(said, actor=scene.walk.cast.rhea, agreed=True)
    assert fresh(high).triage == "not_affected"


def test_nothing_is_stated_twice(scene: Scene, high: Finding) -> None:
    row = attach(scene, saying())
    triage.take_in_due()
    before = count_rows()
    assert triage.take_in_due() == 0
    assert triage.take_in(row, actor=User.objects.system("runner")) == []
    sweeps.answer_checks_due()
    attach(scene, saying())
    triage.take_in_due()
    assert stated() == [("not_affected", "cee-i", True)]
    assert count_rows()["governance_triagestatement"] == before["governance_triagestatement"]


def test_the_clock_takes_documents_in(scene: Scene, high: Finding) -> None:
    attach(scene, saying())
    scene.walk.work()
    assert stated() == [("not_affected", "cee-i", True)]


def test_a_finding_that_opens_later_is_covered_too(scene: Scene, tmp_path: Path) -> None:
    attach(scene, saying())
    assert triage.take_in_due() == 0
    found = find(scene.walk, scene.version, tmp_path)
    assert triage.take_in_due() == 1
    assert TriageStatement.objects.get().finding == found


def test_what_people_opened_again_stays_open_until_there_is_a_new_document(scene: Scene, high: Finding) -> None:
    cast = scene.walk.cast
    attach(scene, saying())
    triage.take_in_due()
    triage.answer(TriageStatement.objects.get(), actor=cast.rhea, agreed=True)
    triage.state(high, actor=cast.sol, status="open", reason="Found a caller.")
    assert triage.take_in_due() == 0
    attach(scene, saying(impact_statement="We looked again."))
    assert triage.take_in_due() == 1
    assert fresh(high).triage == "open"


def test_a_critical_needs_security_whoever_attached_the_document(scene: Scene, tmp_path: Path) -> None:
    found = find(scene.walk, scene.version, tmp_path, severity="CRITICAL")
    attach_vex(scene.version, openvex(saying(status="fixed")), actor=scene.walk.cast.ada)
    triage.take_in_due()
    assert stated() == [("fixed", "ada", True)]
    assert fresh(found).triage == "open"


def test_the_author_of_a_document_is_not_the_second_person(scene: Scene, high: Finding) -> None:
    attach(scene, saying(), author="mailto:rhea@example.com")
    triage.take_in_due()
    said = TriageStatement.objects.get()
    with pytest.raises(Refused, match="Rhea Security stated it"):
        triage.answer(said, actor=scene.walk.cast.rhea, agreed=True)
    triage.answer(said, actor=scene.walk.cast.sol, agreed=True)


def test_a_document_that_opens_again_counts_at_once(scene: Scene, high: Finding) -> None:
    triage.state(high, actor=scene.walk.cast.rhea, status="fixed", reason="Patched in our build.")
    attach(scene, saying(status="affected", action_statement="Update to 2.3."))
    triage.take_in_due()
    assert fresh(high).triage == "open"


def test_the_later_of_two_statements_in_a_document_counts(scene: Scene, high: Finding) -> None:
    later = saying(status="affected", action_statement="It is called.", timestamp="2026-03-01T00:00:00Z")
    attach(scene, later, saying(timestamp="2026-02-01T00:00:00Z"))
    triage.take_in_due()
    assert stated() == [("open", "cee-i", False)]


@pytest.mark.parametrize("name", [GHSA, CVE, "PYSEC-2026-7"])
def test_a_vulnerability_goes_by_any_of_its_names(scene: Scene, tmp_path: Path, name: str) -> None:
    record = osv("PYSEC-2026-7", "numpy", fixed="99.0", aliases=[GHSA])
    import_advisories(scene.walk.cast, tmp_path, record)
    find(scene.walk, scene.version, tmp_path)
    attach(scene, saying(vulnerability={"name": name}))
    assert triage.take_in_due() == 1


@pytest.mark.parametrize(
    "product",
    [
        {"@id": "pkg:pypi/numpy"},
        {"@id": "pkg:pypi/numpy@2.2.7"},
        {"@id": "pkg:pypi/numpy@2.2.6%2Bcu118"},
        {"@id": "pkg:npm/numpy@2.2.6"},
        {"@id": "pkg:pypi/numpy-stubs@2.2.6"},
        {"@id": "pkg:pypi/numpy@2.2.6?repository_url=elsewhere.example"},
        {"@id": "numpy"},
        {"hashes": {"sha-256": "ab" * 32}},
        {"hashes": {"sha-256": "ab" * 32}, "subcomponents": [{"@id": NUMPY}]},
        {"@id": NUMPY, "subcomponents": [{"@id": "pkg:generic/openblas@0.3"}]},
        {"@id": "pkg:generic/fraud-scorer@1.0.1"},
        {"@id": "pkg:pypi/fraud-scorer@1.0.0"},
    ],
)
def test_what_is_not_exactly_it_states_nothing(scene: Scene, high: Finding, product: dict[str, Any]) -> None:
    attach(scene, saying(products=[product]))
    assert triage.take_in_due() == 0
    assert stated() == []
    assert fresh(high).triage == "open"


def test_the_version_goes_by_its_digest_and_by_its_own_purl(scene: Scene, high: Finding) -> None:
    digest = {"hashes": {"sha-256": scene.version.artifact_sha256}}
    inside = {"@id": "pkg:generic/fraud-scorer@1.0.0", "subcomponents": [{"@id": NUMPY}]}
    other = {**digest, "subcomponents": [{"@id": "pkg:pypi/scipy@1.15.3"}]}
    attach(scene, saying(products=[other]))
    assert triage.take_in_due() == 0
    for product in (digest, inside):
        attach(scene, saying(products=[product]))
        assert triage.take_in_due() == 1


def test_a_document_attached_to_another_version_says_nothing_about_this_one(scene: Scene, high: Finding) -> None:
    other = scene.walk.register("tagger", "1.0.0", b"another artifact")
    attach_vex(other, openvex(saying()), actor=scene.walk.cast.cee_i)
    assert triage.take_in_due() == 0
    assert stated() == []


def test_a_bom_link_leads_into_an_sbom_of_the_version_only(scene: Scene, high: Finding) -> None:
    sbom = json.loads(documents.sbom("fraud-scorer", "1.0.0", scene.version.artifact_sha256))
    linked = {**sbom, "serialNumber": f"urn:uuid:{SERIAL}"}

    def claims(serial: str) -> dict[str, Any]:
        affects = [{"ref": f"urn:cdx:{serial}/1#numpy==2.2.6"}]
        analysis = {"state": "not_affected", "justification": "code_not_reachable", "detail": "Never loaded."}
        told = {"id": GHSA, "analysis": analysis, "affects": affects}
        return bom(component("x"), specVersion="1.5", vulnerabilities=[told])

    for serial in (SERIAL, SERIAL.replace("3e", "4e")):
        attach_vex(scene.version, claims(serial), actor=scene.walk.cast.cee_i, name=f"{serial}.cdx.json")
    assert triage.take_in_due() == 0
    evidence.attach(
        scene.version, actor=scene.walk.cast.cee_i, kind="sbom", filename="s.json", body=json.dumps(linked).encode()
    )
    assert triage.take_in_due() == 1
    assert TriageStatement.objects.get().evidence.filename == f"{SERIAL}.cdx.json"


def test_a_document_without_a_justification_states_nothing_and_says_why(scene: Scene, high: Finding) -> None:
    bare = {key: value for key, value in saying().items() if key != "justification"}
    row = attach(scene, bare)
    assert triage.take_in_due() == 0
    assert "without a justification" in " ".join(row.warnings)


def test_a_document_that_matches_nothing_is_not_read_again_and_again(
    scene: Scene, high: Finding, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attach(scene, saying(products=[{"@id": "pkg:pypi/numpy@9.9.9"}]))
    reads: list[str] = []
    real = storage.read
    vex.claims_of.cache_clear()
    monkeypatch.setattr(storage, "read", lambda sha256, **more: reads.append(sha256) or real(sha256, **more))
    assert [triage.take_in_due() for _ in range(3)] == [0, 0, 0]
    assert len(reads) == 1


def test_a_document_whose_bytes_are_gone_keeps_no_other_waiting(
    scene: Scene, high: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = attach(scene, saying(impact_statement="These bytes will be lost."))
    kept = attach(scene, saying(impact_statement="These bytes are here."))
    real = storage.read

    def read(sha256: str, **more: Any) -> bytes:
        if sha256 == lost.sha256:
            raise storage.Unreadable(sha256, "they are missing.")
        return real(sha256, **more)

    vex.claims_of.cache_clear()
    monkeypatch.setattr(storage, "read", read)
    assert triage.take_in_due() == 1
    assert TriageStatement.objects.get().evidence == kept


def test_only_the_clock_takes_in(scene: Scene, high: Finding) -> None:
    row = attach(scene, saying())
    for actor in (scene.walk.cast.ada, scene.walk.cast.rhea, scene.walk.cast.cee_i):
        with pytest.raises(PermissionDenied):
            triage.take_in(row, actor=actor)
    assert stated() == []


def test_closed_findings_and_retired_versions_are_left_alone(scene: Scene, high: Finding) -> None:
    findings.close(high, actor=User.objects.system("runner"))
    attach(scene, saying())
    assert triage.take_in_due() == 0


def test_a_service_states_in_a_document_of_its_own(scene: Scene, high: Finding) -> None:
    ci = scene.walk.cast.cee_i
    said = {"status": "not_affected", "justification": "component_not_present", "reason": "Stripped from the image."}
    made = triage.state_by_document(high, actor=ci, **said)
    assert (made.status, made.justification, made.reason, made.needs_answer) == (*said.values(), True)
    assert (made.evidence.kind, made.evidence.reader, made.evidence.attached_by) == ("vex", "openvex", ci)
    before = count_rows()
    assert triage.state_by_document(high, actor=ci, **said) == made
    assert count_rows() == before
    with pytest.raises(Invalid, match="only a person accepts a risk"):
        triage.state_by_document(high, actor=ci, status="accepted", reason="We live with it.")
    with pytest.raises(PermissionDenied):
        triage.state_by_document(high, actor=scene.walk.cast.mallory, **said)


@pytest.mark.parametrize(
    ("claimed", "found", "same"),
    [
        ("pkg:deb/debian/openssl@1.1", "pkg:deb/debian/openssl@1.1?arch=amd64", True),
        ("pkg:deb/debian/openssl@1.1?arch=arm64", "pkg:deb/debian/openssl@1.1?arch=amd64", False),
        ("pkg:deb/debian/openssl@1.1", "pkg:deb/ubuntu/openssl@1.1", False),
        ("pkg:npm/%40scope/a@1", "pkg:npm/a@1", False),
        ("pkg:npm/a", "pkg:npm/a", False),
        ("no purl", "no purl", False),
    ],
)
def test_two_purls_are_the_same_by_type_namespace_name_and_version(claimed: str, found: str, same: bool) -> None:
    assert matching.is_same(claimed, found) is same


def test_of_two_claims_at_one_time_the_later_in_the_document_counts() -> None:
    purl = PackageURL("pypi", None, "a", "1").to_string()
    both = [Claim(("CVE-1",), (Product("a", (purl,)),), status, stated_at=None) for status in ("fixed", "open")]
    scope = matching.Scope(frozenset(), "pkg:generic/x@1")
    assert matching.claim_about(frozenset({"CVE-1"}), purl, both, scope) == both[1]
    assert matching.claim_about(frozenset({"CVE-2"}), purl, both, scope) is None
