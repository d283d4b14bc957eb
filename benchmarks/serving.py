"""The serving ledger: taking batches in against bare COPY, and look-ups at two sizes."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import perf_counter
from uuid import uuid4

from django.db import connection
from django.utils import timezone

from audit import merkle, partitions, serving
from audit.models import ServingBatch
from audit.models.serving import GRID
from audit.serving.intake import COLUMNS, LINE, TABLE
from audit.serving.windows import Columns, Window, read
from audit.web import batches
from benchmarks.measure import once, say
from portal.demo.walk import Walk

BATCH = 50_000
CUSTOMERS = 5_000
DIGESTS = [f"{number:064x}" for number in range(20)]
LOOK_UPS = 2_000
BARE = "bench_bare"


def start_of_bench() -> datetime:
    """Return the midnight three hundred days ago, where no test and no demo reports."""
    return datetime.combine(timezone.now().date(), datetime.min.time(), tzinfo=UTC) - timedelta(days=300)


def lines(first: int) -> Iterator[dict[str, object]]:
    """Yield the windows of one batch: ten times five minutes, 5,000 customers each, from the `first` batch on."""
    start = start_of_bench() + GRID * (first * BATCH // CUSTOMERS)
    for number in range(BATCH):
        slot, customer = divmod(number, CUSTOMERS)
        yield {
            "deployment": f"eu-{customer % 3}",
            "customer": f"customer-{customer:06}",
            "digest": f"sha256:{DIGESTS[customer % len(DIGESTS)]}",
            "environment": "production",
            "start": (start + GRID * slot).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "requests": (number * 7919) % 1000,
        }


def body(first: int) -> bytes:
    """Return one batch as a deployer sends it."""
    return "".join(json.dumps(line) + "\n" for line in lines(first)).encode()


def measure_ingest(walk: Walk) -> float:
    """Compare a batch from its bytes to its commit with COPY of the same rows alone; returns the share of the speed."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {BARE} (LIKE {TABLE} INCLUDING ALL) PARTITION BY RANGE (start)")
        cursor.execute(f"CREATE TABLE {BARE}_all PARTITION OF {BARE} FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")
    sent = [body(number) for number in range(6)]
    ours, bare = [], []
    for number, content in enumerate(sent):
        ours.append(once(lambda content=content, number=number: report(walk, content, number)))  # type: ignore[misc]
        bare.append(copy(read(batches.read_json_lines(content), "otto")))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {BARE}")
    # The first of each warms up.
    share = statistics.median(bare[1:]) / statistics.median(ours[1:])
    rate = BATCH / statistics.median(ours[1:])
    say("serving ingest / bare COPY", f"{share:.0%}", f"{rate:,.0f} windows/s, limit 50%")
    again = once(lambda: report(walk, sent[0], 1_000_000))
    say("serving replay of a batch under another name", f"{BATCH / again:,.0f}/s", "every row compared, none written")
    return share


def report(walk: Walk, content: bytes, number: int) -> ServingBatch:
    """Take one batch in, as the door does."""
    told = {"actor": walk.cast.otto, "source": "otto", "batch_id": f"bench-{number}"}
    return serving.report(**told, windows=batches.read_json_lines(content))


def copy(windows: Columns) -> float:
    """Return how long COPY of finished rows takes into a table of the same shape: its indexes and constraints too."""
    count = len(windows)
    columns = (getattr(windows, name) for name in Window._fields)
    hashes = [merkle.leaf_hash(b"") for _ in range(count)]
    rows = zip(*columns, [str(uuid4())] * count, range(count), map(bytes.hex, hashes), strict=True)
    text = "".join(map(LINE.__mod__, rows))
    start = perf_counter()
    with connection.cursor() as cursor, cursor.copy(f"COPY {BARE} ({COLUMNS}) FROM STDIN") as out:
        out.write(text)
    return perf_counter() - start


