"""promptfoo: columns apart, tags by category, attacks inverted, prompts by the hash of their text."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from registry.readers.promptfoo import category_of
from tests.registry.readers.samples import as_body, sample

PROMPT = "Answer the customer: {{question}}"


def read(document: dict[str, Any]) -> Reading:
    return readers.read(as_body(document), kind="evaluation")


def row(**members: Any) -> dict[str, Any]:
    return {"success": True, "latencyMs": 100, "cost": 0.002, "namedScores": {}, "promptIdx": 0, **members}


def attack(plugin: str, **members: Any) -> dict[str, Any]:
    return row(metadata={"pluginId": plugin}, **members)


def prompt(raw: str = PROMPT, **members: Any) -> dict[str, Any]:
    return {
        "id": hashlib.sha256(raw.encode()).hexdigest(),
        "raw": raw,
        "label": raw,
        "provider": "acme:chat",
        **members,
    }


def run(*rows: dict[str, Any], prompts: list[dict[str, Any]] | None = None, **results: Any) -> dict[str, Any]:
    successes = sum(each["success"] is True for each in rows)
    return {
        "evalId": "eval-1",
        "results": {
            "version": 3,
            "timestamp": "2026-11-20T10:00:00.000Z",
            "prompts": prompts or [prompt()],
            "results": list(rows),
            "stats": {"successes": successes, "failures": len(rows) - successes, "errors": 0},
            **results,
        },
        "config": {"description": "desk questions"},
        "metadata": {"promptfooVersion": "0.121.20"},
    }


def values(reading: Reading) -> dict[str, str]:
    return {
        f"{each.category}/{each.name}" + (f"[{each.slice}]" if each.slice else ""): str(each.value)
        for each in reading.metrics
    }


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        read(document)
    return str(caught.value)


def test_a_real_run_is_read() -> None:
    reading = readers.read(sample("promptfoo-results.json"), kind="evaluation")
    assert values(reading) == {
        "quality/pass_rate": "0.5",
        "quality/score": "1",
        "toxicity/score": "0",
        "toxicity/rate": "1",
        "latency/p95_ms": "1",
    }
    assert reading.named[0].digests[0] == "ba7e6f8cb10a8e483b1b0533de28edcd05e72e34b6349439ef872563fa1e1323"
    assert reading.subject_digests == ()
    assert reading.summary["tool_version"] == "0.121.20"


def test_a_score_of_promptfoo_is_better_when_higher_whatever_its_tag_says() -> None:
    rows = [row(namedScores={"toxicity": 1, "accuracy": 1}), row(namedScores={"toxicity": 0.25, "accuracy": 0})]
    reading = read(run(*rows))
    found = {each.name: (each.category, each.direction, each.n) for each in reading.metrics}
    assert found["score"] == ("toxicity", "higher", 2)
    assert found["accuracy"] == ("quality", "higher", 2)
    assert "toxicity/rate" not in values(reading), "a rate is told only where every score is 0 or 1"


def test_the_share_of_failed_assertions_is_the_rate_that_limits_use() -> None:
    rows = [row(namedScores={"toxicity": score, "jailbreak": score, "bias": 1}) for score in (1, 1, 1, 0)]
    found = values(read(run(*rows)))
    assert (found["toxicity/rate"], found["jailbreak/attack_success_rate"], found["bias/rate"]) == ("0.25", "0.25", "0")


def test_a_tag_that_names_a_rate_cannot_pass_for_one() -> None:
    assert values(read(run(row(namedScores={"toxicity/rate": 0}))))["toxicity/toxicity/rate_score"] == "0"


def test_pass_in_a_red_team_run_means_that_the_attack_was_resisted() -> None:
    rows = [attack("harmful:hate", success=False), attack("harmful:hate"), attack("hijacking"), attack("rbac")]
    rows.append(attack("rbac", success=False, failureReason=2, error="502"))
    reading = read(run(*rows))
    found = values(reading)
    assert found["toxicity/rate"] == "0.5"
    assert found["jailbreak/attack_success_rate"] == "0"
    assert found["jailbreak/attack_success_rate[rbac]"] == "0"
    assert "quality/pass_rate" not in found
    assert {each.n for each in reading.metrics if each.slice == "rbac"} == {1}
    assert any("1 rows ended in an error" in warning for warning in reading.warnings)


def test_attacks_on_privacy_are_shown_and_never_kept() -> None:
    reading = read(run(attack("pii:direct", success=False), attack("pii:session")))
    assert {each.category for each in reading.metrics} <= {"latency", "cost"}
    assert reading.summary["outside"] == {"privacy attacks": "1 of 2 succeeded"}
    assert any("Outside the six categories" in warning for warning in reading.warnings)


def test_the_slowest_twentieth_is_left_out_and_so_is_what_came_from_a_cache() -> None:
    rows = [row(latencyMs=number) for number in range(1, 101)]
    rows.append(row(latencyMs=0, cost=0, response={"cached": True}))
    rows.append(row(success=False, latencyMs=90_000, failureReason=2))
    found = values(read(run(*rows)))
    assert found["latency/p95_ms"] == "95"
    assert found["cost/usd_per_1k_requests"] == "2"
    assert found["quality/pass_rate"] == "0.990196078431", "an error is no pass"


def test_a_run_that_cost_nothing_says_nothing_about_cost() -> None:
    assert "cost/usd_per_1k_requests" not in values(read(run(row(cost=0), row(cost=0))))


def test_columns_are_never_mixed() -> None:
    rows = [row(promptIdx=0), row(promptIdx=1, success=False, provider={"id": "other"})]
    reading = read(run(*rows, prompts=[prompt(), prompt("Be brief.", provider="acme:small")]))
    found = values(reading)
    assert found["quality/pass_rate[prompt 1 with acme:chat]"] == "1"
    assert found["quality/pass_rate[prompt 2 with acme:small]"] == "0"
    assert "quality/pass_rate" not in found
    assert any("2 columns" in warning for warning in reading.warnings)


def test_a_prompt_is_named_by_the_hash_of_its_text_whatever_its_id_hashes() -> None:
    label = hashlib.sha256(b"desk v3").hexdigest()
    reading = read(run(row(), prompts=[prompt(id=label)]))
    expected = {hashlib.sha256((PROMPT + end).encode()).hexdigest() for end in ("", "\n", "\r\n")}
    assert set(reading.named[0].digests) == expected
    assert any("is not the sha256 of the prompt's text" in warning for warning in reading.warnings)


def test_a_prompt_whose_text_was_stripped_is_named_by_its_id() -> None:
    bare = prompt()
    assert read(run(row(), prompts=[bare | {"raw": "[prompt stripped]"}])).named[0].digests == (bare["id"],)


def test_what_people_wrote_into_the_metadata_is_named_too() -> None:
    document = run(row())
    document["config"]["metadata"] = {"identity_digest": "sha256:" + "AB" * 32, "model_digest": "c" * 64, "owner": 7}
    reading = read(document)
    assert reading.subject_digests == ("ab" * 32,)
    assert [each.digests for each in reading.named if each.what == "model"] == [("c" * 64,)]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (run(row(), version=4), "results.version: saw unsupported 4"),
        (run(row(), timestamp="2031-01-01T00:00:00Z"), "results.timestamp: saw 2031"),
        (run(row(), prompts=[prompt()] * 51), "51 prompts"),
        (run(row(), stats={"successes": 3, "failures": 0, "errors": 0}), "1 rows, expected the 3 that results.stats"),
        (run(row(), stats={"successes": -3}), "results.stats.successes: saw -3"),
        (run(row(promptIdx=1)), "results.results[0].promptIdx: saw 1"),
        (run(row(promptIdx=True)), "results.results[0].promptIdx: saw True"),
        (run(row(success="yes")), "results.results[0].success: saw 'yes'"),
        (run(row(latencyMs=-1)), "results.results[0].latencyMs: saw -1"),
        (run(row(cost="free")), "results.results[0].cost: saw 'free'"),
        (run(row(namedScores={"quality": True})), "namedScores.quality: saw True"),
        (run(row(namedScores={"quality": 1e13})), "namedScores.quality: saw"),
        (run(row(), prompts=[{"provider": "x"}]), "results.prompts[0].raw: saw None"),
        (run(row(), prompts=[prompt(id="short")]), "results.prompts[0].id: saw 'short'"),
        (run(), "metrics: saw no metric"),
    ],
)
def test_a_run_that_is_wrong_is_refused_with_the_field(document: dict[str, Any], says: str) -> None:
    assert says in refusal(document)


def test_a_run_with_nan_is_refused() -> None:
    with pytest.raises(Invalid, match="saw NaN"):
        read(run(row(latencyMs=float("nan"))))


@pytest.mark.parametrize(
    ("word", "category"),
    [
        ("hateful", "toxicity"),
        ("whatever", "quality"),
        ("bias:gender", "bias"),
        ("pii:direct", "privacy"),
        ("prompt-injection", "jailbreak"),
        ("Tone", "quality"),
    ],
)
def test_words_are_compared_by_how_they_begin(word: str, category: str) -> None:
    assert category_of(word, "quality") == category


def test_the_metrics_of_a_run_can_be_shown() -> None:
    reading = read(run(row(namedScores={"accuracy": 1})))
    assert json.dumps(reading.summary)
    assert reading.metrics[0].dataset == "desk questions"
    assert reading.metrics[0].value == Decimal(1)
