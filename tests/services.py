"""Pytest plugin: a real database and a real broker before Django reads its settings, and a real worker on request.

Loaded by `addopts`. DATABASE_URL and REDIS_URL win when they are set, so the suite also runs on servers of one's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from portal.celery import app
from portal.embedded.children import CannotStart, Child, spawn, stop, wait_until
from portal.embedded.processes import processes
from portal.embedded.services import throwaway

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the services, and put where they are into the environment."""
    stack = ExitStack()
    try:
        services, environ = stack.enter_context(throwaway())
        early_config.stash[VERSIONS] = f"{services.database_version()}, {services.broker_version()}"
    except CannotStart as error:
        stack.close()
        raise pytest.UsageError(str(error)) from None
    early_config.add_cleanup(stack.close)
    os.environ.update(environ)
    os.environ["REDIS_URL"] = own_queue(os.environ["REDIS_URL"], os.environ.get("PYTEST_XDIST_WORKER", ""))
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    # Playwright's synchronous API keeps an event loop in this thread, where Django refuses queries. Tests only.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def own_queue(url: str, process: str) -> str:
    """Return the broker's address for one of several test processes (`gw0`, `gw1`, …).

    They share the servers that the first process started. pytest-django gives each a database of its own; without a
    numbered queue of its own, each would hear the others' bells.
    """
    if not process:
        return url
    return urlsplit(url)._replace(path=f"/{1 + int(process.removeprefix('gw')) % 15}").geturl()


def pytest_report_header(config: pytest.Config) -> str:
    """Return the line that says what the tests run on."""
    return f"services: {config.stash[VERSIONS]}"


@pytest.fixture
def worker(transactional_db: None, tmp_path: Path) -> Iterator[Child]:
    """Run a real prefork worker on the test database and the broker until the test ends."""
    from django.db import connection  # noqa: PLC0415 - the plugin is imported before there are settings

    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{quote(connection.settings_dict['NAME'])}")
    process = processes("", 0)["worker"]
    environ = {**os.environ, **process.environ, "DATABASE_URL": database.geturl()}
    # What earlier tests rang for is gone from the database, so their bells are noise.
    app.control.purge()
    child = spawn(
        "The worker",
        process.arguments(),
        env=environ,
        log=tmp_path / "worker.log",
        cwd=ROOT,
        death_signal=process.death_signal,
    )
    try:
        wait_until(lambda: bool(app.control.ping(timeout=0.3)), child, seconds=30)
        yield child
    finally:
        stop([child])
