"""One round trip to the database fails: the n-th that a verb makes, whichever it is.

All statements, COPY included, pass through one method of the driver's connection, and that is where they fail, before
the server hears of them. What undoes them passes through it as well, later, and works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.db import DatabaseError, connection, transaction

# One line for each table: its name, and a hash over all its rows.
HASH = "SELECT '{0}', md5(coalesce(string_agg(t::text, '\n' ORDER BY t::text), '')) FROM {0} t"
FAILURES = (DatabaseError, psycopg.Error)


class Trips:
    """How many round trips were made, and which of them is to fail (the first is 0)."""

    def __init__(self, fails: int | None) -> None:
        self.made, self.fails = 0, fails


@contextmanager
def failing(at: int | None) -> Iterator[Trips]:
    """Count the round trips inside the block, and let one of them fail."""
    driver, trips = connection.connection, Trips(at)
    wait: Callable[..., Any] = driver.wait

    def count(steps: Any, *args: Any, **kwargs: Any) -> Any:
        trips.made += 1
        if trips.made - 1 == trips.fails:
            steps.close()
            if driver.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                # The server is in the middle of a COPY and would take what comes next for data.
                with suppress(psycopg.Error):
                    wait(psycopg.generators.copy_end(driver.pgconn, b"the connection was lost"))
            raise psycopg.OperationalError("the connection was lost")
        return wait(steps, *args, **kwargs)

    driver.wait = count
    try:
        yield trips
    finally:
        del driver.wait


def fingerprint() -> dict[str, str]:
    """Return a hash over all rows of each table, by its name."""
    tables = [name for name in connection.introspection.table_names() if not name.startswith("django_")]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(HASH.format(name) for name in tables))
        return dict(cursor.fetchall())


def counts() -> dict[str, int]:
    """Return how many rows each table has, by its name."""
    tables = [name for name in connection.introspection.table_names() if not name.startswith("django_")]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in tables))
        return dict(cursor.fetchall())


@contextmanager
def undone() -> Iterator[None]:
    """Undo what the block does."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
