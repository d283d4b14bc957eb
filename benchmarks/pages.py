"""Pages over many versions: how many queries each costs, and how long it takes, as the portal fills up.

What fills it is copied row by row in the database from one version that was walked to its approval by the verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, models
from django.test import Client
from django.utils import timezone

from benchmarks.measure import say, seconds
from governance import promotions
from governance.models import Decision, Promotion, Submission
from portal.demo import artifacts
from portal.demo.walk import Walk
from registry.models import Asset, User, Version

# Of a hundred versions of an asset so many are approved; of the others most are retired, as they are in life.
PER_ASSET, APPROVED = 100, 5
STATES = f"""CASE WHEN n %% {PER_ASSET} < {APPROVED} THEN 'approved' WHEN n %% {PER_ASSET} < 10 THEN 'draft'
WHEN n %% {PER_ASSET} < 20 THEN 'candidate' ELSE 'retired' END"""
FEW = 1_000


def measure_pages(walk: Walk, count: int) -> float:
    """Time each page over a thousand versions and over `count`; returns the largest growth."""
    original = walk.candidate("bench-pages", "1.0.0", artifacts.scorer(1))
    walk.approved(original)
    promotions.promote(original, "production", actor=walk.cast.ada)
    taken: dict[str, list[float]] = {}
    for first, last in ((0, FEW), (FEW, count)):
        fill(original, first, last)
        for name, page in pages(walk.cast, original):
            client, address = visitor(page[0]), page[1]
            client.get(address)
            asked: list[str] = []
            with connection.execute_wrapper(counting(asked)):
                answer = client.get(address)
            if answer.status_code != 200:
                raise RuntimeError(f"{address} answered {answer.status_code} {answer.headers.get('Location', '')}")
            time = seconds(lambda client=client, address=address: client.get(address), runs=3)  # type: ignore[misc]
            taken.setdefault(name, []).append(time)
            say(f"page {name}, {last:,} versions", f"{time * 1_000:.0f} ms", f"{len(asked)} queries")
    growth = {name: late / early for name, (early, late) in taken.items()}
    worst = max(growth, key=lambda name: growth[name])
    say(f"pages, growth from {FEW:,} to {count:,}", f"{growth[worst]:.1f}x", f"the most, of {worst}; aim 1.2x")
    return growth[worst]


def pages(cast: Any, version: Version) -> Iterator[tuple[str, tuple[User, str]]]:
    """Yield each page by name: who visits it, and its address."""
    yield "home of an owner", (cast.ada, "/")
    yield "home of a reviewer", (cast.rhea, "/")
    yield "home of an auditor", (cast.iris, "/")
    yield "catalogue", (cast.ada, "/catalogue/")
    yield "queue", (cast.rhea, "/queue/")
    yield "forecast", (cast.ada, "/forecast/")
    yield "waivers", (cast.iris, "/waivers/")
    yield "findings", (cast.rhea, "/findings/")
    yield "asset", (cast.ada, version.asset.get_absolute_url())
    yield "version", (cast.ada, version.get_absolute_url())
    yield "audit", (cast.iris, "/audit/")


def counting(asked: list[str]) -> Callable[..., Any]:
    """Return a wrapper that notes every statement; the log of the connection is emptied when it is opened anew."""

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append(sql)
        return execute(sql, params, many, context)

    return note


def visitor(person: User) -> Client:
    """Return a browser in which somebody is signed in."""
    client = Client()
    client.force_login(person, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return client


def fill(original: Version, first: int, last: int) -> None:
    """Copy an approved version until there are so many; every tenth asset has the same owner and team."""
    others = Asset.objects.exclude(team=original.asset.team)[:1]
    team = others[0].team_id if others else original.asset.team_id
    span = {"first": first, "last": last - 1}
    with connection.cursor() as cursor:
        numbers = "generate_series(%(first)s::int, %(last)s::int) n"
        assets = f"generate_series(%(first)s::int / {PER_ASSET}, %(last)s::int / {PER_ASSET}) n"
        cursor.execute(
            copy(
                Asset,
                {
                    "slug": "'bench-' || n",
                    "team_id": f"CASE WHEN n %% 10 = 0 THEN t.team_id ELSE {team} END",
                    "owner_id": "CASE WHEN n %% 10 = 0 THEN t.owner_id END",
                },
                assets,
            ),
            span | {"pk": original.asset_id},
        )
        cursor.execute(
            copy(
                Version,
                {
                    "asset_id": "a.id",
                    "number": f"'1.' || n %% {PER_ASSET} || '.0'",
                    "state": STATES,
                    "identity_digest": "encode(sha256(n::text::bytea), 'hex')",
                    "registered_at": "t.registered_at - make_interval(mins => n)",
                },
                f"{numbers} JOIN registry_asset a ON a.slug = 'bench-' || n / {PER_ASSET}",
            ),
            span | {"pk": original.pk},
        )
        for model, changed, joined in records():
            row = model.objects.filter(version=original)[:1].get()
            cursor.execute(copy(model, changed, joined), {"pk": row.pk, "old": original.pk})
        cursor.execute("VACUUM (ANALYZE)")


def records() -> Iterator[tuple[type[models.Model], Mapping[str, str], str]]:
    """Yield what each approved version has: a submission, the decision on it, and for one in five a promotion."""
    new = "registry_version v WHERE v.state = 'approved' AND v.number ~ '^1[.]' AND v.id <> %(old)s AND t.id = %(pk)s"
    later = timezone.now() + timedelta(days=60)
    once = "NOT EXISTS (SELECT 1 FROM {} x WHERE x.version_id = v.id)"
    yield (
        Submission,
        {"public_id": "gen_random_uuid()", "version_id": "v.id"},
        f"{new} AND {once.format('governance_submission')}",
    )
    yield (
        Decision,
        {
            "public_id": "gen_random_uuid()",
            "version_id": "v.id",
            "identity_digest": "v.identity_digest",
            "submission_id": "(SELECT s.id FROM governance_submission s WHERE s.version_id = v.id)",
            "expires_at": f"timestamptz '{later:%Y-%m-%d}' + make_interval(mins => v.id::int %% 60000)",
        },
        f"{new} AND {once.format('governance_decision')}",
    )
    yield (
        Promotion,
        {
            "version_id": "v.id",
            "asset_id": "v.asset_id",
            "decision_id": "(SELECT d.id FROM governance_decision d WHERE d.version_id = v.id)",
            "previous_id": "NULL",
        },
        f"{new} AND v.number = '1.0.0' AND {once.format('governance_promotion')}",
    )


def copy(model: type[models.Model], changed: Mapping[str, str], joined: str) -> str:
    """Return the statement that copies a row for each row joined, with some columns as other expressions."""
    quote = connection.ops.quote_name
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    names = ", ".join(quote(str(field.column)) for field in fields)
    values = ", ".join(changed.get(str(field.column), f"t.{quote(str(field.column))}") for field in fields)
    where = "" if "WHERE" in joined else " WHERE t.id = %(pk)s"
    table = quote(model._meta.db_table)
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} t CROSS JOIN {joined}{where}"
