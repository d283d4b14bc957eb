"""inspect_ai: JSON log and .eval zip say the same, only a run that succeeded counts, and no zip can trick it."""

from __future__ import annotations

import struct
import zlib
from decimal import Decimal
from typing import Any

import pytest
import zstandard

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from tests.registry.readers.samples import as_body, sample
from tests.registry.readers.zips import Member, as_member, zipped


def log(**members: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "status": "success",
        "eval": {"task": "desk", "task_id": "t", "created": "2026-11-20T10:00:00+00:00", "dataset": {"name": "q1"}},
        "plan": {"steps": []},
        "results": {
            "total_samples": 2,
            "completed_samples": 2,
            "scores": [{"name": "match", "metrics": {"accuracy": {"value": 0.5}, "stderr": {"value": 0.25}}}],
        },
        "stats": {"completed_at": "2026-11-20T10:05:00+00:00"},
        "samples": [{"working_time": 0.5}, {"working_time": 1.5}],
        **members,
    }


def results(**members: Any) -> dict[str, Any]:
    return {"results": {**log()["results"], **members}}


def read(document: dict[str, Any]) -> Reading:
    return readers.read(as_body(document), kind="evaluation")


def refusal(body: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        readers.read(body, kind="evaluation")
    return str(caught.value)


def archive(*more: Member, header: dict[str, Any] | None = None) -> list[Member]:
    said = header or {key: value for key, value in log().items() if key != "samples"}
    return [
        as_member("_journal/start.json", {}),
        as_member("samples/1_epoch_1.json", {}),
        as_member("samples/2_epoch_1.json", {}),
        *more,
        as_member("summaries.json", log()["samples"]),
        as_member("header.json", said),
    ]


@pytest.mark.parametrize(
    ("name", "slug"), [("inspect-log.json", "inspect-ai"), ("inspect-log.eval", "inspect-ai-eval")]
)
def test_a_real_log_is_read(name: str, slug: str) -> None:
    reading = readers.read(sample(name), kind="evaluation")
    accuracy, latency = reading.metrics
    assert reading.reader == slug
    assert (accuracy.name, accuracy.value, accuracy.n) == ("demo.includes.accuracy", Decimal("0.4"), 5)
    assert accuracy.stderr == Decimal("0.244948974278")
    assert (latency.name, latency.unit, latency.direction) == ("sample_p95_ms", "ms", "lower")
    assert [each.digests for each in reading.named] == [("a" * 64,)]
    assert reading.warnings == ("metadata.prompt_hash is 'sha256:abc', which is no sha256, and was not compared.",)


def test_the_time_of_samples_and_the_data_set_are_told() -> None:
    reading = read(log())
    assert [(each.name, str(each.value), each.dataset) for each in reading.metrics] == [
        ("desk.match.accuracy", "0.5", "q1"),
        ("sample_p95_ms", "1500", "q1"),
    ]


def test_a_task_says_what_its_scores_are_about_and_which_way_is_better() -> None:
    said = log()["eval"] | {"metadata": {"category": "jailbreak", "direction": "lower"}}
    metric = read(log(eval=said)).metrics[0]
    assert (metric.category, metric.direction) == ("jailbreak", "lower")


def test_scores_that_were_reduced_in_several_ways_are_kept_apart() -> None:
    scores = [
        {"name": "match", "reducer": way, "metrics": {"accuracy": {"value": value}}}
        for way, value in (("mean", 0.5), ("pass_at_2", 1))
    ]
    found = [each.name for each in read(log(**results(scores=scores))).metrics]
    assert found[:2] == ["desk.match.mean.accuracy", "desk.match.pass_at_2.accuracy"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (log(version=1), "version: saw unsupported 1"),
        (log(status="error"), "status: saw 'error', expected success"),
        (log(status="cancelled"), "status: saw 'cancelled'"),
        (log(invalidated=True), "invalidated: saw True"),
        (log(results=None), "results: saw None"),
        (log(**results(completed_samples=1)), "results.completed_samples: saw 1, expected all 2"),
        (log(**results(total_samples=-2)), "results.total_samples: saw -2"),
        (log(samples=[{"working_time": 1}]), "samples: saw 1 samples, expected the 2"),
        (log(samples=[{"working_time": -1}] * 2), "samples[0].working_time: saw -1"),
        (log(stats={"completed_at": "2031-01-01T00:00:00Z"}), "stats.completed_at: saw 2031"),
        (log(**results(scores=[]), samples=None), "metrics: saw no metric"),
        (log(**results(scores=[{"name": "m", "metrics": {"accuracy": {"value": 1e13}}}])), "accuracy.value: saw"),
        (log(eval=log()["eval"] | {"metadata": {"category": "privacy"}}), "metadata.category: saw 'privacy'"),
        (log(eval=log()["eval"] | {"metadata": {"direction": "up"}}), "metadata.direction: saw 'up'"),
    ],
)
def test_a_log_that_is_wrong_is_refused_with_the_field(document: dict[str, Any], says: str) -> None:
    assert says in refusal(as_body(document))


