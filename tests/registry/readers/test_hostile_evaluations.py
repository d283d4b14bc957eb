"""Whatever happened to an evaluation report, its reader answers with a storable Reading or with Invalid, and soon."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.readers.inspect_ai import InspectEval
from registry.readers.members import Members
from registry.readers.signed_evaluation import EVALUATION, TEST_RESULT
from tests.registry.readers.samples import as_body, envelope, metric, package, sample, statement
from tests.registry.readers.test_hostile_input import expect_reading_or_refusal, places, texts, values
from tests.registry.readers.zips import Member, zipped

FILES = (
    "promptfoo-results.json",
    "garak.report.jsonl",
    "inspect-log.json",
    "inspect-log.eval",
    "lm-eval-results.json",
    "lm-eval-samples.jsonl",
    "eval_results.yaml",
)
bounded = settings(
    deadline=timedelta(seconds=10),
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
DETAILED = metric(n=5000, stderr=0.1, unit="ms", ci_low=0.9, ci_high=0.95)


def damaged(data: st.DataObject, document: Any) -> Any:
    """Return a copy of a document with some values replaced, dropped or renamed."""
    document = json.loads(json.dumps(document))
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(document)
        if not found:
            break
        holder, key = data.draw(st.sampled_from(found))
        what = data.draw(st.sampled_from(["replace", "replace", "drop", "rename"]))
        if what == "replace" or isinstance(holder, list):
            holder[key] = data.draw(values)
        elif what == "drop":
            del holder[key]
        else:
            holder[data.draw(texts)] = holder.pop(key)
    return document


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@bounded
def test_a_report_with_bytes_changed_removed_or_added(name: str, data: st.DataObject) -> None:
    body = bytearray(sample(name))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 8)))
        noise = st.sampled_from([b'"', b"[", b"}", b"\\", b"1e9", b"\n", b"PK\x01\x02", b"\xff\xff\xff\xff"])
        body[start:end] = data.draw(st.one_of(st.binary(max_size=8), noise))
    expect_reading_or_refusal(bytes(body), "evaluation")


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@bounded
def test_a_report_that_was_cut_off(name: str, data: st.DataObject) -> None:
    body = sample(name)
    expect_reading_or_refusal(body[: data.draw(st.integers(0, len(body)))], "evaluation")


@pytest.mark.parametrize("name", ["promptfoo-results.json", "inspect-log.json"])
@given(data=st.data())
@bounded
def test_a_report_with_values_replaced(name: str, data: st.DataObject) -> None:
    expect_reading_or_refusal(as_body(damaged(data, json.loads(sample(name)))), "evaluation")


@given(data=st.data())
@bounded
def test_a_report_of_lines_with_values_replaced(data: st.DataObject) -> None:
    lines = [json.loads(line) for line in sample("garak.report.jsonl").splitlines()]
    broken = damaged(data, lines)
    expect_reading_or_refusal("\n".join(json.dumps(line) for line in broken).encode(), "evaluation")


@given(data=st.data())
@bounded
def test_a_package_with_values_replaced(data: st.DataObject) -> None:
    subject = {
        "identity_digest": "a" * 64,
        "artifact_sha256": ["a" * 64],
        "prompt_sha256": "b" * 64,
        "params": {"x": 1},
    }
    whole = package([DETAILED, metric("other", value=7, slice="EU")], subject=subject, raw_file_sha256="c" * 64)
    expect_reading_or_refusal(as_body(damaged(data, whole)), "evaluation")


@pytest.mark.parametrize("kind", [EVALUATION, TEST_RESULT])
@given(data=st.data())
@bounded
def test_a_signed_evaluation_with_values_replaced(kind: str, data: st.DataObject) -> None:
    reports = [{"name": "r", "digest": {"sha256": "d" * 64}}]
    predicate = package([DETAILED]) if kind == EVALUATION else {"result": "PASSED", "reports": reports}
    content = statement(damaged(data, predicate), predicateType=kind)
    expect_reading_or_refusal(envelope(damaged(data, content) if data.draw(st.booleans()) else content), "evaluation")


@given(data=st.data())
@bounded
def test_a_zip_whose_members_lie(data: st.DataObject) -> None:
    honest = Members(sample("inspect-log.eval"))
    lies = st.fixed_dictionaries(
        {},
        optional={
            "method": st.sampled_from([0, 8, 14, 93, 99]),
            "flags": st.sampled_from([0, 1, 8, 0x41, 0x800]),
            "said_size": st.integers(0, 2**32 - 1),
            "said_crc": st.integers(0, 2**32 - 1),
            "local_name": st.sampled_from(["header.json", "x", ""]),
            "packed": st.binary(max_size=60),
        },
    )
    members = [
        Member(name, honest.read(name, max_bytes=10**7)).lying(**data.draw(lies))
        for name in ("_journal/start.json", "summaries.json", "header.json")
    ]
    body = zipped(members)
    assert InspectEval().recognises(body) or not body
    expect_reading_or_refusal(body, "evaluation")
