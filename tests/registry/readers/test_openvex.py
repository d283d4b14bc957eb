"""OpenVEX: what a document says, what is left out of it and why, and no bytes that break the reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.seal import canonical
from portal.errors import Invalid
from registry import readers
from registry.readers import Claim, Reading
from registry.readers.vex import JUSTIFICATIONS, MAX_STATEMENTS
from tests.governance.findings import CVE, NUMPY, openvex, saying
from tests.registry.readers.samples import as_body
from tests.registry.readers.test_hostile_input import expect_sentences, places, values

DIGEST = "ab" * 32
bounded = settings(
    deadline=timedelta(seconds=10),
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def read(document: Any) -> Reading:
    return readers.read(as_body(document), kind="vex")


def claim(**members: Any) -> Claim:
    """Return the only claim of a document with one statement."""
    [found] = read(openvex(saying(**members))).claims
    return found


def fault(document: Any) -> str:
    """Return the field that a refused document is refused for."""
    with pytest.raises(Invalid) as caught:
        read(document)
    return caught.value.faults[0].field


def test_a_statement_is_read_whole() -> None:
    reading = read(openvex(saying()))
    assert (reading.kind, reading.reader, reading.warnings) == ("vex", "openvex", ())
    assert reading.author == "vendor@example.com"
    [found] = reading.claims
    assert (found.vulnerabilities, found.status) == ((CVE,), "not_affected")
    assert found.justification == "vulnerable_code_not_present"
    assert found.reason == "It is built without that module."
    assert found.stated_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert [product.purls for product in found.products] == [(NUMPY,)]
    assert reading.summary["vulnerabilities"] == [CVE]
    assert reading.summary["claims"] == {"not_affected": 1}


@pytest.mark.parametrize(
    ("status", "read_as"),
    [("affected", "open"), ("under_investigation", "open"), ("fixed", "fixed"), ("not_affected", "not_affected")],
)
def test_the_four_statuses_are_three_of_ours(status: str, read_as: str) -> None:
    found = claim(status=status)
    assert found.status == read_as
    assert bool(found.justification) == (read_as == "not_affected")


@pytest.mark.parametrize("word", JUSTIFICATIONS)
def test_every_justification_is_kept(word: str) -> None:
    assert claim(justification=word).justification == word


def test_not_affected_without_a_justification_is_left_out_with_a_warning() -> None:
    bare = {key: value for key, value in saying().items() if key != "justification"}
    reading = read(openvex(bare, saying(vulnerability={"name": "CVE-2026-2"})))
    assert [found.vulnerabilities for found in reading.claims] == [("CVE-2026-2",)]
    assert reading.summary["ignored"] == 1
    assert reading.summary["vulnerabilities"] == ["CVE-2026-2"]
    assert "statements[0] is ignored: it says not affected without a justification." in reading.warnings[0]


def test_names_are_the_name_its_aliases_and_the_end_of_its_address() -> None:
    names = {"@id": "https://example.com/vuln/CVE-2026-3", "name": "GHSA-1", "aliases": ["PYSEC-1", "GHSA-1"]}
    assert claim(vulnerability=names).vulnerabilities == ("GHSA-1", "PYSEC-1", "CVE-2026-3")


def test_a_product_goes_by_purl_and_by_digest() -> None:
    product = {
        "@id": "pkg:oci/scorer@sha256:" + "cd" * 32,
        "identifiers": {"purl": "pkg:pypi/Fraud_Scorer@1.0", "cpe23": "cpe:2.3:a:b:c"},
        "hashes": {"sha-256": DIGEST.upper(), "sha-512": "ef" * 64},
        "subcomponents": [{"@id": NUMPY}, {"identifiers": {"purl": "pkg:pypi/scipy@1"}}, {"@id": "not a purl"}],
    }
    [found] = claim(products=[product]).products
    assert found.purls[1] == "pkg:pypi/fraud-scorer@1.0"
    assert found.digests == (DIGEST, "cd" * 32)
    assert found.parts == (NUMPY, "pkg:pypi/scipy@1")
    assert read(openvex(saying(products=[product]))).subject_digests == (DIGEST, "cd" * 32)


def test_subcomponents_without_a_purl_never_widen_a_statement_to_the_whole_product() -> None:
    product = {"hashes": {"sha-256": DIGEST}, "subcomponents": [{"@id": "https://example.com/numpy"}]}
    assert claim(products=[product]).products[0].parts == ()


@pytest.mark.parametrize("purl", ["pkg:pypi/numpy", "numpy", "", "pkg:", "https://example.com/numpy@2.2.6"])
def test_what_has_no_version_and_no_digest_is_no_product(purl: str) -> None:
    reading = read(openvex(saying(products=[{"@id": purl}])))
    assert reading.claims == ()
    assert "names no product that can be recognised" in " ".join(reading.warnings)
    assert reading.warnings[0] == "Nothing in this document can be used."


def test_a_statement_has_its_own_time_or_that_of_the_document() -> None:
    own = claim(timestamp="2026-02-01T01:00:00+01:00", last_updated="2026-03-01T00:00:00.123456789Z")
    assert own.stated_at == datetime(2026, 3, 1, 0, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (openvex(saying(), **{"@context": "https://openvex.dev/ns/v0.0.1"}), "@context"),
        (openvex(saying(), **{"@context": ["https://openvex.dev/ns/v0.2.0"]}), "@context"),
        (openvex(saying(), timestamp=None), "timestamp"),
        (openvex(saying(), timestamp="2099-01-01T00:00:00Z"), "timestamp"),
        (openvex(saying(), author=""), "author"),
        (openvex(saying(), statements={}), "statements"),
        (openvex(saying(status="harmless")), "statements[0].status"),
        (openvex(saying(justification="trust me")), "statements[0].justification"),
        (openvex(saying(vulnerability="CVE-1")), "statements[0].vulnerability"),
        (openvex(saying(vulnerability={"name": "a", "aliases": [7]})), "statements[0].vulnerability.aliases[0]"),
        (openvex(saying() | {"products": ["pkg:pypi/numpy@1"]}), "statements[0].products[0]"),
        (openvex(*([saying()] * (MAX_STATEMENTS + 1))), "statements"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_place(document: Any, field: str) -> None:
    assert fault(document) == field


def test_a_document_of_another_format_names_the_formats_that_are_read() -> None:
    with pytest.raises(Invalid, match=r"OpenVEX JSON 0\.2 or CycloneDX JSON"):
        readers.read(b'{"document": {"category": "csaf_vex"}}', kind="vex")


def expect_safe(body: bytes) -> None:
    """Read anything: a refusal in sentences, or claims that are whole and can be stored."""
    try:
        reading = readers.read(body, kind="vex")
    except Invalid as refused:
        expect_sentences(refused.faults)
        return
    assert b"\\u0000" not in canonical([dict(reading.summary), list(reading.warnings)])
    assert len(reading.warnings) <= 22
    for found in reading.claims:
        assert found.status in {"open", "fixed", "not_affected"}
        assert (found.justification in JUSTIFICATIONS) == (found.status == "not_affected")
        assert found.vulnerabilities
        assert set(found.vulnerabilities) <= set(reading.summary["vulnerabilities"])
        assert len(found.reason) <= 4000
        assert found.products
        for product in found.products:
            assert product.purls or product.digests or product.link
            assert len(product.name) <= 300


def damage(data: st.DataObject, document: Any) -> Any:
    """Return a copy of a document with some values replaced, dropped or renamed."""
    document = json.loads(json.dumps(document))
    for _ in range(data.draw(st.integers(1, 4))):
        holder, key = data.draw(st.sampled_from(places(document) or [(document, None)]))
        if key is None:
            break
        if isinstance(holder, dict) and data.draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = data.draw(values)
    return document


FULL = openvex(
    saying(
        vulnerability={"@id": "https://example.com/CVE-9", "name": CVE, "aliases": ["GHSA-1"]},
        products=[{"@id": NUMPY, "hashes": {"sha-256": DIGEST}, "subcomponents": [{"identifiers": {"purl": NUMPY}}]}],
    ),
    saying(status="affected", action_statement="Update.", timestamp="2026-02-01T00:00:00Z"),
    role="supplier",
)


@given(data=st.data())
@bounded
def test_a_document_with_values_replaced(data: st.DataObject) -> None:
    expect_safe(as_body(damage(data, FULL)))


@given(data=st.data())
@bounded
def test_a_document_with_bytes_changed_or_cut(data: st.DataObject) -> None:
    body = bytearray(as_body(FULL))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 8)))
        body[start:end] = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from([b'"', b"[", b"}", b"\\u0000"])))
    expect_safe(bytes(body[: data.draw(st.integers(0, len(body)))]))


@given(body=st.binary(max_size=200))
@bounded
def test_random_bytes(body: bytes) -> None:
    expect_safe(body)
    expect_safe(b'{"@context": "https://openvex.dev/ns/v0.2.0"' + body)
