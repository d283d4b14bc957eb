"""garak: one rate for each probe and detector, never averaged, the worst one kept, everything else only shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Metric, Reading
from tests.registry.readers.samples import sample

START = {"entry_type": "init", "garak_version": "0.16.0", "start_time": "2026-11-20T09:00:00", "run": "r"}
END = {"entry_type": "completion", "end_time": "2026-11-20T10:00:00+01:00", "run": "r"}


def result(
    probe: str = "dan.Dan_11_0", detector: str = "dan.DAN", passed: int = 9, fails: int = 1, **members: Any
) -> Any:
    return {
        "entry_type": "eval",
        "probe": probe,
        "detector": detector,
        "passed": passed,
        "fails": fails,
        "nones": 0,
        "total_evaluated": passed + fails,
        **members,
    }


def report(*results: Any, start: Any = START, end: Any = END) -> bytes:
    return "\n".join(json.dumps(each) for each in (start, *results, end) if each is not None).encode()


def read(*results: Any, **ends: Any) -> Reading:
    return readers.read(report(*results, **ends), kind="evaluation")


def refusal(*results: Any, **ends: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(*results, **ends)
    return str(caught.value)


def by_place(reading: Reading) -> dict[tuple[str, str, str], Metric]:
    return {(f"{each.category}/{each.name}", each.dataset, each.slice): each for each in reading.metrics}


def test_a_whole_report_is_read() -> None:
    reading = readers.read(sample("garak.report.jsonl"), kind="evaluation")
    found = by_place(reading)
    dan = found[("jailbreak/attack_success_rate", "garak", "dan.Dan_11_0, dan.DAN")]
    assert (dan.value, dan.n, dan.direction, dan.ci_low, dan.ci_high) == (
        Decimal("0.04"),
        25,
        "lower",
        Decimal(0),
        Decimal("0.12"),
    )
    assert found[("jailbreak/worst_attack_success_rate", "garak", "")].value == Decimal("0.2")
    assert found[("toxicity/rate", "garak", "realtoxicityprompts.RTPBlank")].value == 0
    assert found[("quality/failure_rate", "garak", "packagehallucination.Python")].value == Decimal("0.05")
    assert reading.summary["target"] == {"target_type": "rest", "target_name": "credit-assistant", "generations": "5"}
    assert reading.summary["attempts"] == 1


def test_what_falls_outside_the_six_categories_is_shown_and_never_kept() -> None:
    reading = readers.read(sample("garak.report.jsonl"), kind="evaluation")
    assert "leakreplay.LiteratureCloze with leakreplay.StartsWith" in reading.summary["outside"]
    assert not any("leakreplay" in each.slice or "visual_jailbreak" in each.slice for each in reading.metrics)
    assert any("Outside the six categories" in warning for warning in reading.warnings)
    only = read(result("propile.PIILeakTwin"))
    assert only.metrics == ()
    assert only.summary["outside"] == {"propile.PIILeakTwin with dan.DAN": "1 of 10 failed"}


def test_probes_are_never_averaged_and_the_worst_is_kept() -> None:
    found = by_place(read(result("dan.A", passed=10, fails=0), result("tap.B", passed=0, fails=2)))
    assert found[("jailbreak/attack_success_rate", "garak", "dan.A")].value == 0
    assert found[("jailbreak/attack_success_rate", "garak", "tap.B")].value == 1
    worst = found[("jailbreak/worst_attack_success_rate", "garak", "")]
    assert (str(worst.value), worst.n) == ("1", 2)


def test_a_report_of_an_older_release_has_a_total_and_no_fails() -> None:
    line = result() | {"detector": "detector.dan.DAN", "total": 10}
    del line["total_evaluated"], line["fails"]
    reading = read(line, start=START | {"garak_version": "0.9.0.9"})
    assert reading.metrics[0].value == Decimal("0.1")
    assert any("Written by garak 0.9.0.9" in warning for warning in reading.warnings)


def test_an_instant_without_an_offset_is_taken_for_the_earliest_it_can_mean() -> None:
    reading = read(result(), end=END | {"end_time": "2026-11-20T10:00:00.123"})
    assert reading.measured_at == datetime(2026, 11, 19, 20, 0, 0, 123000, tzinfo=UTC)
    assert any("no offset" in warning for warning in reading.warnings)
    assert read(result()).measured_at == datetime(2026, 11, 20, 9, tzinfo=UTC)


def test_a_result_that_judged_nothing_is_left_out_with_a_warning() -> None:
    reading = read(result(), result("tap.B", passed=0, fails=0))
    assert {each.slice for each in reading.metrics} == {"dan.Dan_11_0", ""}
    assert "tap.B with dan.DAN judged no output." in reading.warnings


@pytest.mark.parametrize(
    ("lines", "ends", "says"),
    [
        ([result()], {"end": None}, "no line with the entry type completion"),
        ([result()], {"start": {"entry_type": "start_run setup"}}, "no line with the entry type init"),
        ([result(total_evaluated=11)], {}, "eval[0].total_evaluated: saw 11"),
        ([result(passed=-1)], {}, "eval[0].passed: saw -1"),
        ([result(fails=11, total_evaluated=10)], {}, "eval[0].total_evaluated: saw 10"),
        ([result(passed=True)], {}, "eval[0].passed: saw True"),
        ([result(), result()], {}, "more than once"),
        ([result(probe="")], {}, "eval[0].probe: saw ''"),
        ([result(confidence_lower=0.1)], {}, "one end of an interval"),
        ([result(confidence_lower=0.2, confidence_upper=0.1)], {}, "at least ci_low"),
        ([result()], {"end": END | {"end_time": "2031-01-01T00:00:00"}}, "not in the future"),
        ([result()], {"end": END | {"end_time": "2026-02-30T00:00:00"}}, "end_time: saw '2026-02-30"),
        ([result()], {"end": END | {"end_time": "0001-01-01T00:00:00"}}, "end_time: saw '0001"),
        ([[]], {}, "line 2: saw []"),
        ([{"no": "type"}], {}, "line 2.entry_type"),
        ([{"entry_type": "note"}] * 20_001, {}, "more than 20,000 lines besides attempts"),
        ([], {}, "metrics: saw no metric"),
    ],
)
def test_a_report_that_is_wrong_is_refused_with_the_place(lines: list[Any], ends: dict[str, Any], says: str) -> None:
    assert says in refusal(*lines, **ends)


def test_a_report_that_was_cut_off_is_refused() -> None:
    with pytest.raises(Invalid):
        readers.read(sample("garak.report.jsonl")[:-100], kind="evaluation")
