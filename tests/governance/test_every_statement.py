"""Each statement of the verbs that matter most fails once: nothing is half-done, and the verb can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from audit import log, sealer, verifier
from audit.events import Event
from governance import decisions, promotions, reviews, submissions
from registry.models import User
from tests.factories import artifacts
from tests.failing import FAILURES, counts, failing, fingerprint, undone
from tests.scene import Scene, staged

pytestmark = pytest.mark.django_db

# In `make test` about this many statements of each verb fail, evenly spread; in `make bench-long` all of them.
SAMPLE = 9
# Verification reads everything, so it follows every so many failures, besides the last one.
VERIFIED = 5


class Verb(NamedTuple):
    """What comes before a verb, and the verb, which is the only thing that fails."""

    prepare: Callable[[Scene], object]
    act: Callable[[Scene], object]


def register(scene: Scene) -> object:
    return scene.walk.register("churn-scorer", "2.0.0", artifacts.scorer(2))


def submitted(scene: Scene) -> None:
    scene.walk.submit(scene.version, "production")


def all_but_one(scene: Scene) -> None:
    submitted(scene)
    submission = scene.version.submissions.get()
    give(scene, "platform", scene.walk.cast.petra)
    give(scene, "product", scene.walk.cast.dana)
    assert submission.reviews.count() == 2


def give(scene: Scene, role: str, person: User) -> object:
    submission = scene.version.submissions.get()
    seen = submissions.current_digest(submission)
    return reviews.approve(submission, actor=person, role=role, seen=seen, proof=scene.walk.proof())


def review(scene: Scene) -> object:
    """Give the approval that completes the decision."""
    return give(scene, "security", scene.walk.cast.rhea)


def decided(scene: Scene) -> None:
    all_but_one(scene)
    review(scene)


def sign(scene: Scene) -> object:
    assert decisions.sign_due() == 1
    return None


def signed(scene: Scene) -> None:
    decided(scene)
    sign(scene)


def promote(scene: Scene) -> object:
    return promotions.promote(scene.version, "production", actor=scene.walk.cast.ada)


def waiting(scene: Scene) -> None:
    """Have a tree to go on from, and entries that wait, enough to fill a tile."""
    with log.record(Event.PERSON_CHANGED, actor=scene.walk.cast.ada, subject=scene.walk.cast.ada):
        for _ in range(300):
            with log.record(Event.PERSON_CHANGED, actor=scene.walk.cast.ada, subject=scene.walk.cast.ada):
                pass
    sealer.seal_due(7)


def seal(scene: Scene) -> object:
    return sealer.seal_due(300)


VERBS = {
    "register": Verb(lambda scene: None, register),
    "review": Verb(submitted, lambda scene: give(scene, "platform", scene.walk.cast.petra)),
    "review and decide": Verb(all_but_one, review),
    "sign": Verb(decided, sign),
    "promote": Verb(signed, promote),
    "seal": Verb(waiting, seal),
}


@pytest.fixture(scope="module")
def scene(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate once, for all verbs."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("scene")) as walk:
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_of_which_any_statement_fails_leaves_nothing_and_can_be_repeated(
    scene: Scene, name: str, request: pytest.FixtureRequest
) -> None:
    verb = VERBS[name]
    verb.prepare(scene)
    scene.version.refresh_from_db()
    with undone():
        with failing(None) as all_of_it:
            verb.act(scene)
        done, total = counts(), all_of_it.made
    before = fingerprint()
    assert total > 5
    step = 1 if request.config.getoption("long") else max(1, total // SAMPLE)
    for at in range(0, total, step):
        with undone():
            if fail(verb, scene, at):
                assert fingerprint() == before, f"statement {at} of {total} left something behind"
                scene.version.refresh_from_db()
                verb.act(scene)
            assert counts() == done, f"after statement {at} of {total} the verb did something else"
            if at // step % VERIFIED == 0 or at + step >= total:
                assert verifier.verify().faults == []
    scene.version.refresh_from_db()


def fail(verb: Verb, scene: Scene, at: int) -> bool:
    """Act, while one round trip fails; whatever the verb had written, it takes back by itself.

    Returns whether it came that far: what was asked and remembered before is not asked again.
    """
    with failing(at) as trips:
        try:
            verb.act(scene)
        except FAILURES:
            assert trips.made > at
            return True
    assert trips.made <= at, f"statement {at} failed and nobody heard of it"
    return False


def test_the_failures_reach_every_kind_of_statement(scene: Scene) -> None:
    """What fails is counted where the driver talks to the server, so that COPY and binary reads are in it."""
    waiting(scene)
    with undone(), failing(None) as trips:
        sealer.seal_due()
    assert trips.made > 12
    assert connection.is_usable()
