"""The cast behind the doors: a service for each token, and a version to ask about."""

from __future__ import annotations

import pytest

from registry.models import Version
from tests.factories import Walk, artifacts
from tests.web.services import Service, make_service


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
