"""Pages about policies: read one, compare two, try a text, propose it, and answer as the second person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from governance import cases, policy, proposals
from governance.models import Policy, PolicyProposal, Submission
from tests.factories import Walk, artifacts
from tests.policies import propose, publish, seen, shipped, with_cases
from tests.web.test_accessibility import complaints_about
from tests.web.visitors import enter, order_of, read, visit

STRICTER = shipped("environments.staging.approvals", ["platform", "security"])


def posting(proposal: PolicyProposal, answer: str = "publish", **more: Any) -> dict[str, Any]:
    """Return what the box of the second person posts."""
    return {"answer": answer, "seen_replay": seen(proposal), "note": "", **more}


def choice(submission: Submission, do: str, until: Any = None) -> dict[str, str]:
    """Return what the fields of one open submission post."""
    key = submission.public_id.hex
    return {f"do_{key}": do, f"until_{key}": f"{until or submission.due_at:%Y-%m-%dT%H:%M}"}


def count_queries(walk: Walk, path: str) -> int:
    client = visit(walk.cast.alma)
    client.get(path)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_the_list_shows_what_waits_and_what_is_published(walk: Walk) -> None:
    publish(shipped("waivers.max_days", 30), walk.cast)
    propose(STRICTER, walk.cast)
    words = read(visit(walk.cast.ada).get("/policies/"))
    parts = ("Wait for a second person", "by Alma Admin", "default v2", "default v1", "Answered proposals")
    assert order_of(words, *parts) == list(parts)
    assert "Propose a change" not in words
    assert "Propose a change" in read(visit(walk.cast.alma).get("/policies/"))


def test_what_waits_for_the_second_administrator_is_on_their_home_page(walk: Walk) -> None:
    propose(STRICTER, walk.cast)
    words = read(visit(walk.cast.abel).get("/"))
    assert "Policies that wait for a second person A change of the policy default" in words
    for other in (walk.cast.alma, walk.cast.iris, walk.cast.rhea):
        assert "wait for a second person" not in read(visit(other).get("/"))


def test_the_list_costs_the_same_with_one_and_with_three(walk: Walk) -> None:
    publish(shipped("waivers.max_days", 10), walk.cast)
    before = count_queries(walk, "/policies/"), count_queries(walk, "/policies/default/1/")
    for days in (20, 30):
        publish(shipped("waivers.max_days", days), walk.cast)
    assert (count_queries(walk, "/policies/"), count_queries(walk, "/policies/default/1/")) == before
    assert max(before) <= 12


def test_a_version_shows_its_cases_and_its_other_versions(walk: Walk) -> None:
    publish(STRICTER, walk.cast)
    client = visit(walk.cast.ada)
    words = read(client.get("/policies/default/1/"))
    parts = ("A newer version governs", "Staging", "Rules", "Test cases", "Green", "Other versions", "The text")
    assert order_of(words, *parts) == list(parts)
    words = read(client.get("/policies/default/2/"))
    assert "A newer version governs" not in words
    assert "proposed by Alma Admin" in words
    words = read(client.get("/policies/default/1/compare/2/"))
    assert order_of(words, "default v1 and default v2", "- security") is not None
    for path in ("/policies/default/9/", "/policies/default/1/compare/9/", "/policies/nothing/1/compare/1/"):
        assert client.get(path).status_code == 404


def test_a_release_with_another_text_says_so(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = visit(walk.cast.alma)
    assert "This release ships another text" not in read(client.get("/policies/"))
    newer = with_cases(shipped("waivers.max_days", 45))
    monkeypatch.setattr(policy, "shipped", lambda: newer)
    page = client.get("/policies/")
    assert "This release ships another text" in read(page)
    assert "/policies/propose/?from=shipped" in page.content.decode()
    assert "max_days: 45" in client.get("/policies/propose/?from=shipped").content.decode()
    assert "Propose it" not in read(visit(walk.cast.ada).get("/policies/"))


def test_trying_keeps_nothing_and_shows_cases_and_replay(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.submit(version, "staging")
    client = visit(walk.cast.alma)
    text = with_cases(STRICTER)
    words = read(client.post("/policies/propose/", {"text": text, "do": "test"}))
    parts = ("Test cases", "Replay", "fraud-scorer@1.0.0", "More people", "Security would have to approve as well.")
    assert order_of(words, *parts) == list(parts)
    assert not PolicyProposal.objects.exists()
    answer = client.post(
        "/policies/propose/", {"text": text.replace("valid_days: 180", "valid_days: 9999"), "do": "test"}
    )
    assert answer.status_code == 422
    assert "policy.environments.staging.valid_days: saw 9999" in read(answer)
    answer = client.post("/policies/propose/", {"text": policy.shipped(), "do": "propose"})
    assert answer.status_code == 409
    assert "default v1 has exactly this content." in read(answer)


def test_a_text_whose_cases_are_red_is_shown_with_them_and_not_proposed(walk: Walk) -> None:
    text = policy.shipped().replace('quality/accuracy: {min: "0.85"}', 'quality/accuracy: {min: "0.95"}')
    client = visit(walk.cast.alma)
    assert "Not green" in read(client.post("/policies/propose/", {"text": text, "do": "test"}))
    answer = client.post("/policies/propose/", {"text": text, "do": "propose"})
    assert answer.status_code == 409
    assert "The test cases of the policy default are not green." in read(answer)
    assert not PolicyProposal.objects.exists()


def test_two_administrators_change_a_policy_in_the_browser(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    staging, production = walk.submit(version, "staging"), walk.submit(version, "production")
    alma, abel = visit(walk.cast.alma), visit(walk.cast.abel)
    answer = alma.post("/policies/propose/", {"text": with_cases(STRICTER), "note": "Rhea asked.", "do": "propose"})
    proposal = PolicyProposal.objects.get()
    assert answer.status_code == 302
    assert answer.headers["Location"] == proposal.get_absolute_url()
    own = read(alma.get(proposal.get_absolute_url()))
    assert "Alma Admin proposed it. Another administrator has to publish it." in own
    assert "Publish it" not in own
    assert "Withdraw it" in own
    page = read(abel.get(proposal.get_absolute_url()))
    parts = (
        "What differs",
        "Test cases",
        "Replay",
        "The second person's answer",
        "Finish under default v1 until the date",
    )
    assert order_of(page, *parts) == list(parts)
    missing = abel.post(proposal.get_absolute_url(), posting(proposal, **choice(staging, "move")))
    assert missing.status_code == 409
    assert "fraud-scorer@1.0.0 for production has no choice." in read(missing)
    late = choice(production, "finish", production.due_at + timedelta(days=1))
    answer = abel.post(proposal.get_absolute_url(), posting(proposal, **choice(staging, "move"), **late))
    assert answer.status_code == 422
    assert "when it lapses anyway" in read(answer)
    until = (timezone.now() + timedelta(days=2)).replace(second=0, microsecond=0)
    chosen = {**choice(staging, "move"), **choice(production, "finish", until)}
    answer = abel.post(proposal.get_absolute_url(), posting(proposal, **chosen), follow=True)
    assert "default v2 is published." in answer.content.decode()
    words = read(answer)
    assert order_of(words, "What was chosen", "moved", "finishes under its older version until") is not None
    staging.refresh_from_db()
    production.refresh_from_db()
    assert (staging.policy.number, production.policy.number, production.policy_until) == (2, 1, until)
    assert "may be decided under default v1 until" in read(abel.get(production.get_absolute_url()))


def test_a_replay_that_moved_on_is_shown_again(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    proposal = propose(STRICTER, walk.cast)
    looked_at = posting(proposal)
    walk.submit(version, "staging")
    answer = visit(walk.cast.abel).post(proposal.get_absolute_url(), looked_at)
    assert answer.status_code == 409
    assert "The replay is another one than you looked at" in read(answer)
    assert seen(proposal) in answer.content.decode()
    assert Policy.objects.count() == 1


def test_who_may_not_see_a_version_reads_a_number_and_no_name(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(version, "production")
    submission = walk.submit(version, "staging")
    proposal, cast = propose(STRICTER, walk.cast), walk.cast
    address = proposal.get_absolute_url()
    for state in ("open", "published"):
        for person in (cast.ada, cast.iris, cast.alma, cast.abel):
            page = read(visit(person).get(address))
            assert "fraud-scorer@1.0.0" in page
            assert "that you may not see" not in page
        answer = visit(cast.mallory).get(address)
        assert "2 more of versions that you may not see." in read(answer)
        assert "1 more of versions that you may not see." in read(answer)
        for secret in ("fraud", str(submission.public_id), "Security would have to approve"):
            assert secret not in answer.content.decode()
        if state == "open":
            visit(cast.abel).post(address, posting(proposal, **choice(submission, "move")))
    proposal.refresh_from_db()
    assert proposal.state == "published"


def test_only_whoever_may_publish_makes_the_portal_replay(walk: Walk) -> None:
    proposal = propose(STRICTER, walk.cast)
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.submit(version, "staging")
    address = proposal.get_absolute_url()
    for person in (walk.cast.alma, walk.cast.ada, walk.cast.iris):
        page = visit(person).get(address)
        assert "as it was when it was proposed" in read(page)
        assert "Security would have to approve as well." not in read(page)
        assert seen(proposal) not in page.content.decode()
    words = read(visit(walk.cast.abel).get(address))
    assert "as it was when" not in words
    assert "Security would have to approve as well." in words


def test_the_cases_of_one_text_are_run_once(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = propose(shipped("waivers.max_days", 31), walk.cast)
    client = visit(walk.cast.ada)
    addresses = (proposal.get_absolute_url(), "/policies/default/1/")
    first = [read(client.get(address)) for address in addresses]
    # A run that may take no time at all is stopped, and its page would say so.
    monkeypatch.setattr(cases, "MAX_SECONDS", -1.0)
    assert [read(client.get(address)) for address in addresses] == first
    assert cases.run(proposal.content).stopped


def test_a_text_that_takes_over_from_another_name_says_so(walk: Walk) -> None:
    content = {**STRICTER, "name": "prompts", "applies_to": {"kinds": ["prompt"]}}
    proposal = propose(content, walk.cast)
    assert "prompt from default v1" in read(visit(walk.cast.abel).get(proposal.get_absolute_url()))
    ordinary = propose(STRICTER, walk.cast)
    assert "Takes over" not in read(visit(walk.cast.abel).get(ordinary.get_absolute_url()))


def test_declining_needs_a_reason_and_the_page_keeps_it(walk: Walk) -> None:
    proposal = propose(STRICTER, walk.cast)
    abel = visit(walk.cast.abel)
    assert abel.post(proposal.get_absolute_url(), posting(proposal, "decline")).status_code == 422
    abel.post(proposal.get_absolute_url(), posting(proposal, "decline", note="Not before the audit."))
    words = read(visit(walk.cast.ada).get(proposal.get_absolute_url()))
    assert order_of(words, "Refused", "Not before the audit.") is not None
    assert "The second person's answer" not in words


def test_whoever_is_no_administrator_reads_and_changes_nothing(walk: Walk) -> None:
    proposal = propose(STRICTER, walk.cast)
    for person in (walk.cast.ada, walk.cast.rhea, walk.cast.iris, walk.cast.mallory):
        client = visit(person)
        words = read(client.get(proposal.get_absolute_url()))
        assert "A policy is published by an administrator." in words
        assert not {"Publish it", "Decline it", "Withdraw it"} & set(words.split("  "))
        for answer in ("publish", "decline", "withdraw"):
            posted = client.post(proposal.get_absolute_url(), posting(proposal, answer, note="Because I can."))
            assert posted.status_code == 403
        assert client.get("/policies/propose/").status_code == 403
        assert client.post("/policies/propose/", {"text": "x", "do": "test"}).status_code == 403
    proposal.refresh_from_db()
    assert proposal.state == "open"
    proposals.withdraw(proposal, actor=walk.cast.alma)


@pytest.mark.django_db(transaction=True)
def test_the_pages_of_a_change_are_accessible_and_fit(live_server: LiveServer, page: Page, walk: Walk) -> None:
    publish(shipped("waivers.max_days", 30), walk.cast)
    walk.submit(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "staging")
    proposal = propose(shipped("environments.staging.approvals", ["platform", "security"]), walk.cast)
    enter(page, live_server, walk.cast.abel)
    wrong: list[str] = []
    for address in (proposal.get_absolute_url(), "/policies/", "/policies/default/1/compare/2/", "/policies/propose/"):
        page.goto(f"{live_server.url}{address}")
        wrong += complaints_about(page, address)
    page.get_by_role("button", name="Try it").click()
    page.wait_for_selector("#replay")
    wrong += complaints_about(page, "a text that was tried")
    assert wrong == []
