"""The vocabulary of the ledger."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from audit.events import Event, sentence


@pytest.mark.parametrize("event", Event)
def test_every_event_is_named_subject_dot_action_and_has_one_sentence(event: Event) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", event.value)
    assert event.sentence.endswith(".")
    assert len(event.value) <= 40


@pytest.mark.parametrize("event", Event)
def test_a_sentence_uses_plain_keys_only(event: Event) -> None:
    for _, key, spec, conversion in Formatter().parse(event.sentence):
        assert key is None or key.isidentifier()
        assert not spec
        assert not conversion


def test_an_event_is_its_name() -> None:
    assert {"review.given": "found"}[Event.REVIEW_GIVEN] == "found"
    assert f"{Event.REVIEW_GIVEN}" == "review.given"
    assert Event("review.given") is Event.REVIEW_GIVEN


def test_a_sentence_is_filled_with_names_and_details() -> None:
    said = Event.REVIEW_GIVEN.say(
        actor="Petra", subject="fraud-scorer@2.1.0", details={"role": "platform", "verdict": "approve"}
    )
    assert said == "Petra answered approve for platform on fraud-scorer@2.1.0."


def test_a_key_that_an_entry_does_not_carry_is_an_ellipsis() -> None:
    assert Event.REVIEW_GIVEN.say(actor="Petra", subject="x@1.0.0") == "Petra answered … for … on x@1.0.0."


def test_an_instant_is_shown_for_people() -> None:
    said = Event.WAIVER_GRANTED.say(
        actor="Rhea", subject="licence for x@1.0.0 in production", details={"expires": "2027-02-21T09:30:00.000000Z"}
    )
    assert said == "Rhea granted the waiver of licence for x@1.0.0 in production, until 21 Feb 2027, 09:30 UTC."


def test_details_cannot_reach_into_the_template() -> None:
    said = Event.ASSET_CHANGED.say(actor="{subject.__class__}", subject="{0}", details={"actor": "Mallory"})
    assert said == "{subject.__class__} changed the asset {0}."


def test_an_event_that_is_no_longer_known_is_named_as_it_is() -> None:
    assert sentence("badge.awarded", actor="Ada", subject="x") == "Ada: badge.awarded x."
