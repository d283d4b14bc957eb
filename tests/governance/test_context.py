"""What conditions look at: everything of the documented context, as of an instant, in a fixed number of queries."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance import context, relicensing
from governance.conditions import CONTEXT
from governance.linting import misfits
from registry import evidence
from registry.models import Evaluation, Version
from tests.factories import artifacts, import_advisories, osv
from tests.scene import Scene


def look(version: Version, **more: Any) -> dict[str, Any]:
    return context.of(version, environment="staging", **{"at": timezone.now(), **more})


def numbers_as_text(value: Any) -> Any:
    """Return a context with its numbers as a policy's text writes them: the shape is held against those."""
    if isinstance(value, dict):
        return {name: numbers_as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [numbers_as_text(item) for item in value]
    return f"{value:f}" if isinstance(value, float) else value


def test_the_context_of_a_version_is_the_documented_one(scene: Scene) -> None:
    base = scene.version
    part = [{"role": "base", "version": base.label}]
    version = scene.walk.candidate("tagger", "1.0.0", artifacts.scorer(2), components=part, finetune_method="full")
    found = look(version)
    assert set(found) == set(CONTEXT)
    assert set(found["version"]) == set(CONTEXT["version"])
    assert list(misfits(numbers_as_text(found), CONTEXT, "context")) == []
    assert found["version"]["label"] == "tagger@1.0.0"
    assert found["asset"] == {
        "name": "tagger", "kind": "model", "team": "risk-models", "has_owner": True, "has_backup_owner": True,
    }  # fmt: skip
    assert [each["name"] for each in found["components"]] == ["fraud-scorer"]
    assert found["components"][0]["state"] == "candidate"
    assert found["datasets"][0]["personal_data"] is True
    assert found["metrics"]["quality/accuracy"] == float(
        Evaluation.objects.get(evidence__version=version, category="quality", metric="accuracy").value
    )


def test_what_is_not_known_is_not_there(scene: Scene) -> None:
    draft = scene.walk.register("tagger", "1.0.0", None)
    found = look(draft)
    assert "size" not in found["version"]
    assert (found["metrics"], found["evidence"], found["components"]) == ({}, [], [])
    assert None not in found["version"].values()


def test_facts_are_those_of_the_instant(scene: Scene) -> None:
    version, before = scene.version, scene.version.frozen_at
    assert before is not None
    now, early = look(version), look(version, at=before - timedelta(days=1))
    assert (early["evidence"], early["metrics"]) == ([], {})
    assert now["evidence"]
    assert now["metrics"]
    later = look(version, at=timezone.now() + timedelta(days=3, hours=1))
    assert {row["age_days"] for row in later["evidence"]} == {3.0}


def test_a_finding_is_open_until_it_goes_away(scene: Scene, tmp_path: Any) -> None:
    version = scene.version
    import_advisories(scene.walk.cast, tmp_path, osv("GHSA-aaaa-aaaa-aaaa", "numpy", fixed="99"))
    scene.walk.work()
    [finding] = version.findings.all()
    [seen] = look(version)["findings"]
    assert (seen["id"], seen["open"]) == (finding.vulnerability, True)
    assert look(version, at=finding.found_at - timedelta(seconds=1))["findings"] == []


def test_an_owner_who_is_no_longer_here_is_no_owner(scene: Scene) -> None:
    version, ada = scene.version, scene.version.asset.owner
    assert ada is not None
    ada.is_active = False
    assert look(version)["asset"]["has_owner"] is False
    ada.is_active, ada.left_at = True, timezone.now()
    assert look(version)["asset"]["has_owner"] is False
    assert look(version, at=timezone.now() - timedelta(days=1))["asset"]["has_owner"] is True


def test_a_value_of_another_digest_is_not_there(scene: Scene) -> None:
    version = Version.objects.get(pk=scene.version.pk)
    version.identity_digest = "ab" * 32
    assert look(version)["metrics"] == {}


def test_values_of_one_instant_on_several_data_sets_are_not_chosen_between(scene: Scene) -> None:
    version = scene.walk.register("tagger", "1.0.0", artifacts.scorer(2))
    report = evidence.attach(version, actor=scene.walk.cast.cee_i, kind="other", filename="notes.txt", body=b"nothing")
    rows = [("holdout", "0.9"), ("live", "0.7")]
    values = [
        Evaluation(
            pk=number, evidence=report, category="quality", metric="f1", value=Decimal(value), dataset=dataset,
            measured_at=report.attached_at, subject_digest=version.identity_digest,
        )
        for number, (dataset, value) in enumerate(rows)
    ]  # fmt: skip
    assert context.name_values(values) == {"quality/f1@holdout": 0.9, "quality/f1@live": 0.7}
    values[0].measured_at += timedelta(seconds=1)
    assert context.name_values(values)["quality/f1"] == 0.9
    values[0].slice, values[1].slice = "EU", "EU"
    assert set(context.name_values(values)) == {"quality/f1[EU]", "quality/f1[EU]@holdout", "quality/f1[EU]@live"}
    values[0].value = Decimal("NaN")
    assert "quality/f1[EU]@holdout" not in context.name_values(values)


def test_a_list_that_is_too_long_is_left_out(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.conditions.MAX_ITEMS", 1)
    found = look(scene.version)
    assert "evidence" not in found
    assert "datasets" in found


def test_three_versions_cost_as_many_queries_as_one(scene: Scene) -> None:
    walk = scene.walk
    more = [walk.candidate(f"tagger-{number}", "1.0.0", artifacts.scorer(number)) for number in (2, 3)]

    def count(*keys: int) -> int:
        rows = list(Version.objects.filter(pk__in=keys).select_related("asset"))
        with CaptureQueriesContext(connection) as caught:
            found = context.of_versions(rows, environment="staging", at=timezone.now())
        assert all(set(each) == set(CONTEXT) for each in found.values())
        return len(caught)

    assert count(scene.version.pk) == count(scene.version.pk, *(each.pk for each in more)) <= 10
    version = Version.objects.select_related("asset").get(pk=scene.version.pk)
    with CaptureQueriesContext(connection) as caught:
        context.of(version, environment="staging", at=timezone.now(), only={"version"})
    assert len(caught) == 1


def test_the_licence_is_the_one_that_a_version_has_at_the_instant(scene: Scene) -> None:
    version, now = scene.version, timezone.now()
    assert look(version)["version"]["licence"] == "Apache-2.0"
    told = {"source": "https://example.com/terms", "reason": "Its makers changed the terms."}
    relicensing.record(version, "GPL-3.0-only", actor=scene.walk.cast.ada, **told)
    assert look(version)["version"]["licence"] == "GPL-3.0-only"
    assert look(version, at=now)["version"]["licence"] == "Apache-2.0"
