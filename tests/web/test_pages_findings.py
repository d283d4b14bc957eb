"""Pages about findings: one task for each vulnerability, what each of the cast may say there, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from governance import findings, triage
from governance.models import Finding, TriageAnswer, TriageStatement
from registry.models import User, Version
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.governance.findings import CVE, GHSA, UNREACHED, attach_vex, find, fresh, openvex, saying
from tests.scene import Scene, staged
from tests.web.visitors import order_of, read, visit

PAGE = f"/findings/{CVE}/"


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate once for the whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("findings")) as walk:
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))


@pytest.fixture
def scene(stage: Scene, db: None) -> Scene:
    """Return a walk and a candidate that a test may change as it likes."""
    return deepcopy(stage)


@pytest.fixture
def walk(scene: Scene) -> Walk:
    return scene.walk


@pytest.fixture
def candidate(scene: Scene) -> Version:
    return scene.version


@pytest.fixture
def high(walk: Walk, candidate: Version, tmp_path: Path) -> Finding:
    """Return a finding of high severity in fraud-scorer's numpy."""
    return find(walk, candidate, tmp_path)


def said_about(*rows: Finding, **changes: Any) -> dict[str, Any]:
    """Return what the form posts."""
    return {"findings": [str(row.public_id) for row in rows], **UNREACHED, "until": "", **changes}


def answer_to(*rows: TriageStatement, answer: str, note: str = "") -> dict[str, Any]:
    """Return what an answer posts."""
    ids = [str(row.public_id) for row in rows]
    return {"group": ids[0], "statements": ids, "answer": answer, "note": note}


def test_the_list_has_one_line_for_each_vulnerability_and_the_worst_comes_first(
    walk: Walk, candidate: Version, high: Finding, tmp_path: Path
) -> None:
    other = walk.candidate("churn-embedder", "1.0.0", artifacts.scorer(2))
    import_advisories(walk.cast, tmp_path, osv("GHSA-9", "scipy", fixed="2.0", severity="CRITICAL"))
    for version in (candidate, other):
        findings.rematch(version, actor=User.objects.system("runner"))
    words = read(visit(walk.cast.rhea).get("/findings/"))
    assert order_of(words, "GHSA-9", CVE) == ["GHSA-9", CVE]
    assert words.count(CVE) == 1
    assert "High 2 versions pypi/numpy 2.2.6 99.0 Open" in words
    assert "Something bad in numpy" in words


def test_the_list_is_filtered_by_its_address(walk: Walk, high: Finding) -> None:
    client = visit(walk.cast.rhea)
    for query in ("severity=high", "state=open", "team=risk-models", "asset=fraud-scorer", "q=numpy", f"q={GHSA}"):
        assert CVE in read(client.get(f"/findings/?{query}")), query
    for query in (
        "severity=critical",
        "state=answered",
        "state=waiting",
        "state=challenged",
        "team=assistants",
        "asset=router",
        "q=django",
        "q=%00",
        "severity=%00&state=nothing&team=%00",
    ):
        words = read(client.get(f"/findings/?{query}"))
        assert CVE not in words or query == "q=%00", query
    triage.state(high, actor=walk.cast.ada, **UNREACHED)
    assert "1 statement waits" in read(client.get("/findings/?state=waiting"))
    triage.state(high, actor=walk.cast.rhea, **UNREACHED)
    assert "Answered" in read(client.get("/findings/?state=answered"))


def test_a_task_says_what_it_is_where_it_is_and_what_was_said(walk: Walk, high: Finding) -> None:
    triage.state(high, actor=walk.cast.ada, **UNREACHED)
    words = read(visit(walk.cast.rhea).get(PAGE))
    for told in (
        "Something bad in numpy",
        "fraud-scorer@1.0.0",
        "pypi/numpy 2.2.6",
        GHSA,
        "Ada Owner stated not affected, the vulnerable code is never reached: fraud-scorer@1.0.0.",
        "We never load files of this kind.",
        "waits for security",
    ):
        assert told in words, told


def test_mallory_sees_no_finding_and_no_task(walk: Walk, high: Finding) -> None:
    client = visit(walk.cast.mallory)
    assert CVE not in read(client.get("/findings/"))
    for answer in (client.get(PAGE), client.post(PAGE, said_about(high)), client.get("/findings/CVE-2000-1/")):
        assert answer.status_code == 404
        assert b"numpy" not in answer.content
    assert not TriageStatement.objects.exists()


