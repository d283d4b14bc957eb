"""Four roles at work: verbs signed in as the application, the running sealer as itself, and a check as the verifier."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from pytest_django import Settings

from audit import roles, seal, sealer
from audit.models import Checkpoint, Pending
from audit.verifier import verify
from governance import decisions, promotions, sweeps
from portal.celery import app
from portal.demo.roots import publish_next
from portal.demo.walk import Walk
from portal.embedded.children import Child, spawn, stop, wait_until
from portal.jobs import Job
from tests.audit.copies.conftest import eventually
from tests.audit.roles.conftest import names
from tests.factories import artifacts

ROOT = Path(__file__).resolve().parents[3]


class WorkerWithoutSeals(Walk):
    """A walk whose worker leaves the queue of the seals alone, as with SEALER_DATABASE_URL."""

    def work(self) -> None:
        """Do what is due and is no sealing."""
        while sweeps.answer_checks_due() + decisions.sign_due():
            pass


@contextmanager
def signed_in_as(role: str) -> Iterator[None]:
    """Be signed in to the database as a role, by a connection of its own."""
    before = connection.settings_dict["USER"]
    connection.close()
    connection.settings_dict["USER"] = role
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["USER"] = before


@pytest.fixture
def made(walk: Walk, settings: Settings, tmp_path: Path) -> Iterator[roles.Roles]:
    """Make the roles for one test; the ledger's private key is on the sealer's host alone."""
    settings.KEYS_DIR = tmp_path / "keys"
    seal.ensure_keys()
    publish_next(tmp_path / "roots")
    sealer.seal_due()
    (tmp_path / "sealer-keys").mkdir()
    (tmp_path / "keys" / seal.LEDGER_KEY).rename(tmp_path / "sealer-keys" / seal.LEDGER_KEY)
    found, owner = names(), connection.settings_dict["USER"]
    call_command("create_roles", prefix=found.owner.removesuffix("_owner"), stdout=StringIO())
    yield found
    with connection.cursor() as cursor:
        cursor.execute(f'REASSIGN OWNED BY "{found.owner}" TO "{owner}"')
        for role in found:
            cursor.execute(f'DROP OWNED BY "{role}"')
            cursor.execute(f'DROP ROLE "{role}"')


def address(role: str) -> str:
    """Return the test's database as a role finds it."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}@{host}", path=f"/{quote(connection.settings_dict['NAME'])}").geturl()


@pytest.fixture
def running(made: roles.Roles, tmp_path: Path) -> Iterator[Child]:
    """Run `manage.py start sealer` as on a host of its own."""
    # What earlier tests rang for is gone from the database.
    app.control.purge()
    environ = {
        **os.environ,
        "DATABASE_URL": address(made.application),
        "SEALER_DATABASE_URL": address(made.sealer),
        "KEYS_DIR": str(tmp_path / "sealer-keys"),
    }
    command = [sys.executable, str(ROOT / "manage.py"), "start", "sealer"]
    child = spawn(
        "The sealer", command, env=environ, log=tmp_path / "sealer.log", cwd=ROOT, death_signal=signal.SIGKILL
    )
    try:
        wait_until(lambda: bool(app.control.ping(timeout=0.3)), child, seconds=60)
        yield child
    finally:
        stop([child])


@pytest.mark.django_db(transaction=True)
def test_a_version_goes_the_whole_way_while_each_process_has_its_own_role(
    walk: Walk, made: roles.Roles, running: Child
) -> None:
    before, walk = Checkpoint.objects.count(), WorkerWithoutSeals(**vars(walk))
    with signed_in_as(made.application):
        version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
        decision = walk.approved(version, "production")
        assert eventually(lambda: decisions.is_sealed(decision), seconds=20), running.last_lines()
        assert decisions.envelope(decision)["signatures"]
        walk.promote(version)
        with pytest.raises(DatabaseError, match="permission denied"):
            sealer.seal_due()
        app.send_task(Job.SEAL.value)
        assert eventually(lambda: not Pending.objects.exists(), seconds=20), running.last_lines()
        assert promotions.current(version.asset, "production").version == version
    with signed_in_as(made.verifier):
        report = verify()
        assert (report.faults, report.waiting) == ([], 0)
        assert report.checkpoints > before
