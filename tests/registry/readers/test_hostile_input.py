"""Whatever the bytes are, a reader answers with a storable Reading or with Invalid, and does so soon."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.seal import canonical
from portal.errors import Fault, Invalid
from registry import readers
from registry.readers import Reading
from tests.registry.readers.samples import (
    as_body,
    bom,
    component,
    envelope,
    metric,
    package,
    provenance,
    sample,
    statement,
)

KINDS = ("sbom", "provenance", "evaluation", "model-card", "licence-text", "other")
LARGEST = Decimal(10) ** 12
bounded = settings(
    deadline=timedelta(seconds=10),
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

MODEL = component(
    "m",
    type="machine-learning-model",
    purl="pkg:huggingface/org/base@abc",
    hashes=[{"alg": "SHA-256", "content": "c" * 64}],
    licenses=[{"license": {"id": "MIT"}}, {"expression": "MIT OR Apache-2.0"}],
    pedigree={"ancestors": [component("base", version="1")]},
    modelCard={"modelParameters": {"datasets": [{"name": "d"}]}, "considerations": {"useCases": ["u"]}},
    components=[component("inner", version="1", purl="pkg:pypi/inner@1")],
)
DOCUMENTS: dict[str, Any] = {
    "sbom": bom(MODEL, component("numpy", purl="pkg:pypi/numpy@2"), metadata={"component": MODEL, "timestamp": "now"}),
    "provenance": provenance(
        external={"source": {"uri": "git+https://git.example/a"}, "authors": ["ada", {"email": "b@c"}]},
        metadata={"startedOn": "2026-01-01T00:00:00Z", "finishedOn": "2026-01-01T01:00:00Z", "invocationId": "1"},
    ),
    "package": package([metric(n=5, stderr=0.1, unit="ms"), metric("other", value=7)]),
    "harness": json.loads(sample("lm-eval-results.json")),
}
FILES = {
    "sbom": as_body(DOCUMENTS["sbom"]),
    "provenance": sample("slsa.dsse.json"),
    "evaluation": sample("lm-eval-results.json"),
    "model-card": sample("model-card.md"),
}

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["=cmd()", "\x00", "../..", "pkg:", "pkg:npm/a@1", "MIT", "a" * 5000, "2026-01-01T00:00:00Z", "f" * 64]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**40, max_value=10**60),
    st.floats(allow_nan=True),
    texts,
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def expect_reading_or_refusal(body: bytes, kind: str) -> None:
    try:
        reading = readers.read(body, kind=kind)
    except Invalid as refused:
        expect_sentences(refused.faults)
    else:
        expect_storable(reading)


def expect_sentences(faults: tuple[Fault, ...]) -> None:
    assert faults
    for fault in faults:
        assert 0 < len(str(fault).encode()) < 3000
        assert fault.field
        assert fault.seen
        assert fault.expected


def expect_storable(reading: Reading) -> None:
    shown = [dict(reading.summary), list(reading.warnings), dict(reading.suggestions), list(reading.subject_digests)]
    assert b"\\u0000" not in canonical(shown)
    for part in reading.parts:
        assert 0 < len(part.name) <= 300
        assert max(len(part.version), len(part.purl_name)) <= 300
        assert max(len(part.type), len(part.purl_type)) <= 40
        assert len(part.purl) <= 600
        assert "\x00" not in canonical([part.name, part.version, part.purl, part.purl_name, *part.licences]).decode()
    for found in reading.metrics:
        assert abs(found.value) <= LARGEST
        assert found.value == round(found.value, 12)
        assert 0 < len(found.name) <= 120
        assert len(found.unit) <= 40
        assert found.measured_at is not None
    for digest in reading.subject_digests:
        assert len(bytes.fromhex(digest)) == 32


@pytest.mark.parametrize("kind", KINDS)
@given(body=st.binary(max_size=300))
@bounded
def test_random_bytes(kind: str, body: bytes) -> None:
    expect_reading_or_refusal(body, kind)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@bounded
def test_a_sample_with_bytes_changed_removed_or_added(kind: str, data: st.DataObject) -> None:
    body = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 8)))
        body[start:end] = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b'"', b"[", b"}", b"\\", b"1e9", b"---\n"]))
        )
    expect_reading_or_refusal(bytes(body), kind)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@bounded
def test_a_sample_cut_off(kind: str, data: st.DataObject) -> None:
    expect_reading_or_refusal(FILES[kind][: data.draw(st.integers(0, len(FILES[kind])))], kind)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Return (holder, key) of every value in a JSON document."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else []
        found.extend((holder, key) for key in keys)
        waiting.extend(holder[key] for key in keys)
    return found


def damaged(data: st.DataObject, name: str) -> Any:
    """Return a copy of a document with some values replaced, dropped or renamed."""
    document = json.loads(json.dumps(DOCUMENTS[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(document) or [(document, None)]))
        if key is None:
            break
        what = data.draw(st.sampled_from(["replace", "replace", "drop", "rename"]))
        if what == "replace" or isinstance(holder, list):
            holder[key] = data.draw(values)
        elif what == "drop":
            del holder[key]
        else:
            holder[data.draw(texts)] = holder.pop(key)
    return document


@given(data=st.data())
@bounded
def test_an_sbom_with_values_replaced(data: st.DataObject) -> None:
    expect_reading_or_refusal(as_body(damaged(data, "sbom")), "sbom")


@given(data=st.data())
@bounded
def test_a_provenance_with_values_replaced(data: st.DataObject) -> None:
    expect_reading_or_refusal(envelope(statement(damaged(data, "provenance"))), "provenance")


@given(data=st.data())
@bounded
def test_a_statement_with_values_replaced(data: st.DataObject) -> None:
    member = data.draw(st.sampled_from(["_type", "subject", "predicateType", "predicate"]))
    content = statement(provenance()) | {member: data.draw(values)}
    expect_reading_or_refusal(envelope(content), "provenance")


@given(members=st.dictionaries(st.sampled_from(["payload", "payloadType", "signatures", "dsseEnvelope"]), values))
@bounded
def test_an_envelope_with_values_replaced(members: dict[str, Any]) -> None:
    expect_reading_or_refusal(envelope(statement(provenance()), **members), "provenance")


@given(payload=st.binary(max_size=200))
@bounded
def test_an_envelope_around_random_bytes(payload: bytes) -> None:
    expect_reading_or_refusal(envelope(None, payload=base64.b64encode(payload).decode()), "provenance")


@pytest.mark.parametrize("name", ["package", "harness"])
@given(data=st.data())
@bounded
def test_an_evaluation_with_values_replaced(name: str, data: st.DataObject) -> None:
    expect_reading_or_refusal(as_body(damaged(data, name)), "evaluation")


@given(matter=st.text(alphabet=st.sampled_from("ab:-?[]{}&*!|>'\"%@`#,\n \\x0.\t\x07é"), max_size=200))
@bounded
def test_a_model_card_with_random_front_matter(matter: str) -> None:
    expect_reading_or_refusal(f"---\n{matter}\n---\n# T\n".encode(), "model-card")


@given(
    key=st.sampled_from(["license", "base_model", "datasets", "model-index", "tags", "language"]),
    value=values.filter(lambda value: "NaN" not in json.dumps(value)),
)
@bounded
def test_a_model_card_with_random_values(key: str, value: Any) -> None:
    expect_reading_or_refusal(f"---\n{key}: {json.dumps(value)}\n---\n# Uses\nx\n".encode(), "model-card")
