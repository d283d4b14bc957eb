"""One candidate for all tests of a module: walked there once, in a transaction that each test's own one nests in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from django.db import transaction
from django.test import override_settings

from registry.models import Version
from tests.factories import Walk, artifacts, make_walk


class Scene(NamedTuple):
    """A walk and the candidate it made: fraud-scorer 1.0.0, for which nothing has been asked yet."""

    walk: Walk
    version: Version


@contextmanager
def staged(folder: Path) -> Iterator[Scene]:
    """Walk to a candidate, and undo everything when the block ends."""
    quick = {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]}
    with override_settings(ARTIFACT_ROOTS=[folder / "artifacts"], **quick), transaction.atomic():
        walk = make_walk(folder)
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))
        transaction.set_rollback(True)