FILL = """
INSERT INTO {table} ({columns})
SELECT s, s + interval '5 minutes', mod(c, 1000), 0, 0, 'customer-' || lpad(c::text, 6, '0'), 'eu-' || mod(c, 3),
    (%(digests)s::text[])[mod(c, 20) + 1], '', 'production', '', 'otto', 'complete', %(batch)s, c, sha256('x')
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '5 minutes', interval '5 minutes') s,
    generate_series(0, %(customers)s - 1) c
"""


def fill(days: range, customers: int) -> None:
    """Write whole days of windows, 288 for each customer, as the database can by itself, under a known batch."""
    batch = ServingBatch.objects.values_list("pk", flat=True)[0]
    wanted = [first_day() + timedelta(days=number) for number in days]
    partitions.add_days(TABLE, [day.date() for day in wanted])
    with connection.cursor() as cursor:
        for day in wanted:
            told = {"since": day, "until": day + timedelta(days=1), "customers": customers}
            told |= {"digests": DIGESTS, "batch": batch}
            cursor.execute(FILL.format(table=TABLE, columns=COLUMNS), told)
        cursor.execute(f"VACUUM (ANALYZE) {TABLE}")


def first_day() -> datetime:
    """Return the midnight from which on look-ups are measured, some days after what was taken in."""
    return start_of_bench() + timedelta(days=20)


def look_up(days: int, customers: int) -> tuple[float, float, float]:
    """Return the median and the 99th percentile, in ms, of asking who served a customer at an instant.

    The third is the 99th percentile of a bare round trip in between: what the machine adds while others use it.
    """
    chance, taken, bare = random.Random(7), [], []
    for _ in range(LOOK_UPS):
        at = first_day() + timedelta(seconds=chance.randrange(days * 86_400))
        customer = f"customer-{chance.randrange(customers):06}"
        start = perf_counter()
        found = serving.serving_at(customer, at)
        taken.append((perf_counter() - start) * 1_000)
        if not found:
            raise AssertionError("unreachable: the bench wrote a window for every customer and instant")
        start = perf_counter()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        bare.append((perf_counter() - start) * 1_000)
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98], statistics.quantiles(bare, n=100)[98]


def measure_look_ups(days: int, customers: int) -> float:
    """Time look-ups over some days of windows and over ten times as many; returns the growth of the slowest."""
    taken = []
    for wanted in (range(days), range(days, 10 * days)):
        fill(wanted, customers)
        reached = wanted.stop
        taken.append(look_up(reached, customers))
        name = f"who served whom, {reached * customers * 288:,} windows"
        p50, p99, idle = taken[-1]
        say(name, f"p99 {p99:.2f} ms", f"p50 {p50:.2f} ms, limit p99 5 ms; a bare round trip has {idle:.2f} ms")
    growth = taken[1][1] / taken[0][1]
    say("who served whom, growth at ten times", f"{growth:.2f}x", f"limit 1.2x; {bytes_a_row():.0f} bytes a window")
    return growth


def rows_stored() -> int:
    """Return how many windows are stored."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLE}")
        (rows,) = cursor.fetchone()
    return int(rows)


def bytes_a_row() -> float:
    """Return how much of the disk a window takes, its indexes included."""
    names = partitions.days_of(TABLE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) name", [names])
        (size,) = cursor.fetchone()
    return float(size) / max(1, rows_stored())


def forget() -> None:
    """Give the disk back: drop the days of the bench."""
    since, until = start_of_bench(), start_of_bench() + timedelta(days=200)
    span = (f"{TABLE}_{since:%Y%m%d}", f"{TABLE}_{until:%Y%m%d}")
    with connection.cursor() as cursor:
        for name in partitions.days_of(TABLE):
            if span[0] <= name <= span[1]:
                cursor.execute(f"DROP TABLE {name}")


def measure(walk: Walk, *, full: bool) -> None:
    """Take all figures of the serving ledger."""
    measure_ingest(walk)
    # A day has 288 windows for each customer: 0.6 and 6 million, or 5 and 50 million.
    measure_look_ups(*((4, 4_400) if full else (2, 1_000)))
    forget()
