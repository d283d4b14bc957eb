"""Which exceptions were granted, by whom, until when, which were in force at an instant, and what rested on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import QuerySet

from audit import log
from audit.events import Event
from audit.reports.base import Column, Filters, Report, Row, Sentence, narrowed
from governance.models import Reliance, Waiver
from governance.models.waivers import WaiverState

GRANTED = (WaiverState.GRANTED, WaiverState.REVOKED)


class Waivers(Report):
    """Every exception that was granted, whether or not it has ended since."""

    slug = "waivers"
    title = "Exceptions"
    question = "Which exceptions were granted?"
    filters = ("asset", "environment", "since", "until")
    columns = (
        Column("Granted", "time", brief=True),
        Column("Rule", brief=True),
        Column("Reason", "note", brief=True),
        Column("Version", "version", brief=True),
        Column("Environment", brief=True),
        Column("Granted by", brief=True),
        Column("Granting account"),
        Column("Requested by"),
        Column("Requesting account"),
        Column("Requested", "time"),
        Column("Expires", "time", brief=True),
        Column("Stands", "word", brief=True),
        Column("Revoked", "time"),
        Column("Compensating control"),
        Column("Note"),
        Column("Policy"),
        Column("Finding"),
        Column("Component"),
        Column("Rests on it", "note"),
        Column("Extends"),
        Column("Waiver"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Waiver]:
        """Return the waivers granted by then, newest first. What was decided later is not known yet."""
        granted = Waiver.objects.filter(state__in=GRANTED)
        rows = narrowed(granted, filters, as_of, at="decided_at", environment="environment")
        related = rows.select_related("version__asset", "policy", "requested_by", "decided_by", "finding", "extends")
        return related.defer("policy__text", "policy__content").order_by("-decided_at", "-pk")

    def tell(self, found: Sequence[Waiver], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each waiver."""
        entries, rests = grant_entries(found), resting(found, as_of)
        for waiver in found:
            granter, finding = waiver.decided_by, waiver.finding
            yield (
                waiver.decided_at,
                waiver.rule,
                waiver.reason,
                waiver.version.label,
                waiver.environment,
                str(granter),
                granter.ledger_name if granter else None,
                str(waiver.requested_by),
                waiver.requested_by.ledger_name,
                waiver.requested_at,
                waiver.expires_at,
                stands(waiver, as_of),
                waiver.revoked_at if waiver.revoked_at and waiver.revoked_at <= as_of else None,
                waiver.compensating_control,
                waiver.decision_note,
                str(waiver.policy),
                finding.vulnerability if finding else None,
                finding.purl if finding else None,
                "; ".join(rests[waiver.pk]),
                str(waiver.extends.public_id) if waiver.extends else None,
                str(waiver.public_id),
                entries.get(str(waiver.public_id)),
            )

    def sentences(self, found: Sequence[Waiver], as_of: datetime) -> Iterator[Sentence]:
        """Yield when and what, without asking what rests on each waiver."""
        for waiver in found:
            about = (waiver.version.label, waiver.environment, str(waiver.decided_by))
            yield waiver.decided_at, self.say((None, waiver.rule, None, *about))

    def say(self, row: Row) -> str:
        """Return "Rhea waived vulnerabilities for fraud-scorer@2.1.0 in production"."""
        _, rule, _, version, environment, by, *_ = row
        return f"{by} waived {rule} for {version} in {environment}"


def stands(waiver: Waiver, as_of: datetime) -> str:
    """Return whether a granted waiver was in force at an instant, or what had ended it."""
    if waiver.is_in_force(as_of):
        return "in force"
    return "revoked" if waiver.revoked_at is not None and waiver.revoked_at <= as_of else "expired"


def resting(found: Sequence[Waiver], as_of: datetime) -> dict[int, list[str]]:
    """Return the approvals made by an instant that rest on each waiver, whether or not they have ended since."""
    made = Reliance.objects.filter(waiver__in=[waiver.pk for waiver in found], decision__made_at__lte=as_of)
    rests: defaultdict[int, list[str]] = defaultdict(list)
    for each in made.select_related("decision__version__asset").order_by("decision__made_at", "pk"):
        decision = each.decision
        rests[each.waiver_id].append(f"{decision.version.label} for {decision.environment} ({decision.public_id})")
    return rests


def grant_entries(found: Sequence[Waiver]) -> dict[str, str]:
    """Return the event id of the entry about each waiver's grant."""
    about = log.entries(kind=Event.WAIVER_GRANTED).filter(
        subject_kind="waiver", subject_id__in=[str(waiver.public_id) for waiver in found]
    )
    return {subject: str(event_id) for subject, event_id in about.values_list("subject_id", "event_id")}
