"""The health pages say what is wrong, to anybody, and give nothing else away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import time_machine
from django.conf import settings as current
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit import seal
from portal import health
from portal.demo.roots import publish_next
from tests.factories import Cast

NOBODY_LISTENS = "redis://:hunter2@127.0.0.1:9/0"


@pytest.fixture(autouse=True)
def fresh_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin before the first tick, and with nothing registered."""
    monkeypatch.setattr(health, "_due", {})
    broker = redis.Redis.from_url(current.REDIS_URL)
    broker.delete(health.TICK_KEY)
    yield
    broker.delete(health.TICK_KEY)
    broker.close()


@pytest.mark.django_db
def test_a_ticking_clock_and_a_database_are_well(client: Client) -> None:
    health.register_due("entries to seal", lambda: 3)
    health.record_tick(timezone.now())
    answer = client.get("/healthz")
    body = answer.json()
    assert answer.status_code == 200
    assert body.pop("clock")["age_seconds"] < 5
    assert body == {"ok": True, "faults": [], "due": {"entries to seal": 3}}
    assert answer["Cache-Control"] == "no-store"
    assert health.clock_fault() == ""


@pytest.mark.django_db
def test_a_clock_that_never_ticked_is_a_fault(client: Client) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["faults"] == ["The clock has not ticked since the broker started, so background work waits."]
    assert answer.json()["clock"] == {"last_tick": None, "age_seconds": None}


@pytest.mark.django_db
def test_a_silent_clock_is_a_fault_and_does_not_close_the_gate(client: Client) -> None:
    health.record_tick(timezone.now())
    with time_machine.travel(timezone.now() + timedelta(seconds=90), tick=False):
        answer = client.get("/healthz")
        assert answer.status_code == 503
        assert answer.json()["faults"][0].startswith("The clock has been silent for 90 seconds")
        assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_a_broker_that_is_away_is_a_fault_and_does_not_close_the_gate(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = NOBODY_LISTENS
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["faults"] == ["The broker does not answer, so background work waits."]
    assert "hunter2" not in answer.content.decode()
    assert client.get("/readyz").json() == {"ok": True, "faults": []}


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_closes_both_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    health.record_tick(timezone.now())
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "PORT", "1")
        ready, well = client.get("/readyz"), client.get("/healthz")
    connection.close()
    assert (ready.status_code, well.status_code) == (503, 503)
    assert ready.json() == {"ok": False, "faults": ["The database does not answer."]}
    assert well.json()["faults"] == ["The database does not answer."]


@pytest.mark.django_db
def test_a_count_that_fails_is_unknown_and_not_zero(client: Client) -> None:
    def fail() -> int:
        raise DatabaseError("relation does not exist")

    health.register_due("exports to build", fail)
    health.record_tick(timezone.now())
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["due"] == {"exports to build": None}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "/srv/secret-vault/ledger.pem"),
        ImproperlyConfigured("There is no decision key; put one at /srv/secret-vault/decision.pem."),
        ValueError("Could not deserialize /srv/secret-vault/ledger.pem"),
    ],
)
def test_a_question_that_stumbles_over_a_file_is_a_fault_without_its_path(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setattr(health, "_faults", {"keys": fail, "exports": lambda: "Exports wait."})
    health.record_tick(timezone.now())
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["faults"] == ["Exports wait.", "Asking about keys failed; the log says why."]
    assert "secret-vault" not in answer.content.decode()


@pytest.mark.django_db
def test_a_key_file_that_cannot_be_read_is_a_fault_and_no_crash(
    client: Client, settings: Settings, tmp_path: Path, cast: Cast
) -> None:
    settings.KEYS_DIR = tmp_path / "secret-vault"
    seal.ensure_keys()
    publish_next()
    health.record_tick(timezone.now())
    path = settings.KEYS_DIR / seal.DECISION_KEY
    path.unlink()
    path.mkdir()
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert "Asking about keys failed; the log says why." in answer.json()["faults"]
    assert "secret-vault" not in answer.content.decode()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_read_only(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
