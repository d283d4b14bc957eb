"""The ledger as pages: sentences with names, the exact bytes, and a proof for each entry."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit import merkle, notes, sealer
from audit.models import Checkpoint, Entry
from registry import people
from tests.audit.reports.stories import decided
from tests.audit.web.visitors import text_of, visit
from tests.factories import Walk

LEDGER = "/audit/ledger/"


@pytest.fixture
def iris(walk: Walk) -> Client:
    """Iris the auditor, signed in."""
    return visit(walk.cast.iris)


def sentences(page: str) -> list[str]:
    """Return what the lines of the browser say."""
    return re.findall(r'<th role="rowheader" scope="row">(.*?)</th>', page)


def test_entries_are_sentences_with_the_names_of_people(walk: Walk, iris: Client) -> None:
    decided(walk)
    page = text_of(iris.get(LEDGER, {"kind": "review."}))
    assert sentences(page) == ["Petra Platform answered approve for platform on credit-prompt@1.0.0 for staging."]
    assert walk.cast.petra.ledger_name not in page
    seat = text_of(iris.get(LEDGER, {"kind": "seat.given"}))
    assert "Portal setup gave Iris Auditor the role auditor." in sentences(seat)


def test_the_browser_is_narrowed_by_event_subject_actor_and_period(walk: Walk, iris: Client) -> None:
    decision = decided(walk)

    def kinds(**asked: Any) -> set[str]:
        return set(re.findall(r"<code>([a-z]+\.[a-z_]+)</code>", text_of(iris.get(LEDGER, asked))))

    assert kinds(kind="decision.") == {"decision.made", "decision.signed"}
    assert kinds(kind="decision.made") == {"decision.made"}
    assert kinds(actor="Petra") == {"review.given", "decision.made", "submission.closed"}
    assert kinds(actor=walk.cast.petra.ledger_name) == kinds(actor="petra")
    assert kinds(subject="credit-prompt@1.0.0", kind="version.") == {
        "version.registered",
        "version.nominated",
        "version.moved",
    }
    assert kinds(until=decision.made_at.isoformat(), actor="Petra") <= {"review.given"}
    assert kinds(actor="nobody at all") == set()
    assert "Select a valid choice" in text_of(iris.get(LEDGER, {"kind": "made.up"}), 422)


def test_pages_lead_to_older_entries_and_back(walk: Walk, iris: Client) -> None:
    for number in range(60):
        people.found_team(f"team-{number}", actor=walk.cast.alma, name=f"Team {number}")
    first = text_of(iris.get(LEDGER, {"kind": "team.changed"}))
    assert "Newer" not in first
    older = re.search(r'href="(\?[^"]*before=\d+)"', first)
    assert older
    second = text_of(iris.get(LEDGER + older[1].replace("&amp;", "&")))
    assert not set(sentences(first)) & set(sentences(second))
    newer = re.search(r'href="(\?[^"]*after=\d+)"', second)
    assert newer
    assert sentences(text_of(iris.get(LEDGER + newer[1].replace("&amp;", "&")))) == sentences(first)
    assert len(sentences(first)) == 50


def test_an_entry_shows_its_content_and_hands_out_the_exact_bytes_and_a_proof(walk: Walk, iris: Client) -> None:
    decided(walk)
    entry = Entry.objects.get(kind="decision.made")
    page = text_of(iris.get(reverse("audit:entry", args=[entry.event_id])))
    assert "Petra Platform made the decision: approved: credit-prompt@1.0.0 for staging." in page
    assert bytes(entry.leaf_hash).hex() in page
    assert entry.document["rows"][0]["sha256"] in page
    assert "Sealed" in page

    body = iris.get(reverse("audit:entry-body", args=[entry.event_id]))
    assert (body.content, body["Content-Type"]) == (bytes(entry.body), "application/json")
    proof = notes.parse_proof(iris.get(reverse("audit:proof", args=[entry.event_id])).content.decode())
    checkpoint = notes.parse_checkpoint(notes.open_note(proof.note, sealer.ledger_keys()))
    leaf = merkle.leaf_hash(body.content)
    assert merkle.verify_inclusion(proof.index, checkpoint.size, leaf, proof.path, checkpoint.root)
    assert json.loads(body.content)["eventId"] == str(entry.event_id)


def test_an_entry_that_waits_says_so_and_has_no_proof_yet(walk: Walk, iris: Client) -> None:
    sealer.seal_due()
    people.found_team("young", actor=walk.cast.alma, name="Young")
    entry = Entry.objects.first()
    assert entry is not None
    page = text_of(iris.get(reverse("audit:entry", args=[entry.event_id])))
    assert "This entry waits to be sealed." in page
    assert reverse("audit:proof", args=[entry.event_id]) not in page
    assert "Pending" in text_of(iris.get(LEDGER))
    assert "waits to be sealed" in text_of(iris.get(reverse("audit:proof", args=[entry.event_id])), 409)


def test_the_newest_checkpoint_can_be_kept_elsewhere(walk: Walk, iris: Client) -> None:
    assert iris.get(reverse("audit:checkpoint")).status_code == 404
    sealer.seal_due()
    newest = Checkpoint.objects.first()
    assert newest is not None
    assert iris.get(reverse("audit:checkpoint")).content.decode() == newest.note
    page = text_of(iris.get(LEDGER))
    assert sealer.ledger_keys()[0].vkey in page
    assert f"{newest.size} entries are sealed" in page
