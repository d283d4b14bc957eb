"""A version's page about another time: only what had been recorded by then, for whoever may see the version."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from governance import decisions
from governance.models import Decision
from registry import evidence
from registry.models import User, Version
from tests.factories import artifacts
from tests.scene import Scene, staged
from tests.web.visitors import read, visit


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Approve and serve a version, and recall it an hour later, once for the whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("scene")) as walk:
        version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
        decision = walk.approved(version)
        walk.promote(version)
        with time_machine.travel(decision.made_at + timedelta(hours=2), tick=False):
            decisions.revoke(decision, actor=walk.cast.rhea, reason="Recalled for cause.")
            walk.work()
        yield Scene(walk, version)


@pytest.fixture
def scene(stage: Scene, db: None) -> Iterator[Scene]:
    """Look from three hours later."""
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=3), tick=False):
        yield deepcopy(stage)


def ask(person: User, version: Version, at: datetime | str) -> Any:
    when = at if isinstance(at, str) else at.strftime("%Y-%m-%dT%H:%M:%S")
    address = reverse("registry:version-as-of", args=[version.asset.slug, version.number])
    return visit(person).get(address, {"as_of": when})


def made_at() -> datetime:
    return Decision.objects.get(verdict="approved").made_at


def test_before_it_was_recalled_it_was_allowed_to_serve(scene: Scene) -> None:
    words = read(ask(scene.walk.cast.iris, scene.version, made_at() + timedelta(hours=1)))
    assert "Production Was allowed to serve it was what served there" in words
    assert "Recalled" not in words
    assert "Revoked" not in words


def test_after_it_was_recalled_it_was_not(scene: Scene) -> None:
    words = read(ask(scene.walk.cast.iris, scene.version, made_at() + timedelta(hours=2, seconds=1)))
    assert "was revoked" in words
    assert "Was allowed to serve" not in words


def test_a_document_attached_later_is_not_there_yet(scene: Scene) -> None:
    later = {"kind": "other", "filename": "hindsight-is-easy.txt", "body": b"we knew"}
    evidence.attach(scene.version, actor=scene.walk.cast.ada, **later)
    then = made_at() + timedelta(hours=1)
    assert "hindsight-is-easy" not in read(ask(scene.walk.cast.ada, scene.version, then))
    assert "hindsight-is-easy" in read(ask(scene.walk.cast.ada, scene.version, ""))


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2001-01-01T00:00:00", "when it was registered"),
        ("2999-01-01T00:00:00", "choose an instant that has passed"),
        ("yesterday", "Enter a valid date"),
        ("\x00", "Enter a valid date"),
    ],
)
def test_an_instant_that_cannot_be_shown_is_named(scene: Scene, at: str, says: str) -> None:
    answer = ask(scene.walk.cast.ada, scene.version, at)
    assert answer.status_code == 422
    assert says in read(answer)


def test_who_may_not_see_the_version_does_not_see_its_past(scene: Scene) -> None:
    answer = ask(scene.walk.cast.mallory, scene.version, made_at())
    assert answer.status_code == 404
    assert "fraud" not in read(answer)


def test_the_page_costs_the_same_whatever_there_is(scene: Scene) -> None:
    counts = []
    for wanted in (1, 3):
        for number in range(wanted):
            body = f"{wanted} {number}".encode()
            name = f"{wanted}-{number}.txt"
            evidence.attach(scene.version, actor=scene.walk.cast.ada, kind="other", filename=name, body=body)
        walk = scene.walk
        walk.submit(scene.version, "staging" if wanted == 1 else "production")
        ask(walk.cast.iris, scene.version, datetime.now(UTC))
        with CaptureQueriesContext(
            connection,
        ) as caught:
            ask(walk.cast.iris, scene.version, datetime.now(UTC))
        counts.append(len(caught))
    assert counts[0] == counts[1]
