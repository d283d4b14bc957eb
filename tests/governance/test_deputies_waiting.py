"""What waits for a deputy: in the queue and in the number of the menu, which are one."""

from __future__ import annotations

import time_machine

from governance import queries
from registry import signatures
from registry.models import User
from tests.governance.test_delegations import answer, fresh, name
from tests.scene import Scene


def turns(user: User) -> tuple[int, int]:
    """Return the number in the menu and the number of turns in the queue, which are one."""
    return queries.count_waiting(fresh(user)), sum(row.is_my_turn for row in queries.queue(fresh(user)))


def test_the_queue_shows_a_deputy_what_waits_for_them(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    submission = walk.submit(version, "production")
    assert queries.queue(fresh(cast.mallory)) == []
    made = name(cast.rhea, cast.mallory)
    [row] = queries.queue(fresh(cast.mallory))
    assert (row.is_my_turn, row.my_roles, row.deputy_roles) == (True, (), (("security", cast.rhea),))
    assert turns(cast.mallory) == (1, 1)
    answer(walk, submission, cast.mallory, cast.rhea)
    assert (turns(cast.mallory), turns(cast.rhea)) == ((0, 0), (0, 0))
    with time_machine.travel(made.ends_at, tick=False):
        assert turns(cast.mallory) == (0, 0)


def test_nothing_waits_for_a_deputy_whose_giver_had_a_hand_in_it(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.petra, cast.mallory, "platform")
    walk.submit(version, "staging", actor=cast.ben)
    signatures.sign(version.evidence.get(kind="evaluation"), actor=cast.petra, capacity="lead", statement="I ran it.")
    walk.work()
    assert (turns(cast.petra), turns(cast.mallory)) == ((0, 0), (0, 0))
