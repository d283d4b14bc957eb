"""Writing notices, inside the transaction of what they are about. Delivering them is done elsewhere, by the worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Q
from django.utils import timezone

from governance.models import Notice, NoticePreference, Webhook
from governance.models.notices import Pace
from portal.jobs import Job, ring
from registry.models import Asset, User

MAX_SUBJECT = 200


class Kind(StrEnum):
    """Everything that people are told about. `kind.words` is what a page calls it."""

    _value_: str
    words: str

    def __new__(cls, name: str, words: str = "") -> Kind:
        """Create the member `name`, carrying its words."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.words = words
        return member

    REVIEW_WANTED = "review_wanted", "A review is wanted"
    REVIEW_REMINDED = "review_reminded", "A review is still wanted"
    REVIEW_ESCALATED = "review_escalated", "Nobody has reviewed"
    SUBMISSION_CLOSED = "submission_closed", "A submission was answered or closed"
    CHANGES_REQUESTED = "changes_requested", "Changes were requested"
    DECISION_ENDED = "decision_ended", "A decision was revoked"
    OBLIGATION_DUE = "obligation_due", "A condition is due"
    WAIVER_REQUESTED = "waiver_requested", "A waiver is requested"
    WAIVER_ANSWERED = "waiver_answered", "A waiver was answered or revoked"
    WAIVER_ENDING = "waiver_ending", "A waiver ends soon"
    CHALLENGED = "challenged", "A version was challenged"
    POLICY_PROPOSED = "policy_proposed", "A policy was proposed"
    POLICY_PUBLISHED = "policy_published", "A policy was published"
    HYGIENE_WARNING = "hygiene_warning", "Something will happen by itself"
    HYGIENE_DONE = "hygiene_done", "Something happened by itself"
    ORPHANED = "orphaned", "An asset has no owner any more"
    DELEGATION = "delegation", "A deputy was named or a delegation ended"
    COPIES_MISSING = "copies_missing", "Something is wrong with copies of checkpoints outside"
    RECORD_CONTRADICTED = "record_contradicted", "The record contradicts itself"
    SEALING_STOPPED = "sealing_stopped", "The ledger is not being sealed"
    VIOLATION = "violation", "Something was served that was not allowed"
    SERVING_CONFLICT = "serving_conflict", "A report contradicts an earlier one"
    KEY_ENDING = "key_ending", "A key of this portal ends soon"
    TEST = "test", "A test"


def tell(
    kind: Kind,
    *,
    cause: str,
    to: Iterable[User | str],
    subject: str,
    text: str,
    url: str = "",
    asset: Asset | None = None,
) -> int:
    """Write one notice for each receiver of one cause, webhooks that want the kind included. Returns how many are new.

    `to` names people, and addresses that are no person. `cause` is a stable text such as `submission:<id>:opened`: told
    again, it tells nobody twice. `text` holds nothing secret; `url` is the path of the page where to act.
    """
    now = timezone.now()
    told = {
        "kind": str(kind),
        "cause": cause,
        "asset": asset,
        "subject": one_line(subject)[:MAX_SUBJECT],
        "text": text,
        "url": url,
        "made_at": now,
    }
    rows = [*for_people(to, told, now), *for_webhooks(kind, told, now)]
    new = set(Notice.objects.filter(cause=cause).values_list("receiver", flat=True))
    fresh = {row.receiver: row for row in rows if row.receiver not in new}
    Notice.objects.bulk_create(fresh.values(), ignore_conflicts=True)
    if fresh:
        ring(Job.SEND_NOTICES)
    return len(fresh)


def for_people(to: Iterable[User | str], told: Mapping[str, Any], now: datetime) -> list[Notice]:
    """Return the notices for people, each due when that person wants mail, and for addresses."""
    receivers = list(to)
    people = {
        each.pk: each for each in receivers if isinstance(each, User) and each.is_active and each.kind == "person"
    }
    chosen = {row.user_id: row for row in NoticePreference.objects.filter(user__in=people)}
    rows = [
        Notice(**told, person=person, receiver=person.ledger_name, **timing(chosen.get(pk), now))
        for pk, person in people.items()
    ]
    addresses = {each for each in receivers if isinstance(each, str) and each}
    return rows + [Notice(**told, address=each, receiver=f"address:{each}", due_at=now) for each in sorted(addresses)]


def can_be_told(account: User) -> bool:
    """Return whether somebody reads what is sent to an account."""
    return account.is_active and account.kind == "person"


def one_line(text: str) -> str:
    """Return a text as one line without control characters: it becomes the header of a mail."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def timing(preference: NoticePreference | None, now: datetime) -> dict[str, datetime]:
    """Return when a person's mail about something that happens now is due: at once, or at the next of their hours.

    For somebody who wants no mail it is given up before the first attempt: it is on their page and waits for nobody.
    """
    if preference is None or preference.pace == Pace.AT_ONCE:
        return {"due_at": now}
    if preference.pace == Pace.NEVER:
        return {"due_at": now, "given_up_at": now}
    today = datetime.combine(now.date(), time(preference.hour), tzinfo=now.tzinfo)
    return {"due_at": today if today > now else today + timedelta(days=1)}


def for_webhooks(kind: Kind, told: Mapping[str, Any], now: datetime) -> list[Notice]:
    """Return the notices for the webhooks that want this kind and this team."""
    asset = told["asset"]
    team = asset.team_id if isinstance(asset, Asset) else None
    rows = Webhook.objects.filter(Q(team=None) | Q(team=team), is_active=True)
    return [
        Notice(**told, webhook=row, receiver=f"webhook:{row.public_id}", due_at=now)
        for row in rows
        if not row.kinds or str(kind) in row.kinds
    ]
