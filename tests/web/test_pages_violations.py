"""The pages of violations and contradictions: who sees what, and the answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from audit.models.serving import GRID
from audit.serving.lookups import floor
from governance import violations
from governance.models import Violation
from registry.models import User, Version
from tests.factories import Walk
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
    report(walk, window(STRANGER, start, requests=999), batch="2")
    for user in (walk.cast.petra, walk.cast.alma, walk.cast.iris):
        words = read(visit(user).get("/violations/conflicts/"))
        assert "7 requests" in words
        assert "999 requests" in words
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
