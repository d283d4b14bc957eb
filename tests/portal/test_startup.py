"""System checks: each says what is wrong, under its id, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from audit import seal
from audit.models import Entry
from governance import submissions
from portal import health, startup
from portal.demo.roots import publish_next
from tests.factories import Cast, Walk, artifacts


def ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


@pytest.fixture
def keys(settings: Settings, tmp_path: Path) -> Path:
    """Return a folder with fresh keys."""
    settings.KEYS_DIR = tmp_path / "keys"
    seal.ensure_keys()
    return tmp_path / "keys"


def test_a_portal_in_order_has_no_complaints(keys: Path, settings: Settings, tmp_path: Path) -> None:
    settings.ARTIFACT_ROOTS, settings.CHECKPOINT_PLACES = [tmp_path], [f"file://{tmp_path}"]
    ours = [check for name, check in vars(startup).items() if name.startswith("check_") and name != "check_address"]
    assert [message for check in ours for message in check(None)] == []


@pytest.mark.parametrize(("name", "value"), [("USE_TZ", False), ("TIME_ZONE", "Europe/Berlin")])
def test_another_time_than_utc_is_an_error(settings: Settings, name: str, value: object) -> None:
    setattr(settings, name, value)
    assert ids(startup.check_clock(None)) == ["portal.E001"]


def test_the_demo_does_not_run_at_an_address_on_the_network(settings: Settings) -> None:
    settings.DEMO, settings.SECURE = True, True
    assert ids(startup.check_demo(None)) == ["portal.E002"]
    settings.SECURE = False
    assert startup.check_demo(None) == []


def break_key(path: Path) -> None:
    path.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n", encoding="utf-8")


def swap_key(path: Path) -> None:
    path.write_bytes((path.parent / seal.DECISION_KEY).read_bytes())


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [(break_key, "portal.E003"), (Path.unlink, None), (lambda path: path.chmod(0o644), "portal.W004")],
)
def test_a_key_that_cannot_be_read_is_an_error(keys: Path, spoil: Callable[[Path], None], expected: str | None) -> None:
    spoil(keys / seal.LEDGER_KEY)
    assert ids(startup.check_keys(None)) == ([expected] if expected else [])


def test_a_key_of_the_wrong_kind_is_told(keys: Path, settings: Settings, tmp_path: Path) -> None:
    settings.ARTIFACT_ROOTS = [tmp_path]
    swap_key(keys / seal.LEDGER_KEY)
    [message] = startup.check_setup(None)
    assert "expected an Ed25519 private key" in str(message.hint)


def test_what_a_new_portal_has_not_got_is_a_warning_for_production(settings: Settings, tmp_path: Path) -> None:
    settings.KEYS_DIR = tmp_path / "nowhere"
    settings.ARTIFACT_ROOTS = [tmp_path / "not-mounted"]
    assert ids(startup.check_setup(None)) == ["portal.W003", "portal.W003", "portal.W005"]
    assert startup.check_keys(None) == []


def test_production_is_at_an_https_address(settings: Settings) -> None:
    settings.SECURE = False
    assert ids(startup.check_address(None)) == ["portal.E006"]
    assert "portal.E006" in [message.id for message in run_checks(include_deployment_checks=True)]
    assert "portal.E006" not in [message.id for message in run_checks()]
    settings.SECURE = True
    assert startup.check_address(None) == []


@pytest.mark.django_db
def test_a_portal_without_a_policy_is_warned() -> None:
    assert ids(startup.check_record(None, databases=["default"])) == ["portal.W008"]


def test_a_portal_without_a_keyset_is_told_before_it_goes_to_production(cast: Cast) -> None:
    assert ids(startup.check_keyset(None, databases=["default"])) == ["portal.W010"]
    publish_next()
    assert startup.check_keyset(None, databases=["default"]) == []
    assert startup.check_keyset(None) == []


def test_a_portal_with_a_policy_is_not(cast: Cast) -> None:
    assert startup.check_record(None, databases=["default"]) == []


def test_what_waits_for_a_worker_is_counted_for_the_health_page(walk: Walk) -> None:
    version = walk.attach_all(walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)))
    submissions.nominate(version, actor=walk.cast.cee_i)
    assert health._count_due() == {
        "checks to answer": 10,
        "decisions to sign": 0,
        "entries to seal": Entry.objects.count(),
        "checkpoints to copy": 0,
        "exports to build": 0,
        "notices given up within a day": 0,
        "notices to deliver": 0,
    }
    walk.work()
    assert set(health._count_due().values()) == {0}


def test_a_trigger_that_was_switched_off_is_an_error(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE governance_review DISABLE TRIGGER append_only_row")
    [message] = startup.check_record(None, databases=["default"])
    assert message.id == "portal.E007"
    assert "governance_review" in message.msg


def test_checks_that_ask_the_database_wait_until_they_are_told_which() -> None:
    assert startup.check_record(None) == []


@pytest.mark.django_db
def test_the_command_fails_on_an_error(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    with pytest.raises((CommandError, ImproperlyConfigured)):
        call_command("check", "--tag", "compatibility")
