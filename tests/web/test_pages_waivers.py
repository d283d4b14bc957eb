"""Pages of waivers: what is tolerated now and then, the request with its findings, and the way to more time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.reports import BY_SLUG, Filters
from governance import allowances, obligations, reviews, tolerances, triage, waivers
from governance.models import Finding, Waiver
from registry.models import Version
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.governance.scanning.assemble import name
from tests.governance.scanning.assemble import pickle as pickled
from tests.web.visitors import order_of, read, visit

MODULE, CLASS = "ultralytics.nn.tasks", "DetectionModel"
GHSA, RULE = "GHSA-1111-1111-1111", "vulnerabilities"
WORDS = {"reason": "The function is never called.", "compensating_control": "Inputs are validated."}


@pytest.fixture
def finding(walk: Walk, candidate: Version, tmp_path: Path) -> Finding:
    """Let a critical vulnerability of the candidate become known."""
    import_advisories(walk.cast, tmp_path, osv(GHSA, "numpy", fixed="99.0"))
    walk.work()
    return candidate.findings.get()


def later(days: float) -> Any:
    return timezone.now() + timedelta(days=days)


def allow(walk: Walk, version: Version, *, days: float = 21, **changes: Any) -> Waiver:
    """Have a waiver asked for by Ada and granted by Rhea."""
    said = {"rule": "evaluations", "environment": "staging", **WORDS, **changes}
    return waivers.grant(
        waivers.request(version, actor=walk.cast.ada, expires_at=later(days), **said), actor=walk.cast.rhea
    )


def asking(version: Version) -> str:
    return reverse("governance:waiver-request", args=[version.asset.slug, version.number])


def test_a_waiver_of_a_finding_is_asked_for_from_its_page(walk: Walk, candidate: Version, finding: Finding) -> None:
    ada = visit(walk.cast.ada)
    address = f"{asking(candidate)}?rule={RULE}&finding={finding.public_id}"
    shown = ada.get(reverse("governance:finding", args=[GHSA])).content.decode()
    assert address.replace("&", "&amp;") in shown
    assert "Or request a waiver" not in read(visit(walk.cast.rhea).get(reverse("governance:finding", args=[GHSA])))
    form = ada.get(address).context["form"]
    assert (form["rule"].value(), form["finding"].value()) == (RULE, str(finding.public_id))
    body = {
        "rule": RULE,
        "environment": "staging",
        "finding": str(finding.public_id),
        "expires_at": f"{later(20):%Y-%m-%dT%H:%M}",
        **WORDS,
    }
    words = read(ada.post(address, body, follow=True))
    assert f"The waiver of {GHSA}: vulnerabilities for fraud-scorer@1.0.0 in staging is requested." in words
    assert "and nothing else" in words
    assert Waiver.objects.get().finding == finding


def test_a_finding_of_another_version_cannot_be_chosen(walk: Walk, candidate: Version, finding: Finding) -> None:
    other = walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(2))
    foreign = other.findings.get()
    body = {"rule": RULE, "environment": "staging", "expires_at": f"{later(20):%Y-%m-%dT%H:%M}", **WORDS}
    for value in (str(foreign.public_id), "nonsense", "x" * 5000):
        answer = visit(walk.cast.ada).post(asking(candidate), {**body, "finding": value})
        assert answer.status_code == 422
    answer = visit(walk.cast.ada).post(
        asking(candidate), {**body, "rule": "evaluations", "finding": str(finding.public_id)}
    )
    assert "except for the rule vulnerabilities" in read(answer)
    assert not Waiver.objects.exists()


def test_the_review_page_names_what_is_waived_and_what_is_left(
    walk: Walk, candidate: Version, finding: Finding, tmp_path: Path
) -> None:
    import_advisories(
        walk.cast, tmp_path, osv(GHSA, "numpy", fixed="99.0"), osv("GHSA-2222-2222-2222", "joblib", fixed="99.0")
    )
    walk.work()
    submission = walk.submit(candidate, "staging")
    allow(walk, candidate, rule=RULE, finding=finding)
    words = read(visit(walk.cast.petra).get(submission.get_absolute_url()))
    assert "Not waived: GHSA-2222-2222-2222" in words
    rest = candidate.findings.get(vulnerability="GHSA-2222-2222-2222")
    allow(walk, candidate, rule=RULE, finding=rest)
    words = read(visit(walk.cast.petra).get(submission.get_absolute_url()))
    assert "1 waived" in words
    assert "Waived until" in words


def test_more_time_is_asked_for_from_the_waiver_and_the_page_says_who_cannot_grant_it(
    walk: Walk, candidate: Version
) -> None:
    waiver = allow(walk, candidate)
    ada, address = visit(walk.cast.ada), f"{asking(candidate)}?extends={waiver.public_id}"
    assert f'href="{address}"' in ada.get(waivers.where(waiver)).content.decode()
    assert "extends=" not in visit(walk.cast.rhea).get(waivers.where(waiver)).content.decode()
    page = ada.get(address)
    assert "Rhea Security granted it and cannot grant this one." in read(page)
    assert page.context["form"]["rule"].value() == "evaluations"
    body = {
        "rule": "evaluations",
        "environment": "staging",
        "extends": str(waiver.public_id),
        "expires_at": f"{later(60):%Y-%m-%dT%H:%M}",
        **WORDS,
    }
    assert ada.post(address, {**body, "environment": "production"}).status_code == 422
    assert "is requested" in read(ada.post(address, body, follow=True))
    longer = Waiver.objects.get(extends=waiver)
    rhea = visit(walk.cast.rhea)
    assert "You granted a waiver that this one continues." in read(rhea.get(waivers.where(longer)))
    assert rhea.post(waivers.where(longer), {"answer": "grant"}).status_code == 409
    assert "In force" in read(visit(walk.cast.sol).post(waivers.where(longer), {"answer": "grant"}, follow=True))


@pytest.mark.parametrize("wanted", ["nonsense", "00000000-0000-0000-0000-000000000000"])
def test_nothing_is_behind_an_extension_of_what_is_not_there(walk: Walk, candidate: Version, wanted: str) -> None:
    assert visit(walk.cast.ada).get(f"{asking(candidate)}?extends={wanted}").status_code == 404


def test_the_list_tells_everything_that_is_tolerated(walk: Walk, candidate: Version, finding: Finding) -> None:
    waiver = allow(walk, candidate, days=5)
    said = triage.state(finding, actor=walk.cast.rhea, status="accepted", reason="Behind a firewall.", until=later(30))
    triage.answer(said, actor=walk.cast.sol, agreed=True)
    words = read(visit(walk.cast.ada).get("/waivers/"))
    tolerated = words.partition("Tolerated today")[2].partition("All that were ever requested")[0]
    order_of(tolerated, "2 exceptions, 1 within seven days of the end", "evaluations", "Ends soon", GHSA)
    assert "Accepted finding" in tolerated
    assert "Behind a firewall." in tolerated
    assert WORDS["compensating_control"] in tolerated
    assert "asked by Ada Owner" in tolerated
    walk.approved(candidate, "staging")
    assert "fraud-scorer@1.0.0 for staging" not in read(visit(walk.cast.ada).get("/waivers/")).split("All that")[0]
    assert "No decision rests on it." in read(visit(walk.cast.ada).get(waivers.where(waiver)))


def test_the_list_and_the_waiver_say_which_decision_rests_on_it(
    walk: Walk, candidate: Version, finding: Finding
) -> None:
    waiver = allow(walk, candidate, rule=RULE, finding=finding)
    walk.approved(candidate, "staging")
    for address in ("/waivers/", waivers.where(waiver)):
        assert "fraud-scorer@1.0.0 for staging" in read(visit(walk.cast.ada).get(address))


def test_the_list_is_narrowed_by_its_address(walk: Walk, candidate: Version) -> None:
    allow(walk, candidate)
    ada = visit(walk.cast.ada)
    for query, count in {
        "asset=fraud-scorer&rule=evaluations": 1,
        "asset=fraud-scorer": 1,
        "asset=other": 0,
        "rule=licence": 0,
    }.items():
        assert len(ada.get(f"/waivers/?{query}").context["tolerated"]) == count, query
    assert ada.get("/waivers/?asset=" + "x" * 5000).status_code == 422


def test_the_list_shows_what_ends_first_and_says_how_much_more_there_is(
    walk: Walk, candidate: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tolerances, "MAX_ROWS", 2)
    rules = {"no-personal-data-in-low-risk": 30, "evaluations": 10, "vulnerabilities": 20}
    for rule, days in rules.items():
        allow(walk, candidate, rule=rule, days=days)
    ada = visit(walk.cast.ada)
    answer = ada.get("/waivers/")
    assert [row.rule for row in answer.context["tolerated"]] == ["evaluations", "vulnerabilities"]
    assert "2 exceptions of 3, and 1 more that end later" in read(answer)
    narrow = ada.get("/waivers/?rule=no-personal-data-in-low-risk")
    assert [row.rule for row in narrow.context["tolerated"]] == ["no-personal-data-in-low-risk"]
    assert "that end later" not in read(narrow)


def test_the_list_is_told_as_of_any_instant(walk: Walk, candidate: Version) -> None:
    before = timezone.now()
    waiver = allow(walk, candidate)
    during = timezone.now()
    waivers.revoke(waiver, actor=walk.cast.sol, reason="The set was fixed.")
    ada = visit(walk.cast.ada)
    assert [len(shown(ada, at)) for at in (before, during, None)] == [0, 1, 0]
    words = read(ada.get("/waivers/", {"as_of": f"{during:%Y-%m-%d %H:%M:%S.%f}"}))
    assert "was tolerated as of" in words
    assert ada.get("/waivers/", {"as_of": f"{later(1):%Y-%m-%d %H:%M}"}).status_code == 422
    assert ada.get("/waivers/", {"as_of": "yesterday"}).status_code == 422


def test_an_accepted_finding_is_told_as_of_any_instant(walk: Walk, candidate: Version, finding: Finding) -> None:
    triage.state(finding, actor=walk.cast.rhea, status="accepted", reason="Behind a firewall.", until=later(30))
    waiting = timezone.now()
    triage.answer(finding.statements.get(), actor=walk.cast.sol, agreed=True)
    during = timezone.now()
    triage.state(finding, actor=walk.cast.rhea, status="open", reason="The firewall is gone.")
    ada = visit(walk.cast.ada)
    assert [len(shown(ada, at)) for at in (waiting, during, None)] == [0, 1, 0]


def shown(client: Any, at: Any) -> list[Any]:
    """Return what the list shows as of an instant, None for now."""
    asked = {"as_of": f"{at:%Y-%m-%d %H:%M:%S.%f}"} if at else {}
    found: list[Any] = client.get("/waivers/", asked).context["tolerated"]
    return found


def test_mallory_sees_nothing_of_it(walk: Walk, candidate: Version, finding: Finding) -> None:
    waiver = allow(walk, candidate, rule=RULE, finding=finding)
    mallory = visit(walk.cast.mallory)
    words = read(mallory.get("/waivers/"))
    assert "fraud-scorer" not in words
    assert GHSA not in words
    assert mallory.get(waivers.where(waiver)).status_code == 404
    for address in (f"?extends={waiver.public_id}", f"?finding={finding.public_id}", ""):
        assert mallory.get(asking(candidate) + address).status_code == 404
    # Carl is on another team, and asks about a version that he may not see either.
    assert visit(walk.cast.carl).post(asking(candidate), WORDS).status_code in {403, 404}


def test_the_report_is_offered_to_auditors_only(walk: Walk, candidate: Version) -> None:
    assert "Report and export" in read(visit(walk.cast.iris).get("/waivers/"))
    assert "Report and export" not in read(visit(walk.cast.rhea).get("/waivers/"))


def test_the_list_costs_as_many_queries_for_three_as_for_one(walk: Walk, candidate: Version, finding: Finding) -> None:
    def cost() -> int:
        client = visit(walk.cast.ada)
        client.get("/waivers/")
        with CaptureQueriesContext(
            connection,
        ) as caught:
            client.get("/waivers/")
        return len(caught)

    allow(walk, candidate, rule=RULE, finding=finding)
    walk.approved(candidate, "staging")
    first = cost()
    for number in (2, 3):
        version = walk.candidate("fraud-scorer", f"1.{number}.0", artifacts.scorer(number))
        allow(walk, version, rule=RULE, finding=version.findings.get())
        walk.approved(version, "staging")
    assert len(shown(visit(walk.cast.ada), None)) == 3
    assert cost() == first


def test_conditions_and_allowed_globals_are_tolerated_too(walk: Walk, candidate: Version) -> None:
    made = walk.candidate("detector", "1.0.0", pickled(name(MODULE, CLASS) + b")\x81}b"), suffix="pkl")
    facts = {"use": "class", "reason": "I read the class.", "expires_at": later(30)}
    allowances.allow(made.asset, MODULE, CLASS, actor=walk.cast.rhea, **facts)
    submission = walk.submit(candidate, "staging")
    conditions = [("Add the German set.", later(9)), ("Watch the latency.", later(5))]
    reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=conditions)
    walk.work()
    ada = visit(walk.cast.ada)
    now = shown(ada, None)
    assert [(row.kind, row.title) for row in now] == [
        ("obligation", "Watch the latency."),
        ("obligation", "Add the German set."),
        ("global", f"{MODULE}.{CLASS}"),
    ]
    assert [[str(each.environment) for each in row.rests] for row in now] == [["staging"], ["staging"], []]
    before = timezone.now()
    obligations.meet(
        now[0].version.submissions.get().reviews.get().obligations.first(), actor=walk.cast.petra, note="It is watched."
    )
    assert [len(shown(ada, at)) for at in (before, None)] == [3, 2]
    assert shown(visit(walk.cast.mallory), None) == []


def test_the_report_names_the_finding_and_what_rests_on_it(walk: Walk, candidate: Version, finding: Finding) -> None:
    waiver = allow(walk, candidate, rule=RULE, finding=finding)
    before = timezone.now()
    decision = walk.approved(candidate, "staging")
    report = BY_SLUG["waivers"]
    headings = [column.title for column in report.columns]

    def row(at: Any) -> dict[str, Any]:
        [found] = report.rows(Filters(), at)
        return dict(zip(headings, found, strict=True))

    told = row(timezone.now())
    assert (told["Finding"], told["Component"], told["Waiver"]) == (GHSA, finding.purl, str(waiver.public_id))
    assert told["Rests on it"] == f"fraud-scorer@1.0.0 for staging ({decision.public_id})"
    assert row(before)["Rests on it"] == ""
