"""Analyses in CycloneDX: states, justifications, versions and links, and no bytes that break the reader."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import Invalid
from registry import readers
from registry.readers import Claim, Reading
from registry.readers.cyclonedx_vex import JUSTIFICATIONS, STATES, follow, within
from registry.readers.vex import JUSTIFICATIONS as OURS
from tests.governance.findings import CVE, NUMPY
from tests.registry.readers.samples import ARTIFACT, as_body, bom, component
from tests.registry.readers.test_openvex import bounded, damage, expect_safe

SERIAL = "3e671687-395b-41f5-a30f-a58921a69b79"
LINK = f"urn:cdx:{SERIAL}/1#"
MODEL = {
    "type": "machine-learning-model",
    "bom-ref": "model",
    "name": "fraud-scorer",
    "hashes": [{"alg": "SHA-256", "content": ARTIFACT}],
}


def vulnerability(*refs: str | dict[str, Any], state: str = "not_affected", **members: Any) -> dict[str, Any]:
    """Return one vulnerability with an analysis."""
    analysis = {"state": state, "justification": "code_not_reachable", "detail": "The loader is never called."}
    affects = [ref if isinstance(ref, dict) else {"ref": ref} for ref in refs or ("numpy",)]
    given = members.pop("analysis", analysis)
    return {"id": CVE, "analysis": given, "affects": affects, **members}


def document(*entries: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a BOM with numpy, a library without a version, and vulnerabilities."""
    numpy = component("numpy", version="2.2.6", purl=NUMPY, **{"bom-ref": "numpy"})
    loose = component("loose", purl="pkg:pypi/loose", **{"bom-ref": "loose"})
    metadata = {"timestamp": "2026-01-01T00:00:00Z", "component": MODEL}
    return bom(numpy, loose, **{"metadata": metadata, "vulnerabilities": list(entries), **members})


def read(*entries: dict[str, Any], **members: Any) -> Reading:
    return readers.read(as_body(document(*entries, **members)), kind="vex")


def claim(*refs: str | dict[str, Any], **members: Any) -> Claim:
    [found] = read(vulnerability(*refs, **members)).claims
    return found


def test_an_analysis_is_read_whole() -> None:
    found = claim(references=[{"id": "GHSA-1", "source": {"name": "GitHub"}}])
    assert (found.vulnerabilities, found.status) == ((CVE, "GHSA-1"), "not_affected")
    assert (found.justification, found.reason) == ("vulnerable_code_not_in_execute_path", "The loader is never called.")
    assert [product.purls for product in found.products] == [(NUMPY,)]
    assert found.stated_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("state", "status"), STATES.items())
def test_every_state_is_one_of_ours(state: str, status: str) -> None:
    found = claim(state=state)
    assert found.status == status
    assert bool(found.justification) == (status == "not_affected")


@pytest.mark.parametrize(("theirs", "ours"), JUSTIFICATIONS.items())
def test_every_justification_is_one_of_the_five(theirs: str, ours: str) -> None:
    assert ours in OURS
    assert claim(analysis={"state": "not_affected", "justification": theirs}).justification == ours


@pytest.mark.parametrize("state", ["not_affected", "false_positive"])
def test_clearing_without_a_justification_is_left_out_with_a_warning(state: str) -> None:
    reading = read(vulnerability(analysis={"state": state, "detail": "Believe us."}))
    assert reading.claims == ()
    assert "without a justification" in " ".join(reading.warnings)


def test_a_vulnerability_without_an_analysis_says_nothing() -> None:
    reading = read(vulnerability(analysis={}), vulnerability(analysis=None), vulnerability())
    assert len(reading.claims) == 1
    assert "Nothing is said about 2 of its vulnerabilities: they have no analysis." in reading.warnings


def test_what_is_going_to_be_done_is_part_of_the_reason() -> None:
    told = {"state": "exploitable", "response": ["will_not_fix", "update"], "detail": "Reachable from the API."}
    assert claim(analysis=told).reason == "Reachable from the API. Response: will not fix, update."
    assert claim(analysis={**told, "response": "update"}).reason.endswith("Response: update.")


def test_the_last_word_on_an_analysis_dates_it() -> None:
    told = {"state": "resolved", "firstIssued": "2026-01-05T00:00:00Z", "lastUpdated": "2026-02-05T00:00:00Z"}
    assert claim(analysis=told).stated_at == datetime(2026, 2, 5, tzinfo=UTC)


def test_the_whole_artifact_goes_by_its_digest() -> None:
    [product] = claim("model").products
    assert (product.digests, product.parts) == ((ARTIFACT,), None)


def test_a_nested_component_is_found() -> None:
    inner = component("inner", purl="pkg:npm/inner@1.0.0", **{"bom-ref": "inner"})
    outer = component("outer", components=[inner])
    [found] = read(vulnerability("inner"), components=[outer]).claims
    assert found.products[0].purls == ("pkg:npm/inner@1.0.0",)


def test_a_link_into_another_bom_is_kept_for_whoever_has_it() -> None:
    assert [product.link for product in claim(f"{LINK}numpy").products] == [f"{LINK}numpy"]


@pytest.mark.parametrize("ref", ["nothing", "urn:cdx:1/1#numpy", "loose", "pkg:pypi/numpy"])
def test_what_leads_nowhere_is_no_product(ref: str) -> None:
    reading = read(vulnerability(ref))
    assert reading.claims == ()
    assert reading.warnings[0] == "Nothing in this document can be used."


