"""Long work says how far it is, to other processes and before anything is committed, and never fails over saying it."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from portal import progress

NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def test_what_is_told_is_read_until_the_work_is_over() -> None:
    assert progress.told("a walk") is None
    with progress.of("a walk", 1_000) as tick:
        assert progress.told("a walk") == (0, 1_000)
        tick(400)
        assert progress.told("a walk") == (0, 1_000)
        tick(1_000)
        assert progress.told("a walk") == (1_000, 1_000)
        tick(1_200)
        assert progress.told("a walk") == (1_000, 1_000)
    assert progress.told("a walk") is None


def test_work_that_fails_is_over_as_well() -> None:
    with pytest.raises(ZeroDivisionError), progress.of("a walk", 3):
        raise ZeroDivisionError
    assert progress.told("a walk") is None


def test_without_a_broker_the_work_goes_on_untold(settings: Settings) -> None:
    settings.REDIS_URL = NOBODY_LISTENS
    with progress.of("a walk", 3) as tick:
        tick(3)
        assert progress.told("a walk") is None