def test_other_teams_are_no_part_of_my_task(walk: Walk, high: Finding, tmp_path: Path) -> None:
    secret = walk.candidate("secret-router", "1.0.0", artifacts.scorer(2), team="assistants", owner="carl")
    foreign = find(walk, secret, tmp_path)
    triage.state(foreign, actor=walk.cast.carl, **{**UNREACHED, "reason": "The router is an island."})
    client = visit(walk.cast.ada)
    for page in ("/findings/", PAGE, "/"):
        words = read(client.get(page))
        assert "secret-router" not in words
        assert "island" not in words
    assert "1 version " in read(client.get("/findings/"))
    answer = client.post(PAGE, said_about(high, foreign))
    assert answer.status_code == 422
    assert TriageStatement.objects.filter(finding=foreign).count() == 1


def test_a_team_states_and_security_agrees_on_the_page(walk: Walk, high: Finding, tmp_path: Path) -> None:
    newer = find(walk, walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(2)), tmp_path)
    answer = visit(walk.cast.ada).post(PAGE, said_about(high, newer), follow=True)
    assert "Stated about 2 findings; 2 of them wait for security's answer." in read(answer)
    rows = list(TriageStatement.objects.order_by("pk"))
    client = visit(walk.cast.rhea)
    home = read(client.get("/"))
    assert "Statements that wait for your answer" in home
    assert "says Ada Owner about fraud-scorer@1.0.0, fraud-scorer@1.1.0" in home
    words = read(client.get(PAGE))
    assert words.count("Agree: it counts") == 1
    answer = client.post(PAGE, answer_to(*rows, answer="agree"), follow=True)
    assert "You agreed: it counts from now on." in read(answer)
    assert {fresh(row).triage for row in (high, newer)} == {"not_affected"}
    assert "agreed by Rhea Security" in read(answer)
    assert "wait for your answer" not in read(client.get("/"))


def test_disagreeing_needs_a_word_and_brings_the_form_again(walk: Walk, high: Finding) -> None:
    said = triage.state(high, actor=walk.cast.ada, **UNREACHED)
    client = visit(walk.cast.sol)
    answer = client.post(PAGE, answer_to(said, answer="disagree"))
    assert answer.status_code == 422
    assert "Please look again." in read(answer)
    client.post(PAGE, answer_to(said, answer="disagree", note="load() is called in train.py."))
    assert TriageAnswer.objects.get().agreed is False
    assert "load() is called in train.py." in read(client.get(PAGE))
    gone = client.post(PAGE, answer_to(said, answer="agree"))
    assert gone.status_code == 404


def test_nobody_agrees_to_their_own_word(walk: Walk, candidate: Version, tmp_path: Path) -> None:
    critical = find(walk, candidate, tmp_path, severity="CRITICAL")
    client = visit(walk.cast.rhea)
    words = read(client.post(PAGE, said_about(critical), follow=True))
    assert "1 of them waits for security's answer" in words
    assert "Agree: it counts" not in words
    said = TriageStatement.objects.get()
    assert client.post(PAGE, answer_to(said, answer="agree")).status_code == 404
    assert "Agree: it counts" in read(visit(walk.cast.sol).get(PAGE))
    assert "Agree: it counts" not in read(visit(walk.cast.ada).get(PAGE))
    assert fresh(critical).triage == "open"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"findings": []}, "Choose at least one version."),
        ({"findings": ["no id"]}, "no id"),
        ({"justification": ""}, "expected one of component_not_present"),
        ({"status": "accepted", "justification": ""}, "expected the instant at which the acceptance ends"),
        ({"status": "accepted", "justification": "", "until": "2099-01-01T00:00"}, "within the next 90 days"),
        ({"reason": ""}, "This field is required."),
        ({"status": "fine"}, "Select a valid choice."),
    ],
)
def test_what_is_wrong_with_a_statement_is_said_in_the_form(
    walk: Walk, high: Finding, changes: dict[str, Any], told: str
) -> None:
    answer = visit(walk.cast.ada).post(PAGE, said_about(high, **changes))
    assert answer.status_code == 422
    assert told in read(answer)
    assert not TriageStatement.objects.exists()


def test_an_acceptance_is_shown_with_its_end_and_is_open_afterwards(walk: Walk, high: Finding) -> None:
    until = timezone.now() + timedelta(days=20)
    typed = said_about(high, status="accepted", justification="", until=f"{until:%Y-%m-%dT%H:%M}")
    words = read(visit(walk.cast.rhea).post(PAGE, typed, follow=True))
    assert f"Accepted until {until.day} {until:%b %Y} by Rhea Security" in words


