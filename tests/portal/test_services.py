"""What the test suite itself rests on: a real worker, a real browser, and a flush that append-only tables accept."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connection
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from portal import health, tasks
from portal.embedded.children import Child
from tests.conftest import flush

PROTECTED = """
CREATE TABLE stone (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text);
CREATE TABLE leaf (stone_id bigint REFERENCES stone);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'append-only'; END $$;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON stone FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON stone FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE stone ENABLE ALWAYS TRIGGER no_truncate;
ALTER TABLE stone ENABLE ALWAYS TRIGGER no_change;
INSERT INTO stone (word) VALUES ('kept');
"""


@pytest.fixture
def stone(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(PROTECTED)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE leaf, stone; DROP FUNCTION refuse()")


def test_a_flush_empties_protected_tables_and_leaves_them_protected(stone: None) -> None:
    types = ContentType.objects.count()
    flush()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM stone")
        assert cursor.fetchone() == (0,)
        cursor.execute("INSERT INTO stone (word) VALUES ('again') RETURNING id")
        assert cursor.fetchone() == (1,)
        for change in ("TRUNCATE stone CASCADE", "DELETE FROM stone", "UPDATE stone SET word = ''"):
            with pytest.raises(DatabaseError, match="append-only"):
                cursor.execute(change)
    assert ContentType.objects.count() == types > 0


def test_a_real_worker_answers_the_bell(worker: Child) -> None:
    broker = redis.Redis.from_url(settings.REDIS_URL)
    broker.delete(health.TICK_KEY)
    broker.close()
    tasks.tick.delay()
    deadline = time.monotonic() + 10
    while health.last_tick() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert health.clock_fault() == ""
    assert worker.running


def test_a_real_browser_reads_a_page_of_ours(page: Page, live_server: LiveServer) -> None:
    answer = page.goto(f"{live_server.url}/readyz")
    assert answer is not None
    assert answer.json() == {"ok": True, "faults": []}