def test_both_forms_of_a_log_say_the_same() -> None:
    assert readers.read(zipped(archive()), kind="evaluation").metrics == read(log()).metrics


@pytest.mark.parametrize("method", [0, 8, 93])
def test_members_may_be_stored_deflated_or_in_zstd(method: int) -> None:
    members = [each.lying(method=method) for each in archive()]
    assert readers.read(zipped(members), kind="evaluation").metrics


def test_a_run_that_was_cut_off_has_no_header_and_is_refused() -> None:
    assert "header.json: saw nothing" in refusal(zipped(archive()[:-1]))
    assert "samples: saw 1 samples" in refusal(zipped([each for each in archive() if "2_epoch" not in each.name]))


def header(**lies: Any) -> bytes:
    *others, last = archive()
    return zipped([*others, last.lying(**lies)])


def bomb() -> bytes:
    return zstandard.ZstdCompressor().compress(b" " * 50_000_000)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (header(flags=0x801), "header.json: saw an encrypted or patched member"),
        (header(method=14), "header.json: saw compression method 14"),
        (header(said_crc=1), "header.json: saw bytes that do not fit"),
        (header(said_size=1), "header.json: saw bytes that do not fit"),
        (header(said_size=60_000), "header.json: saw bytes that do not fit"),
        (header(local_name="footer.json"), "header.json: saw a local header of another member"),
        (header(packed=b"\x28\xb5\x2f\xfd garbage"), "header.json: saw bytes that cannot be decompressed"),
        (header(packed=bomb()), "header.json: saw bytes that do not fit"),
        (header(packed=bomb(), said_size=50_000_000), "header.json: saw 50,000,000 bytes, expected at most"),
        (header(packed=bomb(), said_size=16_000_000), "header.json: saw 16,000,000 bytes out of"),
        (zipped([*archive(), as_member("header.json", {})]), "document: saw a member more than once"),
        (zipped([*archive(), Member("big", b"", said_size=600_000_000)]), "bytes when unpacked"),
        (zipped([Member(f"header.json{number}", b"", 0) for number in range(20_001)]), "20,001 members"),
        (zipped(archive())[:-30], "a zip file that cannot be opened"),
        (zipped(archive(header={"version": 2})), "status: saw None"),
        (header(content=b"{", method=0), "well-formed JSON"),
    ],
)
def test_no_zip_can_trick_the_reader(body: bytes, says: str) -> None:
    assert says in refusal(body)


def test_a_member_whose_header_lies_outside_the_file_is_refused() -> None:
    body = bytearray(zipped(archive()))
    at = body.rindex(b"PK\x01\x02")
    body[at + 42 : at + 46] = struct.pack("<I", len(body) - 3)
    assert "header.json: saw" in refusal(bytes(body))


def test_a_deflated_bomb_is_never_unpacked_whole() -> None:
    squeeze = zlib.compressobj(wbits=-15)
    packed = squeeze.compress(b" " * 50_000_000) + squeeze.flush()
    assert "header.json: saw" in refusal(header(packed=packed, method=8))
