"""The page of one check: the question, the answer with its way out, what was seen, and asking again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from governance import keys, lifecycle, policy, submissions, sweeps, waivers
from governance.checks import BY_SLUG, runner
from governance.models import CheckRequest, CheckRun, TrustedKey
from governance.web import facts
from portal.demo import documents
from portal.demo.walk import DATASET
from registry import drafts, evidence, intake
from registry.models import User, Version
from tests import policies
from tests.factories import artifacts
from tests.scene import Scene, staged
from tests.web.visitors import order_of, read, visit


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate once for the whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("scene")) as walk:
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))


@pytest.fixture
def scene(stage: Scene, db: None) -> Scene:
    """Return a walk and a candidate that a test may change as it likes."""
    return deepcopy(stage)


def page(version: Version, slug: str, name: str = "check") -> str:
    return reverse(f"governance:{name}", args=[version.asset.slug, version.number, slug])


def seen_by(person: User, version: Version, slug: str, query: str = "") -> str:
    answer = visit(person).get(page(version, slug) + query)
    assert answer.status_code == 200
    return read(answer)


def poor(scene: Scene, number: str = "1.1.0") -> Version:
    """Take a version with a bad accuracy as far as candidate, and ask for production."""
    metrics = {**documents.GOOD, "quality/accuracy": "0.5"}
    version = scene.walk.candidate("fraud-scorer", number, artifacts.scorer(2), metrics=metrics)
    scene.walk.submit(version, "production")
    return version


def ask_by_hand(scene: Scene, version: Version, slug: str, times: int = 1) -> None:
    """Have a check answered again, some times."""
    for _ in range(times):
        runner.ask_again(version, slug, actor=scene.walk.cast.ada)
        runner.run_due()


# --- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", BY_SLUG)
def test_every_check_has_its_page_for_a_candidate_and_for_a_draft(scene: Scene, slug: str) -> None:
    check = BY_SLUG[slug]
    words = seen_by(scene.walk.cast.iris, scene.version, slug)
    assert order_of(words, check.title, scene.version.label, check.asks, "The answer")
    draft = drafts.start_draft(scene.version.asset, "2.0.0", actor=scene.walk.cast.ada)
    words = seen_by(scene.walk.cast.iris, draft, slug)
    assert "It has not been asked yet." in words
    assert "None yet." in words


def test_a_no_says_what_would_make_it_a_yes_who_can_do_it_and_where(scene: Scene) -> None:
    version = poor(scene)
    client = visit(scene.walk.cast.ada)
    answer = client.get(page(version, "evaluations"))
    words = read(answer)
    assert order_of(
        words,
        "Failed",
        "quality/accuracy is 0.5, expected at least 0.85",
        "What would make it pass",
        "Who can do that",
        "The team Risk models (owner Ada Owner, backup Ben Backup)",
        "Or request a waiver",
        "Metrics",
        "quality/accuracy",
        "Every answer",
    )
    assert reverse("registry:version-tab", args=["fraud-scorer", "1.1.0", "evidence"]) in answer.content.decode()
    assert order_of(words, "Where it is asked", "For staging Failed", "For production Failed")
    assert order_of(words, "What the policy sets", "At least 0.85".lower(), "How it was asked", "Took", "Inputs digest")
    assert "default v1" in words


def test_a_yes_names_nobody_and_a_critical_rule_offers_no_waiver(scene: Scene) -> None:
    words = seen_by(scene.walk.cast.ada, scene.version, "sbom")
    assert "What would make it pass" not in words
    assert "Who can do that" not in words
    bare = scene.walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(2), without=("sbom",))
    words = seen_by(scene.walk.cast.ada, bare, "sbom")
    assert "No SBOM is attached." in words
    assert "critical: nobody can waive it" in words
    assert "Or request a waiver" not in words


def test_a_waiver_covers_one_place_and_the_other_stays_red(scene: Scene) -> None:
    version, cast = poor(scene), scene.walk.cast
    asked: dict[str, Any] = {"reason": "The set is wrong.", "compensating_control": "A person looks at every answer."}
    until = timezone.now() + timedelta(days=9)
    waiver = waivers.request(
        version, actor=cast.ada, rule="evaluations", environment="staging", expires_at=until, **asked
    )
    assert "Requested" in seen_by(cast.ada, version, "evaluations")
    waivers.grant(waiver, actor=cast.rhea)
    words = seen_by(cast.ada, version, "evaluations")
    assert order_of(words, "For staging Waived", "For production Failed")
    assert order_of(words, "Waivers", "Staging, until", "In force", "The set is wrong.")
    assert "What would make it pass" in words


def test_a_check_that_the_policy_does_not_ask_says_so(scene: Scene) -> None:
    words = seen_by(scene.walk.cast.ada, scene.version, "dependencies-pinned")
    assert "The policy that governs this version does not ask it." in words
    assert "Ask again" not in words


# --- fresh, stale, queued --------------------------------------------------------------------------------------------


def test_an_answer_that_new_evidence_has_outrun_names_the_document(scene: Scene) -> None:
    version, cast = scene.version, scene.walk.cast
    body = documents.sbom("fraud-scorer", "1.0.0", version.artifact_sha256, {"numpy": "2.3.0"})
    evidence.attach(version, actor=cast.cee_i, kind="sbom", filename="again.cdx.json", body=body)
    words = seen_by(cast.ada, version, "sbom")
    assert "This answer no longer counts. again.cdx.json (sbom) was attached after it." in words
    assert "Something beyond the dossier" not in words
    assert "This answer no longer counts" not in seen_by(cast.ada, version, "metadata")
    sweeps.answer_checks_due()
    assert "This answer no longer counts" not in seen_by(cast.ada, version, "sbom")


def test_an_answer_that_something_else_has_outrun_says_what_it_can_be(scene: Scene) -> None:
    version, cast = scene.version, scene.walk.cast
    scene.walk.submit(version, "production")
    intake.change_asset(version.asset, actor=cast.ada, backup_owner=cast.carl)
    words = seen_by(cast.ada, version, "owners")
    assert order_of(words, "This answer no longer counts.", "Something beyond the dossier has changed", "people")
    assert "was attached after it" not in words
    ask_by_hand(scene, Version.objects.get(pk=version.pk), "owners")
    assert "This answer no longer counts" not in seen_by(cast.ada, version, "owners")


def test_an_answer_that_waits_to_be_given_anew_says_why(scene: Scene) -> None:
    keys.revoke(TrustedKey.objects.get(), actor=scene.walk.cast.alma, reason="The builder was broken into.")
    runner.request_stale(scene.version, scene.walk.cast.policy, actor=scene.walk.cast.ada)
    words = seen_by(scene.walk.cast.ada, scene.version, "provenance")
    assert order_of(words, "Queued", "It is being asked. It waits for a worker", "Something beyond the dossier", "key")
    assert "Who can do that" not in words


def test_an_answer_whose_time_is_over_says_when(scene: Scene) -> None:
    version, cast = scene.version, scene.walk.cast
    scene.walk.submit(version, "staging")
    with time_machine.travel(timezone.now() + timedelta(days=40)):
        assert "This answer no longer counts. Its time ran out on" in seen_by(cast.iris, version, "evaluations")


# --- asking again ----------------------------------------------------------------------------------------------------


def test_owners_ask_again_and_the_page_says_that_it_waits(scene: Scene) -> None:
    version, client = scene.version, visit(scene.walk.cast.ada)
    answer = client.post(page(version, "checksum", "check-ask"), follow=True)
    assert order_of(read(answer), "Checksum is being asked again.", "It waits for a worker since", "asked by Ada Owner")
    assert CheckRequest.objects.get().check_slug == "checksum"
    client.post(page(version, "checksum", "check-ask"))
    assert CheckRequest.objects.count() == 1
    runner.run_due()
    assert version.check_runs.filter(check_slug="checksum").count() == 2
    assert "It waits for a worker" not in read(client.get(page(version, "checksum")))


def test_an_open_submission_under_an_older_policy_is_asked_again_too(scene: Scene) -> None:
    version, cast = scene.version, scene.walk.cast
    scene.walk.submit(version, "staging")
    text = (policy.FOLDER / "default.yaml").read_text(encoding="utf-8").replace("max_days: 90", "max_days: 30")
    newer = policies.publish(text, cast)
    runner.ask_again(version, "checksum", actor=cast.ada)
    assert set(CheckRequest.objects.values_list("policy", flat=True)) == {cast.policy.pk, newer.pk}


@pytest.mark.parametrize(("name", "status"), [("dana", 403), ("iris", 403), ("carl", 404), ("mallory", 404)])
def test_nobody_else_asks(scene: Scene, name: str, status: int) -> None:
    client = visit(getattr(scene.walk.cast, name))
    assert client.post(page(scene.version, "checksum", "check-ask")).status_code == status
    assert not CheckRequest.objects.exists()
    if status == 403:
        assert "Ask again" not in read(client.get(page(scene.version, "checksum")))


def test_drafts_retired_versions_and_rules_that_nobody_asks_are_not_asked(scene: Scene) -> None:
    cast, client = scene.walk.cast, visit(scene.walk.cast.ada)
    draft = drafts.start_draft(scene.version.asset, "2.0.0", actor=cast.ada)
    assert client.post(page(draft, "metadata", "check-ask")).status_code == 409
    assert client.post(page(scene.version, "dependencies-pinned", "check-ask")).status_code == 409
    lifecycle.retire(scene.version, actor=cast.ada, reason="Nobody uses it.")
    assert client.post(page(scene.version, "metadata", "check-ask")).status_code == 409
    assert client.get(page(scene.version, "metadata", "check-ask")).status_code == 405
    assert not CheckRequest.objects.exists()


# --- earlier answers -------------------------------------------------------------------------------------------------


def test_each_earlier_answer_can_be_read_as_it_was(scene: Scene) -> None:
    version, cast = scene.version, scene.walk.cast
    submissions.submit(version, "production", actor=cast.ada)
    runner.run_due()
    first = version.check_runs.get(check_slug="owners")
    intake.change_asset(version.asset, actor=cast.ada, backup_owner=None)
    ask_by_hand(scene, Version.objects.get(pk=version.pk), "owners")
    words = seen_by(cast.ada, version, "owners")
    assert order_of(words, "Failed", "no backup owner is named", "name a backup owner")
    words = seen_by(cast.ada, version, "owners", f"?run={first.public_id}")
    assert order_of(words, "Passed", "An earlier answer. A newer one is there.", "Ben Backup stands in")


def test_an_answer_of_another_version_or_check_is_not_found_here(scene: Scene) -> None:
    other = scene.walk.candidate("churn-embedder", "1.0.0", artifacts.embedder(1), suffix="onnx")
    client = visit(scene.walk.cast.ada)
    for run in (other.check_runs.get(check_slug="sbom"), scene.version.check_runs.get(check_slug="metadata")):
        assert client.get(f"{page(scene.version, 'sbom')}?run={run.public_id}").status_code == 404
    for query in ("?run=1", "?run=%00", "?run=' OR 1=1"):
        assert client.get(page(scene.version, "sbom") + query).status_code == 404
    assert client.get(page(scene.version, "horoscope")).status_code == 404
    assert client.get(page(scene.version, "sbom") + "?page=77").status_code == 200


def test_mallory_finds_no_check_and_no_answer(scene: Scene) -> None:
    run = scene.version.check_runs.get(check_slug="sbom")
    for person in (scene.walk.cast.mallory, scene.walk.cast.carl):
        for query in ("", f"?run={run.public_id}"):
            answer = visit(person).get(page(scene.version, "sbom") + query)
            assert answer.status_code == 404
            assert b"Describes this artifact" not in answer.content


def test_many_answers_are_told_in_pages(scene: Scene) -> None:
    ask_by_hand(scene, scene.version, "metadata", times=20)
    answer = visit(scene.walk.cast.ada).get(page(scene.version, "metadata"))
    assert "1–20 of 21" in read(answer)
    assert answer.content.decode().count("?run=") == 20


def count_queries(client: Client, address: str, capture: Any) -> int:
    client.get(address)
    with capture(100) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


@pytest.mark.parametrize("slug", ["metadata", "licence", "vulnerabilities"])
def test_three_answers_cost_no_more_than_one(scene: Scene, django_assert_max_num_queries: Any, slug: str) -> None:
    scene.walk.submit(scene.version, "production")
    client = visit(scene.walk.cast.ada)
    once = count_queries(client, page(scene.version, slug), django_assert_max_num_queries)
    assert once <= 25
    ask_by_hand(scene, scene.version, slug, times=2)
    assert CheckRun.objects.filter(version=scene.version, check_slug=slug).count() == 3
    assert count_queries(client, page(scene.version, slug), django_assert_max_num_queries) <= once


def test_the_checks_tab_and_the_review_page_lead_here(scene: Scene) -> None:
    submission = scene.walk.submit(scene.version, "production")
    address = page(scene.version, "licence")
    tab = reverse("registry:version-tab", args=["fraud-scorer", "1.0.0", "checks"])
    for person, where in ((scene.walk.cast.ada, tab), (scene.walk.cast.rhea, submission.get_absolute_url())):
        assert address in visit(person).get(where).content.decode()


# --- what was seen ---------------------------------------------------------------------------------------------------


def test_facts_become_values_tables_and_records_and_nothing_empty_is_shown() -> None:
    found = facts.blocks(
        {
            "sha256": "ab" * 32,
            "size": 1537,
            "nothing": [],
            "engines": {"countersign": "2", "picklescan": "1.0.5"},
            "rows": [{"value": 1, "name": "a", "url": "/versions/a/1/"}, {"name": "b", "value": 2}],
            "wordy": [{"name": "c", "says": "x" * 200, "outcome": "forbidden", "stands_in_the_way": True}],
        }
    )
    assert [block.title for block in found] == ["", "Engines", "Rows", "Wordy"]
    assert [(each["label"], each["cell"].kind) for each in found[0].items] == [("sha256", "digest"), ("Size", "bytes")]
    assert found[2].columns == ["Name", "Value"]
    assert (found[2].rows[0][0].kind, found[2].rows[0][0].url) == ("link", "/versions/a/1/")
    [record] = found[3].records
    assert record.title.value == "c"
    assert [each.label for each in record.badges] == ["Forbidden", "In the way"]
    assert [name for name, _ in record.long] == ["Says"]


def test_faulty_metrics_come_first_and_are_drawn() -> None:
    metrics = [
        {"metric": "quality/accuracy", "value": "0.9", "min": "0.85", "max": "", "fault": ""},
        {"metric": "toxicity/rate", "value": "0.2", "min": "", "max": "0.01", "fault": "is 0.2, expected at most 0.01"},
        {"metric": "bias/gap", "value": "", "min": "", "max": "0.1", "fault": "is missing"},
    ]
    [block] = facts.blocks({"metrics": metrics})
    assert [each.title.value for each in block.records] == ["toxicity/rate", "bias/gap", "quality/accuracy"]
    assert [each.bar is not None for each in block.records] == [True, False, True]
    assert [each.badges[0].value for each in block.records] == ["failed", "failed", "passed"]


@pytest.mark.parametrize("url", ["//evil.example/x", "javascript:alert(1)", "https://evil.example", "", None, 7])
def test_only_addresses_of_this_site_become_links_of_rows(url: Any) -> None:
    [block] = facts.blocks({"rows": [{"name": "a", "url": url}]})
    assert block.rows[0][0].kind == "text"


def test_what_people_wrote_is_printed_and_never_markup(scene: Scene) -> None:
    name = "<script>alert(1)</script>"
    dataset = {**DATASET, "name": name, "sha256": "cd" * 32, "licence": "CC-BY-NC-4.0"}
    version = scene.walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(2), datasets=[dataset])
    scene.walk.submit(version, "production")
    answer = visit(scene.walk.cast.ada).get(page(version, "licence"))
    assert name not in answer.content.decode()
    assert f"the data set {name}: CC-BY-NC-4.0 forbids commercial use" in read(answer).replace("  ", " ")


@pytest.mark.parametrize(
    "value",
    [[[1, [2]]], {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, [1, "x" * 9000, None], float("inf"), [{"x": [{}]}, {}]],
)
def test_any_shape_is_printed(value: Any) -> None:
    found = facts.blocks({"strange": value})
    assert found
    json.dumps([str(block) for block in found])
