"""The scene that every run of the machine begins with, and in how many shares the runs are done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.factories import artifacts
from tests.scene import Scene, staged

SHARES = 25


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Do the runs once, or, for `make bench-long`, in shares that may be spread over processes."""
    if "share" in metafunc.fixturenames:
        metafunc.parametrize("share", range(SHARES if metafunc.config.getoption("long") else 1))


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate once, for all runs."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("scene")) as walk:
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))