def test_auditors_and_reviewers_read_and_cannot_state(walk: Walk, high: Finding) -> None:
    for person in (walk.cast.iris, walk.cast.petra):
        client = visit(person)
        words = read(client.get(PAGE))
        assert "fraud-scorer@1.0.0" in words
        assert "State about the chosen versions" not in words
        assert client.post(PAGE, said_about(high)).status_code in {403, 404}
    assert not TriageStatement.objects.exists()


def test_the_versions_own_tab_leads_to_the_task_and_shows_documents(
    walk: Walk, candidate: Version, high: Finding
) -> None:
    attach_vex(candidate, openvex(saying()), actor=walk.cast.cee_i, name="good.json")
    bare = {key: value for key, value in saying().items() if key != "justification"}
    attach_vex(candidate, openvex(bare, author="x"), actor=walk.cast.cee_i, name="bare.json")
    elsewhere = saying(products=[{"hashes": {"sha-256": "ab" * 32}}])
    attach_vex(candidate, openvex(elsewhere), actor=walk.cast.cee_i, name="elsewhere.json")
    triage.take_in_due()
    answer = visit(walk.cast.ada).get(reverse("registry:version-tab", args=["fraud-scorer", "1.0.0", "findings"]))
    assert f'href="{PAGE}"' in answer.content.decode()
    words = read(answer)
    for told in (
        "5 of 5",
        "CI pipeline says not affected, the vulnerable code is not in it ( good.json ): waits for security",
        "1 statement: 1 waits for security.",
        "It names nothing that is found in this version.",
        "It is about another artifact: nothing in it was used.",
        "without a justification",
    ):
        assert told in words, told


def test_challenges_of_my_team_are_on_my_home_page(walk: Walk, candidate: Version, tmp_path: Path) -> None:
    walk.approved(candidate)
    find(walk, candidate, tmp_path, severity="CRITICAL")
    words = read(visit(walk.cast.ada).get("/"))
    assert order_of(words, "Your turn", "Challenges of your teams", CVE, "1 version", "13 days left")
    assert "Challenges of your teams" not in read(visit(walk.cast.carl).get("/"))
    listed = read(visit(walk.cast.rhea).get("/findings/?state=challenged"))
    assert "1 version 1 in force" in listed
    assert "13 days left" in listed
    page = read(visit(walk.cast.rhea).get(PAGE))
    assert "Production: until" in page
    assert "Challenged: 13 days left" in page


def test_whoever_builds_on_a_challenged_version_sees_the_task(walk: Walk, tmp_path: Path) -> None:
    base = walk.candidate("small-llm", "1.0.0", artifacts.scorer(1), team="assistants", owner="carl")
    made = {"components": [{"role": "base", "version": base.label}], "parts": {"joblib": "1.5.2"}}
    tuned = walk.candidate("fraud-tuned", "1.0.0", artifacts.scorer(2), finetune_method="full", **made)
    walk.approved(tuned)
    find(walk, base, tmp_path, severity="CRITICAL")
    client = visit(walk.cast.ada)
    assert "in what yours is made from" in read(client.get("/findings/"))
    words = read(client.get(PAGE))
    assert "fraud-tuned@1.0.0 through a version of another team" in words
    assert "small-llm" not in words
    assert "small-llm@1.0.0" in read(visit(walk.cast.rhea).get(PAGE))


@pytest.mark.parametrize("person", ["rhea", "ada"])
@pytest.mark.parametrize("page", ["/findings/", PAGE, "/"])
def test_pages_cost_the_same_for_one_finding_and_for_three(
    walk: Walk, high: Finding, tmp_path: Path, person: str, page: str, django_assert_max_num_queries: Any
) -> None:
    triage.state(high, actor=walk.cast.ada, **UNREACHED)
    client = visit(getattr(walk.cast, person))
    client.get(page)
    with django_assert_max_num_queries({"/findings/": 10, PAGE: 16, "/": 20}[page]) as first:
        assert CVE in read(client.get(page)) or (page, person) == ("/", "ada")
    import_advisories(walk.cast, tmp_path, osv("GHSA-9", "scipy", fixed="2.0", severity="CRITICAL"))
    for number, name in enumerate(("churn-embedder", "credit-llm"), 2):
        version = walk.candidate(name, "1.0.0", artifacts.scorer(number))
        for finding in findings.rematch(version, actor=User.objects.system("runner")):
            triage.state(finding, actor=walk.cast.ada, **UNREACHED)
    with django_assert_max_num_queries(len(first)):
        client.get(page)
