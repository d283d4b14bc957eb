"""Stretches of serving: windows of one digest that follow each other, joined by the database, and the gaps between.

A stretch never crosses an instant at which the standing of its digest may have changed, so that its requests can be
judged as a whole, and never an instant at which another digest begins or ends to serve beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, overload

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from audit.reports.base import CHUNK, Filters
from audit.reports.windows import digests_of, reported
from governance.over_time import changes

LINE = "environment, deployment, customer"
WHAT = "consumer, digest, config_digest, completeness"
SAME = "customer, start, deployment, digest, config_digest, consumer, source"
FIELDS = (*SAME.split(", "), "environment", "completeness", "sequence", "end", "requests", "errors")
KEY = f"{LINE}, {WHAT}, beside, edge, edge_at_end"

# Of a window that was corrected the last report counts. `reached` is until when anything had served the line before a
# window began, `beside` the digests of its slot when they were several. Windows of one slot that become one stretch,
# because two sources reported them, share the slot's requests between them.
JOINED = f"""
WITH picked AS ({{picked}}),
edges AS (
  SELECT digest, array_agg(at ORDER BY at) AS instants FROM unnest(%s::text[], %s::timestamptz[]) AS found (digest, at)
  GROUP BY digest
),
counted AS (SELECT DISTINCT ON ({SAME}) * FROM picked ORDER BY {SAME}, sequence DESC),
slotted AS (
  SELECT counted.*, sum(requests) OVER slot / count(*) OVER mine AS slot_requests,
    CASE WHEN min(digest) OVER slot <> max(digest) OVER slot THEN string_agg(digest, ',') OVER slot END AS beside,
    max("end") OVER (PARTITION BY {LINE} ORDER BY start
      RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING) AS reached,
    width_bucket(start, coalesce(instants, '{{{{}}}}')) AS edge,
    width_bucket("end" - interval '1 microsecond', coalesce(instants, '{{{{}}}}')) AS edge_at_end
  FROM counted LEFT JOIN edges USING (digest)
  WINDOW slot AS (PARTITION BY {LINE}, start ORDER BY digest
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
    mine AS (PARTITION BY {LINE}, start, {WHAT})
),
marked AS (
  SELECT *, CASE WHEN start <= max("end") OVER (PARTITION BY {KEY} ORDER BY start
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 0 ELSE 1 END AS fresh
  FROM slotted WHERE %s::text[] IS NULL OR digest = ANY(%s::text[])
),
numbered AS (
  SELECT *, sum(fresh) OVER (PARTITION BY {KEY} ORDER BY start ROWS UNBOUNDED PRECEDING) AS stretch FROM marked
),
joined AS (
  SELECT {LINE}, {WHAT}, min(start) AS start, max("end") AS "end", sum(requests)::bigint AS requests,
    sum(errors)::bigint AS errors, count(*) AS windows, sum(slot_requests) AS slot_requests, beside, false AS is_gap
  FROM numbered GROUP BY {KEY}, stretch
),
gaps AS (
  SELECT DISTINCT {LINE}, '' AS consumer, '' AS digest, '' AS config_digest, '' AS completeness, reached AS start,
    start AS "end", NULL::bigint AS requests, NULL::bigint AS errors, 0::bigint AS windows, 0::numeric AS slot_requests,
    NULL::text AS beside, true AS is_gap
  FROM marked WHERE reached < start
)
SELECT * FROM joined UNION ALL SELECT * FROM gaps
"""  # noqa: S608 -- put together from the constants above; what people ask with are parameters
COUNTED = "SELECT count(*) FROM ({}) found"
ORDER = f' ORDER BY {LINE}, start, {WHAT}, "end"'


@dataclass(frozen=True)
class Stretch:
    """A digest served a customer over [start, end) without a break; or, as a gap, nothing was reported over it.

    `slot_requests` counts the requests of all digests in these windows, `beside` names them when they were several.
    """

    environment: str
    deployment: str
    customer: str
    consumer: str
    digest: str
    config_digest: str
    completeness: str
    start: datetime
    end: datetime
    requests: int | None
    errors: int | None
    windows: int
    slot_requests: Decimal
    beside: str | None
    is_gap: bool

    @property
    def key(self) -> str:
        """Return what names this stretch among all of its question."""
        named = (self.environment, self.deployment, self.customer, self.consumer, self.digest, self.config_digest)
        return "/".join((*named, self.completeness, self.start.isoformat()))

    @property
    def others(self) -> frozenset[str]:
        """Return the other digests that served the same windows."""
        return frozenset(self.beside.split(",")) - {self.digest} if self.beside else frozenset()


class Stretches(Sequence[Stretch]):
    """All stretches of a question, by environment, deployment, customer and start; read when asked for, in parts."""

    def __init__(self, filters: Filters, as_of: datetime) -> None:
        rows = reported(filters, as_of)
        mine = digests_of(filters.asset, as_of) if filters.asset else None
        only = sorted(mine.values_list("identity_digest", flat=True)) if mine is not None else None
        if only is not None:
            # Whole lines, because what served beside these digests belongs to the answer.
            same = {name: OuterRef(name) for name in ("environment", "deployment", "customer")}
            rows = rows.filter(Exists(reported(filters, as_of).filter(digest__in=only, **same)))
        edges = changes(set(rows.values_list("digest", flat=True).distinct()))
        sql, parameters = rows.values(*FIELDS).query.sql_with_params()
        self._sql = JOINED.format(picked=sql)
        digests = [digest for digest, instants in edges.items() for _ in instants]
        instants = [instant for instants in edges.values() for instant in instants]
        self._parameters = (*parameters, digests, instants, only, only)

    def __len__(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(COUNTED.format(self._sql), self._parameters)
            [[found]] = cursor.fetchall()
        return int(found)

    @overload
    def __getitem__(self, place: int) -> Stretch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Stretch]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, int):
            return self[place : place + 1][0]
        start = place.start or 0
        limit = None if place.stop is None else max(0, place.stop - start)
        with connection.cursor() as cursor:
            cursor.execute(f"{self._sql}{ORDER} LIMIT %s OFFSET %s", (*self._parameters, limit, start))
            return [Stretch(*row) for row in cursor.fetchall()]

    def __iter__(self) -> Iterator[Stretch]:
        # A cursor on the server lives as long as its transaction, and keeps memory constant here.
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.execute(self._sql + ORDER, self._parameters)
            while rows := cursor.fetchmany(CHUNK):
                yield from (Stretch(*row) for row in rows)


def told_meanwhile(gaps: Sequence[Stretch], as_of: datetime) -> list[bool]:
    """Return, for each gap, whether its deployment reported anything about others meanwhile; one query for all."""
    if not gaps:
        return []
    told = """
    SELECT EXISTS(SELECT FROM audit_servingwindow found JOIN audit_servingbatch batch ON batch.id = found.batch_id
      WHERE found.environment = gap.environment AND found.deployment = gap.deployment
      AND found.start >= gap.since AND found.start < gap.until AND batch.received_at <= %s)
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
      WITH ORDINALITY AS gap (environment, deployment, since, until, place) ORDER BY place"""
    columns = [[getattr(gap, name) for gap in gaps] for name in ("environment", "deployment", "start", "end")]
    with connection.cursor() as cursor:
        cursor.execute(told, [as_of, *columns])
        return [bool(row[0]) for row in cursor.fetchall()]
