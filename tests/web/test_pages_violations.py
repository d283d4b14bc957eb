"""The pages of violations and contradictions: who sees what, and the answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from audit.models.serving import GRID
from audit.serving.lookups import floor
from governance import standing, violations
from governance.models import Violation
from registry import people, tokens
from registry.models import User, Version
from tests.factories import Walk, artifacts
from tests.governance.violations.stories import judged, report, window
from tests.web.services import Service
from tests.web.visitors import read, visit

STRANGER = "f0" * 32


@pytest.fixture
def served(walk: Walk, candidate: Version) -> tuple[Violation, Violation]:
    """A candidate without a decision that served, and a digest that nobody registered."""
    start = floor(timezone.now()) + GRID
    rows = [window(STRANGER, start, customer="secret-customer", deployment="secret-desk")]
    with time_machine.travel(start + 2 * GRID):
        judged(walk, *rows, window(candidate.identity_digest, start, customer="globex"))
    return Violation.objects.get(version=candidate), Violation.objects.get(digest=STRANGER)


def test_home_list_and_page_lead_to_the_answer(walk: Walk, served: tuple[Violation, Violation]) -> None:
    mine, _ = served
    client = visit(walk.cast.ada)
    assert "Served without being allowed to" in read(client.get("/"))
    assert "Wait for your answer" in read(client.get("/violations/"))
    assert "Nothing with this identity digest was registered then" not in read(client.get("/violations/"))
    address = mine.get_absolute_url()
    words = read(client.get(address))
    assert "globex" in words
    short = client.post(address, {"answer": "no"})
    assert short.status_code == 422
    assert client.post(address, {"answer": "It was a test deployment; it is off."}).status_code == 302
    words = read(client.get(address))
    assert "It was a test deployment; it is off." in words
    assert "Served without being allowed to" not in read(client.get("/"))
    again = client.post(address, {"answer": "It was a test deployment, really."})
    assert again.status_code == 409


def test_nobody_sees_what_is_not_theirs(walk: Walk, served: tuple[Violation, Violation]) -> None:
    mine, unknown = served
    for user in (walk.cast.mallory, walk.cast.ada):
        client = visit(user)
        assert client.get(unknown.get_absolute_url()).status_code == 404
        assert "secret-" not in read(client.get("/violations/"))
        assert client.post(unknown.get_absolute_url(), {"answer": "I would like to."}).status_code == 404
    stranger = visit(walk.cast.mallory)
    assert stranger.get(mine.get_absolute_url()).status_code == 404
    assert "globex" not in read(stranger.get("/violations/"))
    reader = visit(walk.cast.iris)
    assert "secret-customer" in read(reader.get(unknown.get_absolute_url()))
    assert reader.post(unknown.get_absolute_url(), {"answer": "Auditors only read."}).status_code == 403


def test_a_draft_of_the_same_bytes_takes_no_violation_from_its_version(walk: Walk, candidate: Version) -> None:
    copies = [
        walk.register("copycat", f"1.0.{number}", artifacts.scorer(1), team="assistants", owner="carl")
        for number in range(2)
    ]
    assert copies[1].registered_at > candidate.registered_at
    start = floor(timezone.now()) + GRID
    with time_machine.travel(start + 2 * GRID):
        judged(walk, window(candidate.identity_digest, start, customer="secret-customer"))
        assert standing.of_digest(candidate.identity_digest, "staging").version == candidate
    found = Violation.objects.get()
    assert found.version == candidate
    assert visit(walk.cast.carl).get(found.get_absolute_url()).status_code == 404
    assert "secret-customer" in read(visit(walk.cast.ada).get(found.get_absolute_url()))


def test_a_reviewer_of_single_assets_opens_what_they_have_to_answer_and_what_they_answered(
    walk: Walk, served: tuple[Violation, Violation]
) -> None:
    mine, unknown = served
    mallory, carl = (User.objects.get(username=name) for name in ("mallory", "carl"))
    seats = [
        people.give_seat(user, role, actor=walk.cast.alma, everywhere=False)
        for user, role in ((mallory, "security"), (carl, "platform"))
    ]
    for user in (mallory, carl):
        client = visit(user)
        assert "secret-desk" in read(client.get("/violations/"))
        assert "secret-customer" in read(client.get(unknown.get_absolute_url()))
        assert client.get(mine.get_absolute_url()).status_code == 404
        assert "globex" not in read(client.get("/violations/"))
    answer = {"answer": "The deployment was a test; it is off."}
    assert visit(mallory).post(unknown.get_absolute_url(), answer).status_code == 302
    for user in (mallory, carl):
        assert "The deployment was a test" in read(visit(user).get(unknown.get_absolute_url()))
    for seat in seats:
        people.take_seat(seat, actor=walk.cast.alma)
    assert visit(mallory).get(unknown.get_absolute_url()).status_code == 200
    assert visit(carl).get(unknown.get_absolute_url()).status_code == 404


def test_whoever_issued_the_token_of_the_reporter_opens_what_they_are_told_of(
    walk: Walk, served: tuple[Violation, Violation]
) -> None:
    _, unknown = served
    ada = User.objects.get(username="ada")
    assert visit(ada).get(unknown.get_absolute_url()).status_code == 404
    people.give_seat(ada, "administrator", actor=walk.cast.alma)
    reporter = User.objects.get(username=unknown.source)
    token, _ = tokens.issue(reporter, actor=User.objects.get(pk=ada.pk), label="second", scopes=["serving"])
    people.take_seat(ada.seats.get(role="administrator"), actor=walk.cast.alma)
    page = visit(User.objects.get(pk=ada.pk)).get(unknown.get_absolute_url())
    assert "secret-customer" in read(page)
    tokens.revoke(token, actor=walk.cast.alma)
    assert visit(ada).get(unknown.get_absolute_url()).status_code == 404


def test_the_list_is_narrowed_by_state(walk: Walk, served: tuple[Violation, Violation]) -> None:
    mine, _ = served
    violations.answer(mine, actor=walk.cast.ada, text="It is switched off now.")
    client = visit(walk.cast.iris)
    opened = read(client.get("/violations/?state=open"))
    assert ("secret-desk" in opened, "desk-eu" in opened) == (True, False)
    answered = read(client.get("/violations/?state=answered"))
    assert ("secret-desk" in answered, "desk-eu" in answered) == (False, True)
    assert client.get("/violations/?state=nonsense").status_code == 200


def test_contradictions_are_shown_to_those_who_run_things(walk: Walk) -> None:
    start = floor(timezone.now()) - timedelta(hours=1)
    report(walk, window(STRANGER, start), batch="1")
    report(walk, window(STRANGER, start, requests=999, errors=1), batch="2")
    for user in (walk.cast.petra, walk.cast.alma, walk.cast.iris):
        words = read(visit(user).get("/violations/conflicts/"))
        assert "7 requests" in words
        assert "999 requests, 1 error, " in words
        assert "batch 2 · 1 line against earlier batches" in words
    for user in (walk.cast.ada, walk.cast.mallory):
        assert visit(user).get("/violations/conflicts/").status_code == 403


def test_the_api_lists_what_a_service_may_see(
    walk: Walk, served: tuple[Violation, Violation], ci: Service, outsider: Service
) -> None:
    mine, _ = served
    [found] = ci.get("/violations").json()["violations"]
    assert (found["id"], found["kind"], found["state"]) == (str(mine.public_id), mine.kind, "open")
    assert found["reason"]["rule"] == mine.rule
    assert outsider.get("/violations").json()["violations"] == []
    assert ci.get("/violations", state="answered").json()["violations"] == []
    assert ci.get("/violations", state="nonsense").status_code == 422


def test_everybody_of_the_cast_can_open_the_list(walk: Walk) -> None:
    for user in User.objects.filter(kind="person", is_active=True):
        assert visit(user).get("/violations/").status_code == 200
