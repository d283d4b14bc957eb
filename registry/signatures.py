"""Signing an evaluation report: a person's dated word for a document, in a capacity that reviewers can weigh.

This is no cryptographic signature; those come in a DSSE envelope (`readers.signed_evaluation`). Whoever signs a report
has a hand in it, and cannot approve a version that rests on it.
"""

from __future__ import annotations

import re

from django.utils import timezone

from audit import log
from audit.events import Event
from portal.errors import Fault, Invalid, Refused, show
from portal.jobs import Job, ring
from registry.models import Evidence, ReportSignature, User, Version

LIMITS = {"capacity": 200, "statement": 4000}
EXAMPLES = {"capacity": "head of model validation", "statement": "what you vouch for, in a sentence"}
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def sign(evidence: Evidence, *, actor: User, capacity: str, statement: str) -> ReportSignature:
    """Sign an evaluation report, once, as the person responsible for it in a capacity.

    Raises Invalid for texts that are empty, too long or cannot be stored, and Refused for other documents, for a
    retired version and for a second signature of the same person.
    """
    words = {"capacity": " ".join(capacity.split()), "statement": statement.strip()}
    expect_words(words)
    with log.record(Event.REPORT_SIGNED, actor=actor, subject=evidence, capacity=words["capacity"]) as entry:
        version = Version.objects.select_for_update(of=("self",)).select_related("asset").get(pk=evidence.version_id)
        actor.require("report.sign", version)
        if evidence.kind != "evaluation":
            raise Refused("not_a_report", f"{evidence.filename} is no evaluation report: only those are signed.")
        if version.state == "retired":
            raise Refused("version_retired", f"{version.label} is retired: its record is closed.")
        if ReportSignature.objects.filter(evidence=evidence, signed_by=actor).exists():
            raise Refused("signed_already", f"{actor} signed {evidence.filename} already; once is enough.")
        row = ReportSignature.objects.create(evidence=evidence, signed_by=actor, signed_at=timezone.now(), **words)
        entry.note(version=version.label)
        ring(Job.RUN_CHECKS)
    return row


def expect_words(words: dict[str, str]) -> None:
    """Raise Invalid unless both texts say something and can be kept as they are."""
    faults = [
        Fault(name, show(text), f"{EXAMPLES[name]}: 3 to {LIMITS[name]:,} characters that can be stored")
        for name, text in words.items()
        if not 3 <= len(text) <= LIMITS[name] or UNSTORABLE.search(text)
    ]
    if faults:
        raise Invalid(*faults)
