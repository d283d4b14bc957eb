"""Names of people for the opaque names under which the ledger knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import Q

from audit.reports.base import Column, Row
from registry.models import User

MOST_MATCHES = 50


def names_of(ledger_names: Iterable[str]) -> dict[str, str]:
    """Return the name to show for each ledger name, in one query; an unknown one is shown as it is."""
    wanted = set(ledger_names)
    known = User.objects.filter(ledger_id__in=filter(None, map(_identifier, wanted)))
    shown = {user.ledger_name: str(user) for user in known} if wanted else {}
    return {name: shown.get(name, name) for name in wanted}


def accounts_in(columns: Sequence[Column], rows: Iterable[Row]) -> dict[str, str]:
    """Return the name to show for every ledger name in the cells of kind `account` that are shown, in one query."""
    places = [index for index, column in enumerate(columns) if column.kind == "account" and column.brief]
    return names_of(str(row[index]) for row in rows for index in places) if places else {}


def ledger_names_like(text: str) -> list[str]:
    """Return the ledger names of accounts that go by a name, user name or ledger name; at most 50."""
    if _identifier(text):
        return [text]
    found = User.objects.filter(Q(username__icontains=text) | Q(name__icontains=text))[:MOST_MATCHES]
    return [user.ledger_name for user in found]


def named(text: str, path: str) -> Q:
    """Return what is true of rows whose account, at a path, goes by a name, user name or ledger name."""
    identifier = _identifier(text)
    if identifier:
        return Q(**{f"{path}__ledger_id": identifier})
    return Q(**{f"{path}__username__icontains": text}) | Q(**{f"{path}__name__icontains": text})


def _identifier(ledger_name: str) -> UUID | None:
    """Return the account's identifier in `person:<uuid>`, or None."""
    _, colon, rest = ledger_name.partition(":")
    try:
        return UUID(rest) if colon else None
    except ValueError:
        return None
