"""What a file says about itself: the question, the instant, the filters, who asked, and how the ledger was then."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from django.conf import settings

from audit import seal, sealer
from audit.exports import requests
from audit.exports.tables import About
from audit.models import Checkpoint, Export
from audit.reports.asking import Question
from audit.reports.base import count
from audit.reports.names import names_of

CHECK = "The sha256 of this file stands in the ledger entry export.built of this export."
DRAWN = (
    "{size} of {population} rows, seed {seed}: those with the lowest sha256 of the text <seed>:<row>, "
    "where <row> is what stands in the column Row"
)


def about(export: Export) -> About:
    """Return what the workbook or the PDF of a table says about itself."""
    question = requests.question_of(export)
    by = names_of([export.requested_by])[export.requested_by]
    facts = [
        ("Question", question.report.question),
        ("As of", seal.instant(question.as_of)),
        *((label_of(name), value) for name, value in question.filters.as_parameters().items()),
        *(sample_of(question).items()),
        ("Requested by", f"{by} ({export.requested_by})"),
        ("Requested", seal.instant(export.requested_at)),
        ("Portal", settings.PORTAL_URL),
        *(ledger().items()),
        ("Export", str(export.pk)),
        ("Check", CHECK),
    ]
    footer = f"{question.report.title} as of {seal.instant(question.as_of)} · export {export.pk}"
    return About(question.report.title, facts, question.as_of, footer)


def label_of(name: str) -> str:
    """Return a filter's name as a label."""
    return name.replace("_", " ").capitalize()


def sample_of(question: Question) -> Mapping[str, str]:
    """Return how a sample was drawn, if one was."""
    sample = question.sample
    if sample is None:
        return {}
    population = count(question.population())
    size = min(sample.size, population)
    return {"Sample": DRAWN.format(size=f"{size:,}", population=f"{population:,}", seed=sample.seed)}


def ledger() -> Mapping[str, str]:
    """Return the newest sealed checkpoint of the ledger: how many entries, their root, and what names its note."""
    newest = Checkpoint.objects.first()
    if newest is None:
        return {"Ledger": f"{settings.LEDGER_ORIGIN}: nothing was sealed yet"}
    return {
        "Ledger": f"{settings.LEDGER_ORIGIN}: {newest.size:,} sealed entries",
        "Ledger root": bytes(newest.root).hex(),
        "Checkpoint, sha256": hashlib.sha256(newest.note.encode()).hexdigest(),
        "Ledger keys": ", ".join(key.vkey for key in sealer.ledger_keys()),
    }
