"""The revocation list: which approvals that have not expired count no longer, signed for gates that work offline.

What counts is asked of `governance.standing`; a list only repeats it, for an hour. The gates that can reach the portal
ask it instead. Lists are kept for ever: 35,000 small rows a year.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audit import keyset, seal
from governance import decisions, standing
from governance.models import Decision, Reliance, RevocationList

TYPE = "https://countersign.dev/revocations/v1"
PAYLOAD_TYPE = "application/vnd.countersign.revocations+json"
EVERY = timedelta(minutes=15)
VALID = timedelta(hours=1)
LOCK = 0x0B5E_701D
BATCH = 1_000
# The list is public, so it says why in our words alone: what people typed stays inside.
WORDS = {
    "revoked": "The decision was revoked.",
    "waiver_revoked": "A waiver that the decision rested on was revoked.",
    "obligation_late": "A condition of the decision was not met in time.",
    "retired": "The version is retired.",
    "sunset": "The version reached its sunset.",
    "challenged": "The version was challenged, and the challenge was not answered in time.",
}
OTHERWISE = "The version may not serve."


def url() -> str:
    """Return where gates fetch the list."""
    return settings.PORTAL_URL + decisions.REVOCATIONS


def newest() -> RevocationList | None:
    """Return the newest list."""
    return RevocationList.objects.order_by("-number").first()


def fault() -> str:
    """Return the sentence that gates which work offline refuse everything, while the newest list is too old."""
    last = newest()
    if last is None or last.next_update > timezone.now():
        return ""
    return f"The revocation list ran out at {last.next_update:%Y-%m-%d %H:%M} UTC, so gates that work offline say no."


def issue_due() -> RevocationList | None:
    """Issue a list when the newest is a quarter of an hour old or something else counts no longer; else do nothing.

    Raises Refused with code `key_not_valid` when the newest keyset does not let the decision key sign.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # One at a time, so that numbers follow each other and a later list never says less than it should.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        now, last = timezone.now(), newest()
        before = revoked_in(last)
        ended = {str(public_id): ending for public_id, ending in find_ended(now)}
        if last is not None and now < last.issued_at + EVERY and ended.keys() == before.keys():
            return None
        return issue(now, [before.get(each) or told(each, ended[each], now) for each in sorted(ended)], last)


def issue(now: datetime, revoked: list[dict[str, Any]], last: RevocationList | None) -> RevocationList:
    """Sign and store the list that follows the last one, under the lock."""
    keyset.expect_signing(now)
    number = last.number + 1 if last else 1
    document = {
        "type": TYPE,
        "number": number,
        "issuedAt": seal.instant(now),
        "nextUpdate": seal.instant(now + VALID),
        "revoked": revoked,
    }
    envelope = seal.sign(seal.canonical(document), PAYLOAD_TYPE)
    return RevocationList.objects.create(number=number, envelope=envelope, issued_at=now, next_update=now + VALID)


def told(decision: str, ending: tuple[str, datetime | None], now: datetime) -> dict[str, Any]:
    """Return one line of the list; what has no instant of its own counts no longer from now on."""
    rule, since = ending
    return {"decisionId": decision, "at": seal.instant(since or now), "reason": WORDS.get(rule, OTHERWISE)}


def revoked_in(row: RevocationList | None) -> dict[str, dict[str, Any]]:
    """Return the lines of a list by decision."""
    if row is None:
        return {}
    return {each["decisionId"]: each for each in read(row)["revoked"]}


def read(row: RevocationList) -> dict[str, Any]:
    """Return what a stored list says."""
    said: dict[str, Any] = json.loads(seal.payload_of(row.envelope, PAYLOAD_TYPE))
    return said


def find_ended(at: datetime) -> Iterator[tuple[UUID, tuple[str, datetime | None]]]:
    """Yield each signed approval that has not expired and counts no longer, with the rule and, if known, since when."""
    alive = Decision.objects.filter(verdict="approved", signature__isnull=False, expires_at__gt=at)
    rows = alive.annotate(missed=standing.first_late(at)).select_related("revocation")
    rows = rows.only("public_id", "version", "environment", "revocation__made_at").order_by("pk")
    waiting = rows.iterator(chunk_size=BATCH)
    while group := list(islice(waiting, BATCH)):
        bared = bared_by({row.pk for row in group}, at)
        wanting = defaultdict(list)
        for row in group:
            ending = ended_by_itself(row, bared.get(row.pk))
            if ending is not None:
                yield row.public_id, ending
            else:
                wanting[row.environment].append(row)
        for environment, those in wanting.items():
            yield from ended_with_version(those, environment, at)


def ended_by_itself(decision: Any, bared: datetime | None) -> tuple[str, datetime | None] | None:
    """Return what ended this one decision, if anything did."""
    if (revocation := getattr(decision, "revocation", None)) is not None:
        return "revoked", revocation.made_at
    if bared is not None:
        return "waiver_revoked", bared
    if decision.missed is not None:
        return "obligation_late", datetime.fromisoformat(decision.missed["due"])
    return None


def bared_by(decisions: set[int], at: datetime) -> dict[int, datetime]:
    """Return when a waiver was revoked that some of the decisions rested on."""
    rows = Reliance.objects.filter(decision__in=decisions, waiver__revoked_at__lte=at)
    # The earliest comes last, and is what remains.
    found = rows.order_by("-waiver__revoked_at").values_list("decision", "waiver__revoked_at")
    return {decision: revoked for decision, revoked in found if revoked is not None}


def ended_with_version(
    decisions: Sequence[Decision], environment: str, at: datetime
) -> Iterator[tuple[UUID, tuple[str, datetime | None]]]:
    """Yield the decisions whose version may not serve for another reason, such as a challenge that is past its date."""
    found = standing.of_all((each.version_id for each in decisions), [environment], at=at)
    for decision in decisions:
        answer = found[(decision.version_id, environment)]
        if not answer.allow:
            yield decision.public_id, (answer.reasons[0].rule, None)
