"""What every test may use: a real browser, and a flush that append-only tables accept. Services are in services.py."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django.db import connections
from django.test import TransactionTestCase
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.factories import Cast, Walk, make_walk

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REQUIRE_BROWSER = os.environ.get("COUNTERSIGN_REQUIRE_BROWSER", "") not in {"", "0"}
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
]

# TRUNCATE is what the ledger's triggers refuse, and they fire for everybody (ENABLE ALWAYS). A superuser takes them
# off inside one transaction, so that nobody else ever sees the tables without them. Only filled tables are truncated,
# because truncating seventy empty ones costs more than most tests.
FLUSH = """
DO $flush$
DECLARE
    entry record;
    filled text[] := '{}';
    guards text[][] := '{}';
    guard text[];
    has_rows boolean;
BEGIN
    FOR entry IN
        SELECT oid::regclass::text AS name FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', entry.name) INTO has_rows;
        IF has_rows THEN filled := filled || entry.name; END IF;
    END LOOP;
    IF filled = '{}' THEN RETURN; END IF;
    FOR entry IN
        SELECT tgrelid::regclass::text AS name, quote_ident(tgname) AS trigger FROM pg_trigger
        WHERE tgenabled = 'A' AND NOT tgisinternal AND tgtype & 32 <> 0
    LOOP
        guards := guards || ARRAY[ARRAY[entry.name, entry.trigger]];
    END LOOP;
    FOREACH guard SLICE 1 IN ARRAY guards LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %s', guard[1], guard[2]);
    END LOOP;
    EXECUTE format('TRUNCATE %s RESTART IDENTITY CASCADE', array_to_string(filled, ', '));
    FOREACH guard SLICE 1 IN ARRAY guards LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %s', guard[1], guard[2]);
    END LOOP;
END
$flush$
"""


def flush(alias: str = "default") -> None:
    """Empty every table of a test database, append-only ones too, except migrations, content types and permissions."""
    with connections[alias].cursor() as cursor:
        # A connection that a test forgot inside a transaction should be an error, not a test that hangs.
        cursor.execute("SET lock_timeout = '20s'")
        cursor.execute(FLUSH)
        cursor.execute("RESET lock_timeout")


def _flush_after_test(case: Any) -> None:
    """Do what Django does after a transactional test, by our flush."""
    for alias in case._databases_names(include_mirrors=False):
        flush(alias)
        if case.available_apps is None and not case.serialized_rollback:
            emit_post_migrate_signal(verbosity=0, interactive=False, db=alias)


# Django offers no hook for this, and its type stubs do not know the method.
TransactionTestCase._fixture_teardown = _flush_after_test  # type: ignore[attr-defined]


@cache
def missing_for_browser() -> str:
    """Return what this machine lacks for browser tests, or an empty text."""
    if CHROMIUM is None:
        return "no Chromium on this machine (apt-get install chromium)"
    driver, _ = compute_driver_executable()
    ran = subprocess.run([driver, "--version"], capture_output=True, text=True, check=False)
    return f"Playwright's driver does not run (apt-get install libatomic1): {ran.stderr}" if ran.returncode else ""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make bench-long` ask for as many runs as it takes to believe."""
    parser.addoption("--long", action="store_true", help="thousands of runs where `make test` has hundreds")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a browser, and skip it with a reason where there is none and none is required."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
            if missing_for_browser() and not REQUIRE_BROWSER:
                item.add_marker(pytest.mark.skip(reason=missing_for_browser()))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run one headless Chromium for all tests."""
    if missing_for_browser():
        pytest.fail(f"COUNTERSIGN_REQUIRE_BROWSER asks for a browser: {missing_for_browser()}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page with its own cookies; script errors and violations of the content security policy fail the test."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            complaints.append(message.text)

    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hash passwords cheaply: ten members of the cast sign up in most tests."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def walk(db: None, tmp_path: Path, settings: Any) -> Walk:
    """Return a walk with a fresh cast; artifacts live in the test's own folder."""
    settings.ARTIFACT_ROOTS = [tmp_path / "artifacts"]
    return make_walk(tmp_path)


@pytest.fixture
def cast(walk: Walk) -> Cast:
    """Return everybody of the stories."""
    return walk.cast
