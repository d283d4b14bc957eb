"""The cast behind the doors: a walk for what people do, a service for each token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.models import Version
from tests.factories import Walk, artifacts, make_walk
from tests.web.services import Service, make_service


@pytest.fixture
def walk(db: None, tmp_path: Path, settings: Any) -> Walk:
    """Return a walk whose artifacts are in a folder of the test."""
    # Ten people get a password; nothing here is about how slowly it is hashed.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ARTIFACT_ROOTS = [tmp_path / "artifacts"]
    return make_walk(tmp_path)


@pytest.fixture
def ci(walk: Walk) -> Service:
    """Return the pipeline of both teams: scopes register and read."""
    return Service(walk.cast.ci_token)


@pytest.fixture
def deployer(walk: Walk) -> Service:
    """Return the deployer of both teams: scopes gate, serving, promote and read."""
    return Service(walk.cast.deploy_token)


@pytest.fixture
def outsider(walk: Walk) -> Service:
    """Return a service with every scope that is on nobody's team."""
    return make_service("elsewhere", "register", "gate", "serving", "promote", "read")[1]


@pytest.fixture
def candidate(walk: Walk) -> Version:
    """Return fraud-scorer 1.0.0, which passed the baseline checks."""
    return walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
