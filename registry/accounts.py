"""Accounts and grants held against the entries that state them: what raw SQL changed in tables that keep no history.

The verbs that change accounts live in `registry.people`, those that grant in `registry.sharing`. Other drift is found
by `audit.drift`, which asks here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from django.db import connection

from audit.drift import Difference, Drift, difference, when
from registry.models import AssetGroupGrant, AssetUserGrant, User

# Written by the portal itself with sorted keys and no spaces, so these bytes are in each entry that states an account.
STATED = """
SELECT DISTINCT ON (subject_id) subject_id, event_id::text, body FROM audit_entry
WHERE subject_kind = 'person' AND position('"state":{"active"'::bytea IN body) > 0
ORDER BY subject_id, id DESC
"""
SHARED = """
SELECT event_id::text, body FROM audit_entry
WHERE kind = 'asset.changed' AND position('shared":"'::bytea IN body) > 0 ORDER BY id
"""
BORN: Mapping[str, object] = {"kind": "system", "active": True, "administrator": False, "superuser": False}


class Statement(NamedTuple):
    """What the newest entry about something says, and that entry."""

    event_id: str
    says: Any


def drifted_accounts(limit: int) -> Iterator[Drift]:
    """Yield up to `limit` accounts that are not what the newest entry about them states."""
    yield from islice(compared_accounts(), limit)


def compared_accounts() -> Iterator[Drift]:
    """Compare every account with its newest statement."""
    stated = read_stated()
    for user in User.objects.order_by("pk").iterator(chunk_size=1_000):
        found = stated.pop(str(user.ledger_id), None)
        if found is None and not is_as_born(user):
            yield told(user.pk, "was added or changed without an entry: no entry states it")
        elif found is not None and found.says != user.state:
            different = tuple(differing(found.says, user.state))
            yield told(user.pk, "was changed without an entry: the newest one states something else", different, found)
    for ledger_id, found in sorted(stated.items()):
        yield told(ledger_id, "was deleted without an entry: one states it", (), found)


def read_stated() -> dict[str, Statement]:
    """Return what was last stated of each account, by its opaque id."""
    with connection.cursor() as cursor:
        cursor.execute(STATED)
        rows = cursor.fetchall()
    return {key: Statement(event, json.loads(bytes(body))["details"]["state"]) for key, event, body in rows}


def is_as_born(user: User) -> bool:
    """Return whether an account is one of the portal's own, as it came into being: without an entry, and harmless."""
    if any(user.state[name] != value for name, value in BORN.items()) or user.password.strip("!") != "":
        return False
    return user.username.startswith("system-") and user.email == ""


def differing(stated: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what is different, where names and passwords are only named."""
    for name, value in now.items():
        if stated.get(name) != value:
            # A changed password changes the salt of the other digest, too.
            if name == "names" and stated.get("password") != now["password"]:
                continue
            yield (
                Difference(name, "", "") if name in {"names", "password"} else difference(name, stated.get(name), value)
            )


def told(key: object, what: str, differences: tuple[Difference, ...] = (), last: Statement | None = None) -> Drift:
    """Return what is said about one account."""
    event = last.event_id if last else ""
    return Drift(User._meta.db_table, str(key), what, differences, *when(None, event), last_entry=event)


def drifted_grants(limit: int) -> Iterator[Drift]:
    """Yield up to `limit` grants on single assets that no entry gave, or that went away without one."""
    yield from islice(compared_grants(), limit)


def compared_grants() -> Iterator[Drift]:
    """Compare every grant with the newest entry about it. No verb grants anything to groups."""
    given = read_given()
    table = AssetUserGrant._meta.db_table
    rows = AssetUserGrant.objects.order_by("pk").select_related("permission", "user")
    for row in rows.iterator(chunk_size=1_000):
        found = given.pop((str(row.content_object_id), row.permission.codename, row.user.ledger_name), None)
        if found is None or not found.says:
            event = found.event_id if found else ""
            yield Drift(table, str(row.pk), "was added without an entry", (), *when(None, event), last_entry=event)
    for (asset, right, account), found in sorted(given.items()):
        if found.says:
            what = f"was deleted without an entry: one gives {account} the right {right}"
            yield Drift(table, f"on asset {asset}", what, (), *when(None, found.event_id), last_entry=found.event_id)
    for key in AssetGroupGrant.objects.order_by("pk").values_list("pk", flat=True):
        yield Drift(AssetGroupGrant._meta.db_table, str(key), "was added without an entry: groups are granted nothing")


def read_given() -> dict[tuple[str, str, str], Statement]:
    """Return by (asset, right, account) whether the newest entry gives or takes the grant."""
    found: dict[tuple[str, str, str], Statement] = {}
    with connection.cursor() as cursor:
        cursor.execute(SHARED)
        for event, body in cursor.fetchall():
            document = json.loads(bytes(body))
            details = document["details"]
            right = details.get("shared") or details.get("unshared")
            if isinstance(right, str):
                key = (document["subject"]["id"], right, str(details.get("account")))
                found[key] = Statement(event, "shared" in details)
    return found
