"""What the tests of a module begin with, made once: in a transaction that each test's own one nests in.

Only for tests that stay in one thread and one transaction; the others walk for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from django.db import transaction
from django.test import override_settings

from registry.models import Version
from tests.factories import Walk, make_walk


class Scene(NamedTuple):
    """A walk and the candidate it made: fraud-scorer 1.0.0, for which nothing has been asked yet."""

    walk: Walk
    version: Version


@contextmanager
def staged(folder: Path) -> Iterator[Walk]:
    """Gather the cast and give its walk, and undo everything when the block ends."""
    quick = {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]}
    with override_settings(ARTIFACT_ROOTS=[folder / "artifacts"], **quick), transaction.atomic():
        yield make_walk(folder)
        transaction.set_rollback(True)
