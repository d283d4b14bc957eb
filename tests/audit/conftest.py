"""What the tests of the ledger share: Ada who acts, teams that change, and a superuser who keeps no rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from audit import seal
from audit.events import Event
from audit.log import record
from audit.models import Entry
from registry.models import Team, User


@pytest.fixture(autouse=True)
def keys() -> None:
    """Have a ledger key and a decision key, as every portal that was set up."""
    seal.ensure_keys()


@pytest.fixture
def ada(db: None) -> User:
    """Ada, who owns models; an account that comes into being without an entry, so that tests can count theirs."""
    return User.objects.system("ada")


@pytest.fixture
def make_team(ada: User) -> Callable[[str], Team]:
    """Make a team by Ada's hand, with an entry."""

    def make(slug: str) -> Team:
        team = Team(slug=slug, name=f"Team {slug}")
        with record(Event.TEAM_CHANGED, actor=ada, subject=team):
            team.save()
        return team

    return make


@pytest.fixture
def say(ada: User) -> Callable[..., Entry]:
    """Append entries that change nothing: the cheapest way to make a ledger longer."""

    def append(count: int = 1, **details: Any) -> Entry:
        for number in range(count):
            with record(Event.PERSON_CHANGED, actor=ada, subject=ada, number=number, **details):
                pass
        return Entry.objects.order_by("-id")[0]

    return append


@contextmanager
def unguarded() -> Iterator[Any]:
    """Act as the database's superuser, with every trigger and every check of the ledger out of the way."""
    tables = ["audit_entry", "audit_leaf", "audit_tile", "audit_checkpoint", "audit_pending", "audit_servingwindow"]
    tables += ["registry_historicalteam", "registry_team"]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_entry DROP CONSTRAINT entry_leaf_hash")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        restore_always(cursor, [table for table in tables if table != "registry_team"])
        cursor.execute(
            "ALTER TABLE audit_entry ADD CONSTRAINT entry_leaf_hash"
            " CHECK (leaf_hash = sha256('\\x00'::bytea || body)) NOT VALID"
        )


def restore_always(cursor: Any, tables: list[str]) -> None:
    """Switch the append-only triggers to ENABLE ALWAYS again, so that a tampering is all there is to be found."""
    for table in tables:
        for trigger in ("append_only_row", "append_only_truncate"):
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    cursor.execute("ALTER TABLE audit_leaf ENABLE ALWAYS TRIGGER contiguous")
