"""The evaluations tab and what hangs on it: what counts and why not, trends, signing a report, and the same as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from portal.demo import documents
from registry import evidence, signatures
from registry.models import Evidence, ReportSignature, User, Version
from tests.factories import artifacts
from tests.registry.readers.samples import sample
from tests.scene import Scene, staged
from tests.web.services import Service
from tests.web.visitors import order_of, read, visit

WORDS = {"capacity": "head of model validation", "statement": "Measured on the frozen set."}


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate and a version after it, once for the whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("scene")) as walk:
        walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
        better = {**documents.GOOD, "quality/accuracy": "0.951"}
        second = walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2))
        yield Scene(walk, walk.attach_all(second, metrics=better))


@pytest.fixture
def scene(stage: Scene, db: None) -> Scene:
    """Return a walk and a measured version that a test may change as it likes."""
    return deepcopy(stage)


def address(version: Version) -> str:
    return reverse("registry:version-tab", args=[version.asset.slug, version.number, "evaluations"])


def tab(person: User, version: Version) -> Any:
    answer = visit(person).get(address(version))
    assert answer.status_code == 200
    return answer


def attach(scene: Scene, body: bytes | dict[str, Any], version: Version | None = None, **more: Any) -> Evidence:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"kind": "evaluation", "filename": "more.json", **more}
    return evidence.attach(version or scene.version, actor=scene.walk.cast.cee_i, body=content, **told)


def package(version: Version, *metrics: dict[str, Any], days_ago: float = 0.1) -> dict[str, Any]:
    at = timezone.now() - timedelta(days=days_ago)
    document = json.loads(documents.evaluation(version.identity_digest, at=at, author="eva@example.com"))
    each = {"category": "quality", "name": "f1", "value": "0.9", "direction": "higher"}
    return {**document, "metrics": [{**each, **metric} for metric in metrics]}


def report_of(version: Version) -> Evidence:
    return version.evidence.get(kind="evaluation", filename="evaluation.json")


def test_required_metrics_come_first_then_everything_else_by_category(scene: Scene) -> None:
    attach(scene, package(scene.version, {"n": 2400, "stderr": "0.0061"}, {"category": "bias", "name": "gap"}))
    words = read(tab(scene.walk.cast.ada, scene.version))
    order_of(
        words, "Required metrics", "quality/accuracy", "cost/usd_per_1k_requests", "Also measured", "Trend", "Reports"
    )
    assert words.index("Also measured") < words.index("quality/f1") < words.index("bias/gap")
    assert "higher is better · 2400 samples · ± 0.0061 (standard error) · on holdout-2026-10" in words
    assert "What was measured is declared: as its report or its submitter says" in words


def test_a_value_that_does_not_count_is_shown_in_grey_with_the_reason(scene: Scene) -> None:
    first = Version.objects.get(number="1.0.0")
    draft = scene.walk.register("fraud-scorer", "1.2.0", artifacts.scorer(3))
    attach(scene, package(first, {"category": "quality", "name": "accuracy", "value": "0.99"}), draft)
    answer = tab(scene.walk.cast.ada, draft)
    words = read(answer)
    assert f"Was measured on fraud-scorer 1.0.0 ({first.identity_digest[:12]}…), whose artifact differs." in words
    assert "tone-neutral" in answer.content.decode()
    assert "dot-stale" in answer.content.decode()
    assert "not measured on this version itself" in words
    assert words.count("Is missing.") == 5


def test_the_trend_can_be_read_as_a_table_and_names_the_versions(scene: Scene) -> None:
    page = tab(scene.walk.cast.ada, scene.version).content.decode()
    label, _, rest = page.partition('aria-label="quality/accuracy by version"')
    assert label
    rows = re.findall(r"<th scope=\"row\">([^<]+)</th><td class=\"num\">([^<]+)</td>", rest.partition("</table>")[0])
    assert [(number, value.strip()) for number, value in rows] == [("1.0.0", "0.934"), ("1.1.0", "0.951")]
    drawn = page.partition("Trend over versions")[2]
    assert 'text-anchor="start">1.0.0</text>' in drawn
    assert 'text-anchor="end">1.1.0</text>' in drawn
    assert "dashed: at least 0.85; as a table" in drawn


def test_what_authors_report_is_shown_and_never_counted(scene: Scene) -> None:
    attach(scene, sample("eval_results.yaml"), filename="eval_results.yaml")
    words = read(tab(scene.walk.cast.ada, scene.version))
    assert order_of(words, "Reported by authors", "never counted", "cais/hle", "20.90")
    assert "These results are self-reported" in words
    answer = visit(scene.walk.cast.ada).get(address(scene.version))
    assert "20.90" not in answer.content.decode().partition("Reported by authors")[0]


def test_a_person_signs_a_report_and_reviewers_see_it(scene: Scene) -> None:
    row, ada = report_of(scene.version), scene.walk.cast.ada
    client = visit(ada)
    door = reverse("registry:report-sign", args=[row.public_id])
    assert door in tab(ada, scene.version).content.decode()
    words = read(client.get(door))
    assert order_of(words, "Sign evaluation.json", "cannot approve the version", "In what capacity", "The report")
    answer = client.post(door, WORDS)
    assert (answer.status_code, answer.url) == (302, address(scene.version))
    words = read(tab(scene.walk.cast.petra, scene.version))
    assert "signed by Ada Owner as head of model validation" in words
    assert "Measured on the frozen set." in words
    assert door not in tab(ada, scene.version).content.decode(), "once is enough"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"capacity": "", "statement": "Fine."}, "This field is required."),
        ({"capacity": "x", "statement": "Fine by me."}, "expected head of model validation: 3 to 200 characters"),
        ({"capacity": "<b>boss</b>", "statement": "x" * 4001}, "at most 4000 characters"),
    ],
)
def test_what_is_typed_wrongly_is_told_at_the_field(scene: Scene, typed: dict[str, str], said: str) -> None:
    door = reverse("registry:report-sign", args=[report_of(scene.version).public_id])
    answer = visit(scene.walk.cast.ada).post(door, typed)
    assert answer.status_code == 422
    assert said in read(answer)
    assert "<b>boss</b>" not in answer.content.decode()
    assert not ReportSignature.objects.exists()


def test_a_second_signature_is_refused_with_its_sentence(scene: Scene) -> None:
    row, ada = report_of(scene.version), scene.walk.cast.ada
    signatures.sign(row, actor=ada, **WORDS)
    answer = visit(ada).post(reverse("registry:report-sign", args=[row.public_id]), WORDS)
    assert answer.status_code == 409
    assert "Ada Owner signed evaluation.json already" in read(answer)


def test_nobody_signs_what_they_may_not_see_and_auditors_sign_nothing(scene: Scene) -> None:
    door = reverse("registry:report-sign", args=[report_of(scene.version).public_id])
    assert visit(scene.walk.cast.mallory).get(door).status_code == 404
    assert visit(scene.walk.cast.mallory).post(door, WORDS).status_code == 404
    assert visit(scene.walk.cast.iris).get(door).status_code == 403
    assert door not in tab(scene.walk.cast.iris, scene.version).content.decode()
    sbom = scene.version.evidence.get(kind="sbom")
    other = reverse("registry:report-sign", args=[sbom.public_id])
    assert visit(scene.walk.cast.ada).get(other).status_code == 404
    assert not ReportSignature.objects.exists()


def test_the_tab_takes_as_many_queries_for_many_reports_as_for_one(scene: Scene) -> None:
    client = visit(scene.walk.cast.ada)
    client.get(address(scene.version))
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(address(scene.version))
    for days in range(1, 12):
        attach(scene, package(scene.version, {"name": f"m{days}"}, {"slice": f"s{days}"}, days_ago=days))
    with CaptureQueriesContext(connection) as many:
        client.get(address(scene.version))
    assert len(many) == len(few)


def test_machines_read_the_same(scene: Scene) -> None:
    signatures.sign(report_of(scene.version), actor=scene.walk.cast.ada, **WORDS)
    attach(scene, package(scene.version, {"n": 2400}))
    answer = Service(scene.walk.cast.ci_token).get("/versions/fraud-scorer/1.1.0/evaluations")
    assert answer.status_code == 200
    found = {each["metric"]: each for each in answer.json()}
    told = found["quality/accuracy"]
    assert (told["required"], told["value"], told["min"], told["binding"], told["fault"]) == (
        True,
        "0.951",
        "0.85",
        "declared",
        "",
    )
    assert told["evidence"] == report_of(scene.version).sha256
    assert [(each["by"], each["capacity"]) for each in told["signatures"]] == [("ada", "head of model validation")]
    assert (found["quality/f1"]["required"], found["quality/f1"]["n"]) == (False, "2400")
    assert Service(scene.walk.cast.ci_token).get("/versions/fraud-scorer/9.9.9/evaluations").status_code == 404
