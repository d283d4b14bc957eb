"""Signing a report: a person's dated word, given once, kept for ever, and a hand in the version."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from audit.recording import UnrecordedChange
from governance import lifecycle, queries, reviews
from portal.errors import Invalid, Refused
from registry import evidence, signatures
from registry.models import Evidence, ReportSignature, Version
from tests.factories import Walk, artifacts, documents
from tests.web.services import count_rows

WORDS = {"capacity": "head of model validation", "statement": "Measured on the frozen hold-out set, twice."}


@pytest.fixture
def version(walk: Walk) -> Version:
    return walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))


@pytest.fixture
def report(walk: Walk, version: Version) -> Evidence:
    body = documents.evaluation(version.identity_digest, at=timezone.now(), author="eve@example.com")
    return evidence.attach(version, actor=walk.cast.cee_i, kind="evaluation", filename="evaluation.json", body=body)


def test_a_signature_holds_who_when_and_in_what_capacity(walk: Walk, report: Evidence) -> None:
    before = timezone.now()
    row = signatures.sign(report, actor=walk.cast.ada, capacity="  head of\n model validation ", statement=" Twice. ")
    assert (row.signed_by, row.capacity, row.statement) == (walk.cast.ada, WORDS["capacity"], "Twice.")
    assert before <= row.signed_at <= timezone.now()
    entry = Entry.objects.latest("pk")
    assert (entry.kind, entry.subject_label, entry.actor) == (
        "report.signed",
        "evaluation.json",
        walk.cast.ada.ledger_name,
    )
    said = bytes(entry.body).decode()
    assert report.sha256 in said
    assert "head of model validation" in said
    assert "Ada" not in said


def test_several_people_may_sign_and_each_once(walk: Walk, report: Evidence) -> None:
    for person in (walk.cast.ada, walk.cast.ben, walk.cast.petra):
        signatures.sign(report, actor=person, **WORDS)
    with pytest.raises(Refused) as refusal:
        signatures.sign(report, actor=walk.cast.ada, **WORDS)
    assert refusal.value.code == "signed_already"
    assert report.signatures.count() == 3


@pytest.mark.parametrize("name", ["mallory", "cee_i", "iris", "alma"])
def test_only_people_of_the_team_or_its_reviewers_sign(walk: Walk, report: Evidence, name: str) -> None:
    before = count_rows()
    with pytest.raises(PermissionDenied):
        signatures.sign(report, actor=getattr(walk.cast, name), **WORDS)
    assert count_rows() == before


def test_only_evaluation_reports_are_signed(walk: Walk, version: Version) -> None:
    note = evidence.attach(version, actor=walk.cast.cee_i, kind="other", filename="note.txt", body=b"A note.")
    with pytest.raises(Refused) as refusal:
        signatures.sign(note, actor=walk.cast.ada, **WORDS)
    assert refusal.value.code == "not_a_report"


def test_the_record_of_a_retired_version_is_closed(walk: Walk, version: Version, report: Evidence) -> None:
    candidate = walk.candidate("fraud-scorer", "2.0.0", artifacts.scorer(2))
    lifecycle.retire(candidate, actor=walk.cast.ada, reason="No longer needed.")
    with pytest.raises(Refused) as refusal:
        signatures.sign(candidate.evidence.get(kind="evaluation"), actor=walk.cast.ada, **WORDS)
    assert refusal.value.code == "version_retired"


@pytest.mark.parametrize(
    "words",
    [
        {"capacity": ""},
        {"capacity": "  x "},
        {"capacity": "c" * 201},
        {"statement": ""},
        {"statement": "s" * 4001},
        {"statement": "nul \x00 inside"},
        {"capacity": "lone \ud800 half"},
    ],
)
def test_words_that_say_nothing_or_cannot_be_kept_are_refused(
    walk: Walk, report: Evidence, words: dict[str, str]
) -> None:
    before = count_rows()
    with pytest.raises(Invalid) as refusal:
        signatures.sign(report, actor=walk.cast.ada, **(WORDS | words))
    assert [fault.field for fault in refusal.value.faults] == list(words)
    assert count_rows() == before


def test_a_signature_is_never_changed_and_never_taken_back(walk: Walk, report: Evidence) -> None:
    row = signatures.sign(report, actor=walk.cast.ada, **WORDS)
    row.statement = "Never measured."
    with pytest.raises(UnrecordedChange):
        row.save()
    with pytest.raises(UnrecordedChange):
        row.delete()
    assert ReportSignature.objects.get(pk=row.pk).statement == WORDS["statement"]


def test_whoever_signed_a_report_cannot_approve_the_version(walk: Walk) -> None:
    version = walk.candidate("fraud-scorer", "3.0.0", artifacts.scorer(3))
    submission = walk.submit(version, "staging")
    petra: Any = walk.cast.petra
    (row,) = [each for each in queries.queue(petra) if each.submission == submission]
    assert row.is_my_turn
    waiting = queries.count_waiting(petra)
    signatures.sign(version.evidence.get(kind="evaluation"), actor=petra, **WORDS)
    walk.work()
    (row,) = [each for each in queries.queue(petra) if each.submission == submission]
    assert row.involvement == ("Petra Platform signed a report of it.",)
    assert not row.is_my_turn
    assert queries.count_waiting(petra) == waiting - 1
    with pytest.raises(Refused) as refusal:
        reviews.approve(submission, actor=petra, role="platform", proof=walk.proof())
    assert refusal.value.code == "not_independent"
    assert [each.says for each in refusal.value.reasons] == ["Petra Platform signed a report of it."]
