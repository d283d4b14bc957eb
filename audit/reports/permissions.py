"""Who could do what, as of an instant: one row for each thing that gave somebody a power then, on one asset or on all.

Read from history rows, entries and instants that stay. What each power lets people do is said in `MAY`; the table that
decides is `governance.permissions`, and a test holds this answer against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from audit.models import Entry
from audit.reports.access import SHARED, UNSHARED, content, granting
from audit.reports.base import Column, Filters, Report, Row
from governance.models import Delegation
from governance.permissions import READERS
from registry.models import AccessToken, Asset, Membership, Seat, Team, User

EVERYTHING = "every asset"
MAY = {
    "contribute": "register and edit versions, attach evidence, nominate, submit, ask for waivers, promote, retire",
    "review": "read, and review submissions in the role",
    "review granted assets": "read and review in the role, on the assets granted one by one",
    "read": "read and export everything, change nothing",
    "administer": "people, roles, teams, tokens, trusted keys and policies, the last with a second person",
    "use the API": "call the API as far as the scopes and its teams reach",
}


@dataclass(frozen=True)
class Power:
    """Something that gave somebody a power: what, where, by what, since when, perhaps until when, in which entry."""

    user: User
    may: str
    what: str
    where: str
    since: datetime
    until: datetime | None = None
    entry: str = ""

    @property
    def key(self) -> str:
        """Return what names this power among all."""
        return f"{self.user.ledger_name}/{self.may}/{self.what}/{self.where}"


class Permissions(Report):
    """Every power that somebody had at an instant, with what gave it."""

    slug = "permissions"
    title = "Permissions"
    question = "Who could do what, as of that instant?"
    note = "Whose account was closed by then has no row. A service needs a scope of its token as well as a team."
    filters = ("asset", "person", "role", "word")
    words = tuple(MAY)
    word_label = "Power"
    columns = (
        Column("Person", brief=True),
        Column("Account"),
        Column("Kind", brief=True),
        Column("Power", brief=True),
        Column("Which lets them", "note", brief=True),
        Column("By", brief=True),
        Column("On", brief=True),
        Column("Since", "time", brief=True),
        Column("Until", "time", brief=True),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> Sequence[Power]:
        """Return the powers of that instant, by name."""
        asset = asset_at(filters.asset.partition("@")[0], as_of) if filters.asset else None
        if filters.asset and asset is None:
            return ()
        found = [*of_teams(as_of, asset), *of_seats(as_of, asset), *of_deputies(as_of, asset), *of_tokens(as_of)]
        found += of_grants(as_of, asset)
        here = (power for power in found if was_here(power.user, as_of))
        wanted = (power for power in here if fits(power, filters))
        return sorted(wanted, key=lambda power: (power.user.name, power.user.pk, power.may, power.what, power.where))

    def tell(self, found: Sequence[Power], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each power."""
        for power in found:
            yield (
                str(power.user),
                power.user.ledger_name,
                power.user.kind,
                power.may,
                MAY[power.may],
                power.what,
                power.where,
                power.since,
                power.until,
                power.entry or None,
            )

    def key(self, thing: Any) -> str:
        """Return what names a power."""
        return str(thing.key)

    def say(self, row: Row) -> str:
        """Return "Ada Owner could contribute on fraud-scorer (on the team Risk models)"."""
        person, _, _, may, _, what, where, *_ = row
        return f"{person} could {may} on {where} ({what})"


def newest(model: Any, at: datetime, **what: Any) -> Iterator[Any]:
    """Return the governed rows of a model that were there at an instant, each as its newest history row has it."""
    rows = model.history.filter(history_date__lte=at, **what).order_by("id", "-history_date", "-history_id")
    return (row for row in rows.distinct("id") if row.history_type != "-")


def asset_at(slug: str, at: datetime) -> Any:
    """Return an asset as it was, or None when it was not registered."""
    return next(newest(Asset, at, slug=slug), None)


def was_here(user: User, at: datetime) -> bool:
    """Return whether an account was open at an instant."""
    return user.date_joined <= at and (user.left_at is None or at < user.left_at)


def fits(power: Power, filters: Filters) -> bool:
    """Return whether a power is among those that are asked about."""
    named = filters.person.casefold()
    known = (power.user.name.casefold(), power.user.username.casefold())
    is_person = not named or filters.person == power.user.ledger_name or any(named in each for each in known)
    is_role = not filters.role or f"the role {filters.role}" in power.what
    return is_person and is_role and filters.word in {"", power.may}


def people(identifiers: Iterable[int]) -> dict[int, User]:
    """Return accounts by their ids, in one query."""
    return User.objects.in_bulk(list(set(identifiers)))


