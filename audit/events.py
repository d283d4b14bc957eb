"""The vocabulary of the ledger: every event, its name and its one human sentence.

Grammar: `subject.action`, both in lower case, the action in the past tense. A name is never reused for another meaning.
Sentences are shown on pages. They may use `{actor}`, `{subject}` and keys of the entry's details; a key that an entry
does not carry is shown as an ellipsis. What happens when an entry is written lives in `audit.log`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from string import Formatter
from typing import Any

ELLIPSIS = "…"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Event(StrEnum):
    """Everything the ledger can say. `event.sentence` is the template, `event.say(...)` the filled sentence."""

    _value_: str
    sentence: str

    def __new__(cls, name: str, sentence: str = "") -> Event:
        """Create the member `name`, carrying its sentence."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.sentence = sentence
        return member

    ASSET_REGISTERED = "asset.registered", "{actor} registered the asset {subject}."
    ASSET_CHANGED = "asset.changed", "{actor} changed the asset {subject}."

    VERSION_REGISTERED = "version.registered", "{actor} registered {subject}."
    VERSION_EDITED = "version.edited", "{actor} edited the draft {subject}."
    VERSION_NOMINATED = "version.nominated", "{actor} nominated {subject}."
    VERSION_MOVED = "version.moved", "{actor} moved {subject} from {from_state} to {to_state}."
    VERSION_PROMOTED = "version.promoted", "{actor} promoted {subject} to {environment}."
    VERSION_ROLLED_BACK = "version.rolled_back", "{actor} rolled {environment} back to {subject}."

    VERSION_RELICENSED = "version.relicensed", "{actor} recorded that {subject} is now licensed as {licence}."

    EVIDENCE_ATTACHED = "evidence.attached", "{actor} attached {kind} to {subject}."
    DATASET_REGISTERED = "dataset.registered", "{actor} registered the dataset {subject}."

    CHECK_ANSWERED = "check.answered", "The check {check} of {subject} answered {outcome}."

    POLICY_PUBLISHED = "policy.published", "{actor} published the policy {subject}."
    POLICY_PROPOSED = "policy.proposed", "{actor} proposed another text for the policy {subject}."
    POLICY_DECLINED = "policy.declined", "{actor} declined the proposal for the policy {subject}."
    POLICY_WITHDRAWN = "policy.withdrawn", "{actor} took the proposal for the policy {subject} back."

    SUBMISSION_OPENED = "submission.opened", "{actor} submitted {subject}."
    SUBMISSION_CLOSED = "submission.closed", "The submission {subject} was closed as {outcome}."
    SUBMISSION_MOVED = "submission.moved", "{subject} is now judged under the policy {policy}."
    SUBMISSION_KEPT = "submission.kept", "{subject} may be decided under its older policy until {until}."
    REVIEW_GIVEN = "review.given", "{actor} answered {verdict} for {role} on {subject}."

    REVIEW_WITHDRAWN = "review.withdrawn", "{actor} took a verdict back: {subject}."
    REVIEW_HANDED = "review.handed", "{actor} handed the review for {role} of {subject} to {receiver}."
    OBLIGATION_MET = "obligation.met", "{actor} agreed that a condition is met: {subject}."
    DELEGATION_MADE = "delegation.made", "{actor} named a deputy: {subject}, until {until}."
    DELEGATION_ENDED = "delegation.ended", "{actor} ended a delegation: {subject}."

    WAIVER_REQUESTED = "waiver.requested", "{actor} requested a waiver of {subject}."
    WAIVER_GRANTED = "waiver.granted", "{actor} granted the waiver of {subject}, until {expires}."
    WAIVER_REFUSED = "waiver.refused", "{actor} refused the waiver of {subject}."
    WAIVER_REVOKED = "waiver.revoked", "{actor} revoked the waiver of {subject}."

    DECISION_MADE = "decision.made", "{actor} made the decision: {subject}."
    DECISION_SIGNED = "decision.signed", "The decision was signed: {subject}."
    DECISION_REVOKED = "decision.revoked", "{actor} revoked the decision: {subject}."

    CONSUMER_GRANTED = "consumer.granted", "{consumer} became a consumer of {subject} in {environment}."

    FINDING_OPENED = "finding.opened", "A finding was opened: {subject}."
    FINDING_CLOSED = "finding.closed", "A finding was closed: {subject}."
    FINDING_TRIAGED = "finding.triaged", "{actor} stated {status} about {subject}."
    TRIAGE_ANSWERED = "finding.answered", "{actor} answered {answer} to a statement about {subject}."
    VERSION_CHALLENGED = "version.challenged", "{subject} was challenged by {by}, to be answered by {due}."
    CHALLENGE_ENDED = "challenge.ended", "The challenge {subject} ended."
    GLOBAL_ALLOWED = "global.allowed", "{actor} allowed {subject}, until {expires}."
    GLOBAL_REVOKED = "global.revoked", "{actor} no longer allows {subject}."
    REPORT_SIGNED = "report.signed", "{actor} signed the report {subject} as {capacity}."
    ADVISORIES_IMPORTED = "advisories.imported", "{actor} imported {count} advisories from {subject}."

    KEY_TRUSTED = "key.trusted", "{actor} trusted the key {subject}."
    KEY_REVOKED = "key.revoked", "{actor} revoked trust in the key {subject}."
    ROOT_TRUSTED = "root.trusted", "{actor} trusted the root {subject}."
    ROOT_REVOKED = "root.revoked", "{actor} revoked trust in the root {subject}."
    KEYSET_PUBLISHED = "keyset.published", "{actor} published the {subject}, signed by its roots."
    KEY_ROTATED = "key.rotated", "{actor} put a new {purpose} key of this portal to use: {subject}."
    TOKEN_ISSUED = "token.issued", "{actor} issued the token {prefix} to {subject}."
    TOKEN_REVOKED = "token.revoked", "{actor} revoked the token {subject}."

    NOTICES_CHOSEN = "notices.chosen", "{actor} chose how to be told."
    WEBHOOK_CHANGED = "webhook.changed", "{actor} changed the webhook {subject}."

    SEAT_GIVEN = "seat.given", "{actor} gave {subject} the role {role}."
    SEAT_TAKEN = "seat.taken", "{actor} took the role {role} from {subject}."
    TEAM_CHANGED = "team.changed", "{actor} changed the team {subject}."
    PERSON_CHANGED = "person.changed", "{actor} changed the account of {subject}."

    SERVING_REPORTED = "serving.reported", "{actor} reported serving windows in {subject}: {rowCount}."
    SERVING_CONFLICTED = "serving.conflicted", "{actor} sent {subject} again, changed; the first report stands."
    SERVING_CONTRADICTED = (
        "serving.contradicted",
        "{subject} contradicts what was reported before, in so many windows: {rowCount}.",
    )

    VIOLATION_OPENED = "violation.opened", "Something was served that was not allowed: {subject}."
    VIOLATION_ANSWERED = "violation.answered", "{actor} answered for what was served: {subject}."

    CHECKPOINT_CONTRADICTED = "checkpoint.contradicted", "{subject} holds another history than this ledger: {says}."

    VERIFICATION_ASKED = "ledger.asked", "{actor} asked for a check of the record."
    LEDGER_VERIFIED = "ledger.verified", "The record was checked, {entries} entries and {rows} rows: nothing was wrong."
    LEDGER_CONTRADICTED = (
        "ledger.contradicted",
        "The record was checked and contradicts itself; contradictions: {faults}.",
    )

    EXPORT_REQUESTED = "export.requested", "{actor} requested the export {subject}."
    EXPORT_BUILT = "export.built", "The export {subject} was built."
    EXPORT_CANCELLED = "export.cancelled", "{actor} cancelled the export {subject}."

    def say(self, *, actor: str, subject: str, details: Mapping[str, object] | None = None) -> str:
        """Return the sentence filled with the names to show and the entry's details."""
        return _Lenient().vformat(self.sentence, (), {**(details or {}), "actor": actor, "subject": subject})


class _Lenient(Formatter):
    """A formatter of our own constant templates: a missing key is an ellipsis, an instant is shown for people."""

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        value = kwargs.get(str(key))
        if isinstance(value, str) and INSTANT.fullmatch(value):
            return f"{datetime.fromisoformat(value):%-d %b %Y, %H:%M} UTC"
        return ELLIPSIS if value is None else value


def sentence(kind: str, *, actor: str, subject: str, details: Mapping[str, object] | None = None) -> str:
    """Return the sentence of an entry of any age; a kind that is no longer in the vocabulary is named as it is."""
    try:
        event = Event(kind)
    except ValueError:
        return f"{actor}: {kind} {subject}."
    return event.say(actor=actor, subject=subject, details=details)
