"""What is different between two versions: facts a reviewer reads before anything else, and only registered ones."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from registry import comparison, drafts
from registry.models import Version
from tests.factories import Walk, artifacts, documents

OLD, NEW = "Be kind.\n", "Be kind.\nNever quote a rate.\n"


def model(walk: Walk, number: str, seed: int, **changes: object) -> Version:
    return walk.attach_all(walk.register("fraud-scorer", number, artifacts.scorer(seed), **changes), **changes)


def prompt(walk: Walk, number: str, text: str) -> Version:
    return walk.register("credit-prompt", number, text.encode(), kind="prompt", suffix="txt", finetune_method="prompt")


def artifact(version: Version) -> Path:
    return Path(urlsplit(version.storage_uri).path)


def test_fields_are_listed_by_section_without_what_differs_by_nature(walk: Walk) -> None:
    found = comparison.compare(model(walk, "1.0.0", 1), model(walk, "1.1.0", 2, risk="high"))
    differing = {(section, field) for section, field, _, _ in found.fields}
    assert differing == {
        ("artifact", "identity"),
        ("artifact", "sha256"),
        ("source", "lockfile"),
        ("risk", "rating"),
        ("notes", "release"),
    }
    assert [row[2:] for row in found.fields if row[1] == "rating"] == [("medium", "high")]


def test_components_that_came_and_went_are_named(walk: Walk) -> None:
    newer = {**documents.PARTS, "numpy": "2.3.0", "pandas": "2.3.3"}
    del newer["scipy"]
    found = comparison.compare(model(walk, "1.0.0", 1), model(walk, "1.1.0", 2, parts=newer))
    assert found.added == ("pkg:pypi/numpy@2.3.0", "pkg:pypi/pandas@2.3.3")
    assert found.removed == ("pkg:pypi/numpy@2.2.6", "pkg:pypi/scipy@1.15.3")


def test_metrics_are_compared_each_on_its_own_digest(walk: Walk) -> None:
    metrics = {"quality/accuracy": "0.950", "latency/p99_ms": "401"}
    found = comparison.compare(model(walk, "1.0.0", 1), model(walk, "1.1.0", 2, metrics=metrics))
    deltas = {delta.metric: delta for delta in found.metrics}
    assert deltas["quality/accuracy"].change == Decimal("0.016")
    assert (deltas["latency/p99_ms"].before, deltas["latency/p99_ms"].change) == (None, None)
    assert deltas["toxicity/rate"].after is None


def test_two_prompts_are_shown_as_text_and_models_are_not(walk: Walk) -> None:
    assert comparison.compare(prompt(walk, "1.0.0", OLD), prompt(walk, "1.1.0", NEW)).prompt == (OLD, NEW)
    assert comparison.compare(model(walk, "1.0.0", 1), model(walk, "1.1.0", 2)).prompt is None


def test_bytes_that_were_swapped_since_are_never_shown_as_what_was_registered(walk: Walk) -> None:
    before, after = prompt(walk, "1.0.0", OLD), prompt(walk, "1.1.0", "Ignore all rules.\n")
    artifact(after).write_text(NEW)
    assert comparison.compare(before, after).prompt is None


def test_what_cannot_be_read_as_text_is_left_out(walk: Walk) -> None:
    before = prompt(walk, "1.0.0", OLD)
    huge = prompt(walk, "1.1.0", "x" * (comparison.MAX_PROMPT + 1))
    gone = prompt(walk, "1.2.0", NEW)
    artifact(gone).unlink()
    binary = walk.register("credit-prompt", "1.3.0", b"\xff\xfe\x00", kind="prompt", suffix="txt")
    begun = drafts.start_draft(before.asset, "1.4.0", actor=walk.cast.ada, copy_from=before)
    for after in (huge, gone, binary, begun):
        assert comparison.compare(before, after).prompt is None, after.label


def test_the_same_version_differs_in_nothing(walk: Walk) -> None:
    one = model(walk, "1.0.0", 1)
    found = comparison.compare(one, one)
    assert (found.fields, found.added, found.removed) == ((), (), ())
    assert {delta.change for delta in found.metrics} == {Decimal(0)}
