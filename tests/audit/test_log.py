"""Recording: who did what to what, in one transaction with the change itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import transaction

from audit import log, merkle, notes, seal
from audit.events import Event
from audit.log import record
from audit.models import Entry, Pending
from audit.sealer import ledger_keys, seal_due
from portal.errors import Invalid, Refused
from registry.models import Team, User

pytestmark = pytest.mark.django_db


class Thing:
    """A subject with a digest, as versions and evidence are."""

    ledger_ref = ("version", "fraud-scorer@2.1.0", "17")
    ledger_digest = "ab" * 32


def fail(team: Team, actor: User) -> None:
    """Save a team and then think better of it, as a verb whose last check refuses does."""
    with record(Event.TEAM_CHANGED, actor=actor, subject=team):
        team.save()
        raise Refused("no", "No.")


class Clock:
    """The portal itself, acting."""

    ledger_name = "system:sweeps"


def test_an_entry_holds_the_exact_canonical_bytes_of_what_happened(ada: User) -> None:
    with (
        time_machine.travel(datetime(2026, 11, 23, 9, 0, tzinfo=UTC), tick=False),
        record(Event.REVIEW_GIVEN, actor=ada, subject=Thing(), role="platform", score=Decimal("0.90")) as told,
    ):
        told.note(dossier="cd" * 32)
    entry = Entry.objects.get()
    said = json.loads(bytes(entry.body))
    assert said == {
        "schema": "countersign-entry/v1",
        "eventId": str(told.event_id),
        "kind": "review.given",
        "occurredAt": "2026-11-23T09:00:00.000000Z",
        "actor": ada.ledger_name,
        "subject": {"kind": "version", "label": "fraud-scorer@2.1.0", "id": "17", "digest": "ab" * 32},
        "details": {"role": "platform", "score": "0.90", "dossier": "cd" * 32},
        "rows": [],
    }
    assert bytes(entry.body) == seal.canonical(said)
    assert bytes(entry.leaf_hash) == merkle.leaf_hash(bytes(entry.body))
    assert entry.document == said
    assert entry.say("Ada") == "Ada answered … for platform on fraud-scorer@2.1.0."
    assert Pending.objects.get().entry == entry


def test_the_columns_of_an_entry_repeat_its_body(ada: User) -> None:
    with record(Event.REVIEW_GIVEN, actor=ada, subject=Thing()) as told:
        pass
    entry = Entry.objects.get()
    assert (entry.event_id, entry.kind, entry.actor) == (told.event_id, "review.given", ada.ledger_name)
    assert (entry.subject_kind, entry.subject_label, entry.subject_id) == Thing.ledger_ref
    assert entry.occurred_at == told.occurred_at
    assert entry.db_user
    assert entry.recorded_at.tzinfo is not None


def test_an_entry_names_the_rows_that_were_written_under_it(ada: User) -> None:
    team = Team(slug="risk-models", name="Risk models")
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.save()
    history = team.history.get()
    (named,) = Entry.objects.get().document["rows"]
    assert (named["table"], named["id"]) == ("registry_historicalteam", str(history.pk))
    assert len(named["sha256"]) == 64
    assert history.recorded_in == Entry.objects.get().event_id


def test_entry_and_change_vanish_together_when_the_verb_fails(ada: User) -> None:
    team = Team(slug="risk-models", name="Risk models")
    with pytest.raises(Refused, match="No"):
        fail(team, ada)
    assert not Team.objects.exists()
    assert not Team.history.exists()
    assert not Entry.objects.exists()
    assert log.recording() is None


def test_inner_recordings_join_and_follow_in_the_order_in_which_they_began(ada: User) -> None:
    with record(Event.REVIEW_GIVEN, actor=ada, subject=Thing()) as outer:
        with record(Event.SUBMISSION_CLOSED, actor=Clock(), subject=Thing()) as inner:
            with record(Event.DECISION_MADE, actor=Clock(), subject=Thing()):
                assert log.recording() is not inner
            assert log.recording() is inner
            assert not Entry.objects.exists()
        with record(Event.VERSION_MOVED, actor=Clock(), subject=Thing()):
            pass
        inner.note(late="known only afterwards")
        outer.note(outcome="approved")
    kinds = list(Entry.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["review.given", "submission.closed", "decision.made", "version.moved"]
    assert Entry.objects.get(kind="submission.closed").details == {"late": "known only afterwards"}
    assert Entry.objects.get(kind="review.given").details == {"outcome": "approved"}


def test_each_recording_names_its_own_rows_only(ada: User) -> None:
    first, second = Team(slug="first", name="First"), Team(slug="second", name="Second")
    with record(Event.TEAM_CHANGED, actor=ada, subject=first):
        with record(Event.TEAM_CHANGED, actor=ada, subject=second):
            second.save()
        first.save()
    named = {entry.subject_label: [row["id"] for row in entry.document["rows"]] for entry in Entry.objects.all()}
    assert named == {"first": [str(first.history.get().pk)], "second": [str(second.history.get().pk)]}


def test_an_inner_verb_that_fails_and_is_caught_leaves_no_entry(ada: User) -> None:
    with record(Event.REVIEW_GIVEN, actor=ada, subject=Thing()), pytest.raises(Refused, match="No"):
        fail(Team(slug="never", name="Never"), ada)
    assert list(Entry.objects.values_list("kind", flat=True)) == ["review.given"]
    assert not Team.objects.exists()


def test_rows_that_were_rolled_back_inside_are_not_named(ada: User) -> None:
    kept = Team(slug="kept", name="Kept")
    with record(Event.TEAM_CHANGED, actor=ada, subject=kept):
        kept.save()
        with transaction.atomic():
            Team.objects.create(slug="other", name="Other")
            transaction.set_rollback(True)
    assert [row["id"] for row in Entry.objects.get().document["rows"]] == [str(kept.history.get().pk)]


def test_many_rows_are_named_by_their_count_and_root(ada: User) -> None:
    subject = Team(slug="team-0", name="Team")
    with record(Event.TEAM_CHANGED, actor=ada, subject=subject):
        subject.save()
        for number in range(1, 70):
            Team.objects.create(slug=f"team-{number}", name="Team")
    (named,) = Entry.objects.get().document["rows"]
    assert named.keys() == {"table", "count", "root"}
    assert (named["table"], named["count"]) == ("registry_historicalteam", 70)


def test_nobody_never_acts(ada: User) -> None:
    with pytest.raises(TypeError, match="nobody never acts"), record(Event.TEAM_CHANGED, actor=None, subject=ada):  # type: ignore[arg-type]
        pass
    for name in ("Ada", "person:", "person:a b", "person:x\n", "root:1"):
        nobody = type("Nobody", (), {"ledger_name": name})()
        with pytest.raises(TypeError), record(Event.TEAM_CHANGED, actor=nobody, subject=ada):
            pass


def test_an_event_has_to_be_in_the_vocabulary(ada: User) -> None:
    with pytest.raises(TypeError, match=r"audit\.events"), record("team.renamed", actor=ada, subject=ada):  # type: ignore[arg-type]
        pass


def test_an_entry_is_about_something(ada: User) -> None:
    with pytest.raises(ValueError, match="names no subject"), record(Event.TEAM_CHANGED, actor=ada):
        pass
    with record(Event.TEAM_CHANGED, actor=ada) as told:
        told.about(Thing())
    assert Entry.objects.get().subject_label == "fraud-scorer@2.1.0"


def test_a_recording_that_changed_nothing_can_be_left_out(ada: User) -> None:
    with record(Event.TEAM_CHANGED, actor=ada, subject=ada) as told:
        told.skip()
    assert not Entry.objects.exists()


def test_a_recording_that_changed_something_cannot_be_left_out(ada: User) -> None:
    def quietly() -> None:
        with record(Event.TEAM_CHANGED, actor=ada, subject=ada) as told:
            Team.objects.create(slug="quiet", name="Quiet")
            told.skip()

    with pytest.raises(log.UnrecordedChange, match="registry_historicalteam"):
        quietly()
    assert not Team.objects.exists()


def test_inner_entries_stay_when_the_outer_one_is_left_out(ada: User) -> None:
    with record(Event.VERSION_REGISTERED, actor=ada, subject=ada) as told:
        with record(Event.EVIDENCE_ATTACHED, actor=ada, subject=Thing()):
            pass
        told.skip()
    assert list(Entry.objects.values_list("kind", flat=True)) == ["evidence.attached"]


def test_nothing_is_added_to_an_entry_that_is_written(ada: User) -> None:
    with record(Event.TEAM_CHANGED, actor=ada, subject=ada) as told:
        pass
    lates: list[Callable[[], None]] = [lambda: told.note(x=1), lambda: told.about(Thing()), told.skip]
    for late in lates:
        with pytest.raises(RuntimeError, match="is written"):
            late()


@pytest.mark.parametrize("value", [0.5, float("nan"), 2**60, b"x", "\ud800", object()])
def test_details_are_plain_data(ada: User, value: Any) -> None:
    with pytest.raises(Invalid), record(Event.TEAM_CHANGED, actor=ada, subject=ada, x=value):
        pass
    with pytest.raises(Invalid), record(Event.TEAM_CHANGED, actor=ada, subject=ada) as told:
        told.note(x=value)
    assert not Entry.objects.exists()


def test_an_entry_fits_into_64_kib(ada: User) -> None:
    with pytest.raises(Invalid, match="by digest"), record(Event.TEAM_CHANGED, actor=ada, subject=ada, x="y" * 65_536):
        pass
    with record(Event.TEAM_CHANGED, actor=ada, subject=ada, x="y" * 65_000):
        pass


def test_the_request_is_named_where_there_is_one(ada: User) -> None:
    token = log.request_id.set("req-1")
    try:
        with record(Event.TEAM_CHANGED, actor=ada, subject=ada):
            pass
    finally:
        log.request_id.reset(token)
    assert Entry.objects.get().document["requestId"] == "req-1"


def test_entries_are_found_by_kind_subject_actor_and_time(ada: User) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    told: list[tuple[Event, Any, Any]] = [
        (Event.REVIEW_GIVEN, ada, Thing()),
        (Event.DECISION_MADE, Clock(), Thing()),
        (Event.REVIEW_GIVEN, ada, ada),
    ]
    for day, (event, actor, subject) in enumerate(told):
        with time_machine.travel(start + timedelta(days=day), tick=False), record(event, actor=actor, subject=subject):
            pass
    third, second, first = log.entries()
    assert list(log.entries(kind=Event.REVIEW_GIVEN)) == [third, first]
    assert list(log.entries(kind="review.")) == [third, first]
    assert list(log.entries(subject=Thing())) == [second, first]
    assert list(log.entries(subject=("version", "17"))) == [second, first]
    assert list(log.entries(actor="system:sweeps")) == [second]
    assert list(log.entries(since=start + timedelta(days=1))) == [third, second]
    assert list(log.entries(until=start + timedelta(days=1))) == [first]
    assert list(log.entries(kind="decision.", actor=ada.ledger_name)) == []


def test_a_proof_convinces_somebody_who_has_only_the_entry_and_the_key(say: Callable[..., Entry]) -> None:
    say(7)
    seal_due()
    entry = say()
    say(300)
    seal_due()
    proof = notes.parse_proof(log.proof(entry))
    checkpoint = notes.parse_checkpoint(notes.open_note(proof.note, ledger_keys()))
    leaf = merkle.leaf_hash(bytes(entry.body))
    assert (proof.index, checkpoint.size) == (7, 308)
    assert merkle.verify_inclusion(proof.index, checkpoint.size, leaf, proof.path, checkpoint.root)


def test_an_entry_that_waits_has_no_proof_yet(say: Callable[..., Entry]) -> None:
    entry = say()
    with pytest.raises(Refused) as refusal:
        log.proof(entry)
    assert refusal.value.code == "unsealed"
    say()
    assert log.unsealed().count == 2
    assert log.unsealed().since == entry.recorded_at
    seal_due()
    assert log.proof(entry)
    assert log.unsealed() == log.Unsealed(0, None)


def test_no_proof_is_handed_out_that_does_not_verify(say: Callable[..., Entry]) -> None:
    entry = say(3)
    seal_due()
    forged = Entry(pk=entry.pk, body=b'{"forged":true}')
    with pytest.raises(Refused) as refusal:
        log.proof(forged)
    assert refusal.value.code == "damaged"


def test_event_ids_sort_by_time(say: Callable[..., Entry]) -> None:
    say(50)
    ids = list(Entry.objects.order_by("id").values_list("event_id", flat=True))
    assert ids == sorted(ids)
    assert all(UUID(str(identifier)).version == 7 for identifier in ids)