@pytest.mark.parametrize(
    ("versions", "status"),
    [
        ([{"version": "2.2.6", "status": "unaffected"}], "not_affected"),
        ([{"version": "2.2.6"}], "not_affected"),
        ([{"version": "1.0"}, {"range": "vers:pypi/>=2.0|<2.3", "status": "unaffected"}], "not_affected"),
        ([{"version": "2.2.6", "status": "affected"}], "open"),
        ([{"version": "2.2.6", "status": "unknown"}], "open"),
        ([{"version": "2.2.7", "status": "unaffected"}], None),
        ([{"range": "vers:pypi/<2.0", "status": "unaffected"}], None),
        ([{"range": "vers:generic/>=1|<=9", "status": "unaffected"}], None),
        ([{"range": "all of them", "status": "unaffected"}], None),
    ],
)
def test_a_list_of_versions_limits_what_is_said(versions: list[dict[str, str]], status: str | None) -> None:
    reading = read(vulnerability({"ref": "numpy", "versions": versions}))
    assert [found.status for found in reading.claims] == ([status] if status else [])
    assert bool(reading.warnings) == (status in {None, "open"})


def test_a_component_without_a_version_is_meant_in_the_versions_that_are_listed() -> None:
    told = {"ref": "loose", "versions": [{"version": "1.0"}, {"version": "1.1+cu118"}, {"range": "vers:pypi/>=2"}]}
    assert [product.purls for product in claim(told).products] == [
        ("pkg:pypi/loose@1.0",),
        ("pkg:pypi/loose@1.1%2Bcu118",),
    ]


def test_a_list_that_clears_what_the_analysis_calls_affected_clears_nothing() -> None:
    told = {"ref": "numpy", "versions": [{"version": "2.2.6", "status": "unaffected"}]}
    reading = read(vulnerability(told, state="exploitable"))
    assert reading.claims == ()
    assert "called unaffected by an analysis that says it is affected" in reading.warnings[1]


@pytest.mark.parametrize(
    ("span", "version", "inside"),
    [
        ("vers:pypi/>=2.0|<2.6", "2.4.0", True),
        ("vers:pypi/>=2.0|<=2.4.0", "2.4.0+cu118", False),
        ("vers:semver/>=1.0.0|<=1.2.0", "1.1.9", True),
        ("vers:npm/1.0.0|2.0.0", "2.0.0", True),
        ("vers:maven/<2.15.0", "2.14.1", True),
        ("vers:pypi/*", "no version at all", False),
        ("vers:pypi/<" + "9" * 600, "1", False),
        ("vers:nothing/<2", "1", False),
    ],
)
def test_ranges_are_compared_by_their_scheme_and_doubt_is_no(span: str, version: str, inside: bool) -> None:
    assert within(span, version) is inside


def test_a_link_is_followed_into_the_bom_of_its_serial_number_and_version_only() -> None:
    body = as_body(document(serialNumber=f"urn:uuid:{SERIAL}"))
    links = {
        f"{LINK}numpy": (NUMPY,),
        f"{LINK}pkg:npm/left@1.0.0": ("pkg:npm/left@1.0.0",),
        f"{LINK}pkg%3Anpm%2Fleft@1.0.0": ("pkg:npm/left@1.0.0",),
        f"{LINK}nothing": None,
        f"{LINK}loose": None,
        f"urn:cdx:{SERIAL}/2#numpy": None,
        f"urn:cdx:{SERIAL.replace('3e', '4e')}/1#numpy": None,
    }
    found = follow(body, links)
    assert {link: found[link].purls for link in found} == {link: purls for link, purls in links.items() if purls}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"bomFormat": "SPDX", "comment": "CycloneDX"}, "bomFormat"),
        ({"specVersion": "1.3"}, "specVersion"),
        ({"vulnerabilities": None}, "vulnerabilities"),
        ({"vulnerabilities": [vulnerability(state="fine")]}, "vulnerabilities[0].analysis.state"),
        (
            {"vulnerabilities": [vulnerability(analysis={"state": "not_affected", "justification": "trust me"})]},
            "vulnerabilities[0].analysis.justification",
        ),
        ({"vulnerabilities": [vulnerability({"ref": 7})]}, "vulnerabilities[0].affects[0].ref"),
        (
            {"vulnerabilities": [vulnerability({"ref": "numpy", "versions": [{"version": "2.2.6", "status": "ok"}]})]},
            "vulnerabilities[0].affects[0].versions[0].status",
        ),
        (
            {"vulnerabilities": [vulnerability({"ref": "numpy", "versions": [{}] * 201})]},
            "vulnerabilities[0].affects[0].versions",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_place(members: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        readers.read(as_body(document(**members)), kind="vex")
    assert caught.value.faults[0].field == field


FULL = document(
    vulnerability("numpy", "model", f"{LINK}numpy", references=[{"id": "GHSA-1"}]),
    vulnerability({"ref": "numpy", "versions": [{"range": "vers:pypi/>=1|<3", "status": "affected"}]}),
    vulnerability({"ref": "loose", "versions": [{"version": "1.0"}]}, state="in_triage"),
    serialNumber=f"urn:uuid:{SERIAL}",
)


@given(data=st.data())
@bounded
def test_a_document_with_values_replaced(data: st.DataObject) -> None:
    body = as_body(damage(data, FULL))
    expect_safe(body)
    with suppress(Invalid):
        assert set(follow(body, [f"{LINK}numpy"])) <= {f"{LINK}numpy"}


@given(span=st.text(max_size=60), version=st.text(max_size=30))
@bounded
def test_any_range_and_any_version(span: str, version: str) -> None:
    assert within(span, version) in {True, False}
    assert within(f"vers:pypi/{span}", version) in {True, False}
    assert within(f"vers:maven/{span}", version) in {True, False}
