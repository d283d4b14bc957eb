"""What the tests of serving share: otto the deployer, who reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import ServingBatch
from audit.serving import report
from registry.models import User


@pytest.fixture
def otto(db: None) -> User:
    """otto, the deployer: a service, without the entry about it, so that tests can count theirs."""
    return User.objects.bulk_create([User(username="otto", name="otto", kind="service")])[0]


@pytest.fixture
def send(otto: User) -> Callable[..., ServingBatch]:
    def send(*windows: Any, batch_id: str = "b1", source: str = "otto") -> ServingBatch:
        return report(actor=otto, source=source, batch_id=batch_id, windows=windows)

    return send