def of_teams(at: datetime, asset: Any) -> Iterator[Power]:
    """Return what people and services could do because they were on a team."""
    rows = [row for row in newest(Membership, at) if asset is None or row.team_id == asset.team_id]
    accounts, teams = people(row.user_id for row in rows), Team.objects.in_bulk({row.team_id for row in rows})
    for row in rows:
        team = teams[row.team_id].name
        where = asset.slug if asset else f"assets of {team}"
        yield Power(
            accounts[row.user_id],
            "contribute",
            f"on the team {team}",
            where,
            row.history_date,
            entry=str(row.recorded_in),
        )


def of_seats(at: datetime, asset: Any) -> Iterator[Power]:
    """Return what people could do because they sat in a role; a limited seat reaches what was granted."""
    rows = list(newest(Seat, at))
    accounts = people(row.user_id for row in rows)
    for row in rows:
        may = may_of(row.role) if row.everywhere or row.role in READERS else "review granted assets"
        if asset is not None and may == "review granted assets":
            continue
        where = asset.slug if asset else EVERYTHING if may != "review granted assets" else "assets granted to them"
        what = f"sat in the role {row.role}"
        yield Power(accounts[row.user_id], may, what, where, row.history_date, entry=str(row.recorded_in))


def may_of(role: str) -> str:
    """Return what a seat in a role that reaches everything lets people do."""
    return {"auditor": "read", "administrator": "administer"}.get(role, "review")


def of_deputies(at: datetime, asset: Any) -> Iterator[Power]:
    """Return in whose place people could review: the giver was here and sat in the role, the deputy read for nobody."""
    seats = {(row.user_id, row.role): row for row in newest(Seat, at)}
    reading = {user for user, role in seats if role in READERS}
    rows = Delegation.objects.filter(Q(ended_at=None) | Q(ended_at__gt=at), made_at__lte=at)
    granted = {(account, right) for (slug, account, right), _ in grants(at).items() if asset and slug == asset.slug}
    for row in rows.filter(starts_at__lte=at, ends_at__gt=at).select_related("giver", "deputy"):
        seat = seats.get((row.giver_id, row.role))
        if seat is None or row.role in READERS or row.deputy_id in reading or not was_here(row.giver, at):
            continue
        if asset is not None and not seat.everywhere and (row.giver.ledger_name, "review_asset") not in granted:
            continue
        may = "review" if seat.everywhere or asset is not None else "review granted assets"
        where = asset.slug if asset else EVERYTHING if seat.everywhere else f"assets granted to {row.giver}"
        what = f"stood in for {row.giver} in the role {row.role}"
        yield Power(row.deputy, may, what, where, row.starts_at, row.ends_at)


def of_tokens(at: datetime) -> Iterator[Power]:
    """Return what services could do with their tokens."""
    rows = AccessToken.objects.filter(Q(revoked_at=None) | Q(revoked_at__gt=at), issued_at__lte=at, expires_at__gt=at)
    for row in rows.select_related("user"):
        what = f"token {row.prefix}… ({', '.join(row.scopes) or 'no scope'})"
        where = "what its teams own" + (", and the whole ledger" if "audit" in row.scopes else "")
        yield Power(row.user, "use the API", what, where, row.issued_at, row.expires_at)


def grants(at: datetime) -> dict[tuple[str, str, str], Entry]:
    """Return the grants on single assets in force at an instant, by (asset, account, right), each with its entry."""
    rows = Entry.objects.annotate(text=content()).filter(granting(), occurred_at__lte=at).order_by("pk")
    found: dict[tuple[str, str, str], Entry] = {}
    for entry in rows:
        details: Mapping[str, Any] = json.loads(bytes(entry.body))["details"]
        key = (entry.subject_label, details["account"], str(details.get(SHARED) or details.get(UNSHARED)))
        if details.get(SHARED):
            found[key] = entry
        else:
            found.pop(key, None)
    return found


def of_grants(at: datetime, asset: Any) -> Iterator[Power]:
    """Return what people could do because it was granted to them on one asset."""
    known = {key: entry for key, entry in grants(at).items() if asset is None or key[0] == asset.slug}
    accounts = {user.ledger_name: user for user in User.objects.filter(ledger_id__in=[key[1][-36:] for key in known])}
    seats = [row for row in newest(Seat, at) if not row.everywhere and row.role not in READERS]
    for (slug, account, right), entry in known.items():
        user, told = accounts[account], (entry.occurred_at, None, str(entry.event_id))
        if right == "contribute_asset":
            yield Power(user, "contribute", "granted a place beside the team", slug, *told)
        for seat in seats:
            if right == "review_asset" and seat.user_id == user.pk:
                yield Power(user, "review", f"sat in the role {seat.role}, granted this asset", slug, *told)
