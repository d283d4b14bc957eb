"""Sealers are killed at random points while others write: nothing is lost or sealed twice, and every root is right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from audit.models import Checkpoint, Entry, Leaf, Pending
from audit.sealer import seal_due
from audit.verifier import verify

ROOT = Path(__file__).resolve().parents[2]
KILLS, LONG_KILLS = 12, 200
AT_ONCE, WRITERS = 2, 3
# One process pays for Django; each line that it reads makes a sealer out of a copy of it, which costs milliseconds.
NURSERY = """
import os, signal, sys
import django
django.setup()
from audit.sealer import seal_due
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        while True:
            seal_due(5)
    print(child, flush=True)
"""


class Nursery:
    """Starts sealers as processes of their own, and kills them."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.asked, self.answers = process.stdin, process.stdout
        self.alive: list[int] = []
        self._line()

    def _line(self) -> str:
        line = self.answers.readline().decode().strip()
        assert line, "the nursery died"
        return line

    def start(self) -> None:
        """Start one sealer."""
        self.asked.write(b"\n")
        self.asked.flush()
        self.alive.append(int(self._line()))

    def kill(self, at: int) -> None:
        """Kill one sealer."""
        os.kill(self.alive.pop(at), signal.SIGKILL)


@pytest.fixture
def nursery(transactional_db: None, tmp_path: Path) -> Iterator[Nursery]:
    """Run a nursery on the test's database. What sealers say, nobody reads unless it is a complaint."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{quote(connection.settings_dict['NAME'])}")
    environ = {**os.environ, "DATABASE_URL": database.geturl(), "KEYS_DIR": str(settings.KEYS_DIR)}
    complaints = tmp_path / "complaints"
    with complaints.open("wb") as log:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", NURSERY]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=pipe, stdout=pipe, stderr=log)
        found = Nursery(process)
        yield found
        while found.alive:
            found.kill(0)
        process.communicate()
    assert complaints.read_text() == ""


@contextmanager
def writers(say: Callable[..., Entry], failures: list[BaseException]) -> Iterator[None]:
    """Have some threads write entries: at once, after a pause inside the transaction, or not at all in the end."""
    stop = threading.Event()

    def write(seed: int) -> None:
        dice = random.Random(seed)
        try:
            while not stop.is_set():
                with transaction.atomic():
                    say()
                    time.sleep(dice.choice([0, 0, 0.01]))
                    if dice.random() < 0.1:
                        transaction.set_rollback(True)
        except BaseException as error:  # noqa: BLE001 - whatever it is fails the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_sealers_killed_at_random_points_lose_and_double_nothing(
    say: Callable[..., Entry], nursery: Nursery, request: pytest.FixtureRequest
) -> None:
    kills = LONG_KILLS if request.config.getoption("long") else KILLS
    dice, failures = random.Random(kills), list[BaseException]()
    with writers(say, failures):
        for _ in range(kills):
            while len(nursery.alive) < AT_ONCE:
                nursery.start()
            time.sleep(dice.uniform(0.02, 0.4))
            nursery.kill(dice.randrange(AT_ONCE))
    while nursery.alive:
        nursery.kill(0)
    assert failures == []
    assert Checkpoint.objects.count() > kills // 4, "the sealers have hardly sealed anything"
    while seal_due():
        pass
    expect_each_entry_once()


def expect_each_entry_once() -> None:
    """Say that every entry has one place, that the places are contiguous, and that every root is right."""
    count = Entry.objects.count()
    assert not Pending.objects.exists()
    assert list(Leaf.objects.order_by("leaf_index").values_list("leaf_index", flat=True)) == list(range(count))
    assert set(Leaf.objects.values_list("entry_id", flat=True)) == set(Entry.objects.values_list("pk", flat=True))
    report = verify()
    assert report.faults == []
    assert (report.leaves, report.entries, report.waiting) == (count, count, 0)
    assert report.checkpoints == Checkpoint.objects.count()
