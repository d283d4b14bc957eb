"""The cast that most tests of facts begin with. Tests in threads of their own gather one for themselves."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
from pytest_django import DjangoDbBlocker

from tests.factories import Walk
from tests.scene import staged


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Gather the cast once for a whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("walk")) as walk:
        yield walk


@pytest.fixture
def walk(stage: Walk, db: None) -> Walk:
    """Return a walk that a test may change as it likes."""
    return deepcopy(stage)
