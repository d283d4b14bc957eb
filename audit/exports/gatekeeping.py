"""The rules of the gate that works without the portal: one question, papers from outside, and what is known here.

Where papers come from and how the answer is printed stands in `gate`; `kit` joins both with `papers` to one file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.exports.papers import (
    BROKEN,
    BUNDLE,
    ENTRY_SHAPE,
    KEYSET,
    KEYSET_SHAPE,
    LOG,
    PAYLOAD,
    PREDICATE,
    REVOCATIONS,
    REVOCATIONS_SHAPE,
    STATEMENT,
    STATEMENT_SHAPE,
    WITNESS,
    Checkpoint,
    Envelope,
    Key,
    Refusal,
    fit,
    is_consistent,
    load,
    need,
    open_envelope,
    read_checkpoint,
    read_hash,
    read_key,
    read_proof,
    when,
)

SKEW = timedelta(minutes=5)
SCOPE = ("environment", "endpoint", "cluster", "consumer")
FRESH = "Fetch it again from the portal, or ask the portal's operators."


@dataclass(frozen=True)
class Local:
    """What a gate knows by itself: what it is asked about, where and when, and whom it believes."""

    digest: str
    scope: Mapping[str, str]
    now: datetime
    roots: list[Key]
    threshold: int = 2
    ledgers: list[Key] = field(default_factory=list)
    witnesses: list[Key] = field(default_factory=list)
    quorum: int = 0
    max_age: timedelta | None = None


class Gate:
    """One question: papers that come from outside, what is known here, and what was seen here before.

    `memory` keeps the highest keyset, revocation list and checkpoint; what was verified is written into it.
    """

    def __init__(self, papers: Mapping[str, bytes], local: Local, memory: dict[str, Any]) -> None:
        self.papers, self.local, self.memory = papers, local, memory
        self.reasons: list[Refusal] = []
        self.keys: list[Key] = []
        self.told: dict[str, Any] = {}

    def allows(self) -> bool:
        """Return whether the answer is yes; `reasons` holds every reason for a no, `told` what the decision says."""
        if self.attempt("keyset", self.read_keyset) is None:
            return False
        revoked = self.attempt("revocations", self.read_revocations)
        anchor = self.attempt("proof", self.read_anchor)
        envelope = self.attempt("decision", self.read_decision)
        if envelope is not None:
            entry, proved = anchor or ({}, None)
            self.attempt("signature", lambda: self.check_signature(envelope, proved))
            for rule, check in {
                "digest": self.check_digest,
                "scope": self.check_scope,
                "time": self.check_time,
            }.items():
                self.attempt(rule, check)
            self.attempt("revoked", lambda: self.check_verdict(revoked or {}))
            self.attempt("proof", lambda: self.check_entry(entry, envelope) if anchor else None)
        return not self.reasons and None not in (revoked, anchor, envelope)

    def attempt(self, rule: str, step: Callable[[], Any]) -> Any:
        """Return what a step finds, or None after noting why it found nothing."""
        try:
            return step()
        except Refusal as refusal:
            self.reasons.append(refusal)
        except BROKEN as error:
            says = f"The {rule} cannot be read or is not what it should be: {error or type(error).__name__}."
            self.reasons.append(Refusal(rule, says.replace("..", "."), FRESH))
        return None

    def keys_for(self, purpose: str) -> list[Key]:
        """Return the keys of the keyset for one purpose."""
        return [key for key in self.keys if key.purpose == purpose]

    def remember(self, rule: str, number: int, envelope: Envelope) -> None:
        """Refuse what is older than what was seen here, or has the same number and says something else."""
        digest = hashlib.sha256(envelope.payload).hexdigest()
        seen = self.memory.get(rule, {"number": 0, "sha256": ""})
        holds = number > seen["number"] or (number, digest) == (seen["number"], seen["sha256"])
        says = f"This is {rule} number {number}; this gate has seen number {seen['number']} already."
        need(
            holds,
            rule,
            says,
            "Give the newest one that the portal publishes. Two that differ under one number are an alarm.",
        )
        self.memory[rule] = {"number": number, "sha256": digest}

    def read_keyset(self) -> list[Key]:
        """Believe the keys that enough of the pinned roots have signed."""
        local, envelope = self.local, open_envelope(load(self.papers["keyset"]), KEYSET[0])
        signers = len(envelope.signers(local.roots))
        says = (
            f"Of the {len(local.roots)} roots that are pinned here, {signers} signed the keyset, not {local.threshold}."
        )
        need(
            signers >= local.threshold,
            "keyset",
            says,
            f"{FRESH} Pin other roots only when you were told by another way.",
        )
        told = fit(load(envelope.payload), KEYSET_SHAPE, "the keyset")
        need(
            told["type"] == KEYSET[1],
            "keyset",
            f"{told['type'][:80]} is not a keyset of version 1.",
            "Update this gate.",
        )
        self.remember("keyset", told["version"], envelope)
        expires = f"The keyset is of {told['issuedAt']} and ended at {told['expiresAt']}."
        current = when(told["issuedAt"]) - SKEW <= local.now < when(told["expiresAt"])
        need(current, "keyset", expires, "Fetch the newest keyset; look at this machine's clock.")
        self.keys = [known_key(each) for each in told["keys"]]
        if len({key.keyid for key in self.keys}) != len(self.keys):
            raise ValueError("a key stands in it twice")
        return self.keys

    def read_revocations(self) -> dict[str, str]:
        """Return the reason by the id of each decision that no longer counts, from a list that is signed and fresh."""
        local, envelope = self.local, open_envelope(load(self.papers["revocations"]), REVOCATIONS[0])
        told = fit(load(envelope.payload), REVOCATIONS_SHAPE, "the list")
        issued, until = when(told["issuedAt"]), when(told["nextUpdate"])
        signers = [key for key in envelope.signers(self.keys_for("decision")) if key.counts(issued, None)]
        need(bool(signers), "revocations", "No key that counts has signed the revocation list.", FRESH)
        need(
            told["type"] == REVOCATIONS[1],
            "revocations",
            "It is not a revocation list of version 1.",
            "Update this gate.",
        )
        self.remember("revocations", told["number"], envelope)
        until = issued + local.max_age if local.max_age is not None else until
        says = f"The revocation list is of {told['issuedAt']} and counts until {until:%Y-%m-%dT%H:%M:%SZ}."
        need(
            issued - SKEW <= local.now < until,
            "revocations",
            says,
            "Fetch the newest list; look at this machine's clock.",
        )
        return {each["decisionId"].lower(): each["reason"] for each in told["revoked"]}

    def read_anchor(self) -> tuple[dict[str, Any], datetime | None]:
        """Return the entry that a checkpoint of the ledger covers, and by when witnesses had seen the checkpoint."""
        entry, checkpoint = read_proof(self.papers["proof"], self.papers.get("entry"))
        proved = self.witnessed(checkpoint)
        pins = {(key.keyid, key.name) for key in self.local.ledgers}
        known = [key for key in self.keys_for("log") if not pins or (key.keyid, key.name) in pins]
        signers = [key for key in known if key.name == checkpoint.origin and checkpoint.stamps(key, LOG)]
        says = f"The checkpoint of {checkpoint.origin[:80]} is not signed by a ledger key that is believed here."
        need(bool(signers), "proof", says, FRESH)
        counts = any(key.counts(proved or self.local.now, proved) for key in signers)
        fix = "Fetch a new proof; if the key was stolen, one that a witness cosigned before the theft."
        need(counts, "proof", "The ledger key that signed the checkpoint has ended or was stolen.", fix)
        self.follow(checkpoint)
        return fit(load(entry), ENTRY_SHAPE, "the entry"), proved

    def witnessed(self, checkpoint: Checkpoint) -> datetime | None:
        """Return by when enough witnesses had seen a checkpoint; None when none has and none is asked for."""
        pins, quorum = self.local.witnesses, self.local.quorum or len(self.local.witnesses)
        stolen = {key.keyid for key in self.keys if key.stolen is not None}
        times: dict[str, datetime] = {}
        for key in pins or self.keys_for("witness"):
            for stamp in checkpoint.stamps(key, WITNESS) if key.keyid not in stolen else ():
                at = datetime.fromtimestamp(stamp, UTC)
                if key.counts(at, None) and at <= self.local.now + SKEW:
                    times[key.keyid] = min(at, times.get(key.keyid, at))
        says = f"{len(times)} of the witnesses that are pinned here have cosigned the checkpoint, not {quorum}."
        need(len(times) >= quorum, "witness", says, "Fetch a new proof once the witnesses have cosigned.")
        return sorted(times.values())[max(quorum, 1) - 1] if times else None

    def follow(self, checkpoint: Checkpoint) -> None:
        """Refuse a checkpoint that does not belong to the same history as the largest one seen here."""
        seen = read_checkpoint(self.memory["checkpoint"]) if "checkpoint" in self.memory else checkpoint
        says = f"This checkpoint is of the ledger {checkpoint.origin[:80]}; this gate follows {seen.origin[:80]}."
        need(seen.origin == checkpoint.origin, "ledger", says, "Keep one state file for each ledger.")
        small, large = sorted((seen, checkpoint), key=lambda each: each.size)
        head = self.papers.get("consistency", b"").partition(b"\n\n")[0].decode()
        first, *path = head.split("\n")
        given = [read_hash(line) for line in path if line] if first == f"old {small.size}" and len(path) < 128 else []
        says = f"Nothing shows that the ledger only grew from {small.size} to {large.size} entries, as seen here."
        where = f"/api/v1/ledger/consistency?old={small.size}&new={large.size}"
        fix = f"Give what the portal answers at {where} as --consistency. If it cannot answer, raise the alarm."
        need(is_consistent(small, large, given), "ledger", says, fix)
        self.memory["checkpoint"] = large.note

    def read_decision(self) -> Envelope:
        """Read what the decision says, from a Sigstore bundle or a bare envelope; who signed it is asked afterwards."""
        value = load(self.papers["bundle"])
        if "mediaType" in value:
            value = fit(value, {"mediaType": re.escape(BUNDLE), "verificationMaterial": {}, "dsseEnvelope": {}}, "it")
            if len(value) != 3:
                raise ValueError("a bundle has mediaType, verificationMaterial and dsseEnvelope, and nothing else")
            value = value["dsseEnvelope"]
        envelope = open_envelope(value, PAYLOAD)
        told = load(envelope.payload)
        kind = (told["_type"], told["predicateType"])
        says = f"It says {str(kind)[:200]}, which this gate does not know."
        need(
            kind == (STATEMENT, PREDICATE),
            "decision",
            says,
            "Give a promotion decision; update this gate for a newer version.",
        )
        self.told = fit(told, STATEMENT_SHAPE, "the statement")
        return envelope

    def check_signature(self, envelope: Envelope, proved: datetime | None) -> None:
        """Refuse what no decision key has signed that counted when the decision was issued."""
        said = self.told["predicate"]["issuedAt"]
        signers = envelope.signers(self.keys_for("decision"))
        need(bool(signers), "signature", "No decision key of the keyset has signed the decision.", FRESH)
        counts = any(key.counts(when(said), proved) for key in signers) and when(said) <= self.local.now + SKEW
        says = f"The key that signed did not count at {said}, or was stolen and no witness saw the decision before."
        need(
            counts,
            "signature",
            says,
            "Give a proof that a witness cosigned before the theft, or have it decided again.",
        )

    def check_digest(self) -> None:
        """Refuse a decision about something else."""
        digests = [each["digest"]["sha256"] for each in self.told["subject"]]
        says = f"The decision is about {', '.join(digests)[:200]}, not about {self.local.digest}."
        need(digests == [self.local.digest], "digest", says, "Give the decision about this digest.")

    def check_scope(self) -> None:
        """Refuse a decision for another place, and what would bound it in a way that this gate does not know."""
        said = self.told["predicate"]
        for name, value in said["scope"].items():
            says = f"The decision is bound by {name[:40]!r}, which this gate does not know."
            need(name in SCOPE, "scope", says, "Update this gate.")
            here = self.local.scope.get(name)
            says = f"The decision is for the {name} {json.dumps(value)[:80]}, not for {here or 'any'}."
            need(here is not None and value == here, "scope", says, f"Give --{name}, or the decision for this {name}.")
        says = (
            f"The decision is bound by constraints that this gate does not know: {str(said.get('constraints'))[:80]}."
        )
        need(said.get("constraints", {}) == {}, "scope", says, "Update this gate.")

    def check_time(self) -> None:
        """Refuse before a decision begins, and from its end or that of an exception it rests on. Ends have no grace."""
        said, now = self.told["predicate"], self.local.now
        says = f"The decision begins at {said['notBefore']}."
        need(when(said["notBefore"]) - SKEW <= now, "time", says, "Wait; look at this machine's clock.")
        for end in (said["expiresAt"], *(each["expiresAt"] for each in said["exceptions"])):
            says = f"The decision, or an exception that it rests on, ended at {end}."
            need(end is not None and now < when(end), "time", says, "Have the version approved again.")

    def check_verdict(self, revoked: Mapping[str, str]) -> None:
        """Refuse what is no approval, and an approval that counts no longer."""
        said = self.told["predicate"]
        verdict, name = said["verdict"], said["decisionId"].lower()
        approved = verdict == "APPROVED" and said["supersedes"] is None
        need(approved, "verdict", f"The decision says {verdict[:40]}, not APPROVED.", "Give the approval.")
        need(
            name not in revoked,
            "revoked",
            f"It counts no longer: {revoked.get(name)}",
            "Have the version approved again.",
        )

    def check_entry(self, entry: Mapping[str, Any], envelope: Envelope) -> None:
        """Refuse an entry of the ledger that is about another decision or another signature."""
        seen = (entry["details"]["envelope"], entry["subject"]["id"], entry["subject"]["digest"])
        wanted = (envelope.digest, self.told["predicate"]["decisionId"], self.told["subject"][0]["digest"]["sha256"])
        need(seen == wanted, "proof", "The proof is about another decision or another signature.", FRESH)


def known_key(said: Mapping[str, Any]) -> Key:
    """Return a key as a keyset describes it. Raises ValueError when it is another key than it says."""
    start, end, stolen = when(said["validFrom"]), when(said["validUntil"]), said["compromisedAt"]
    about = {"purpose": said["purpose"], "name": said["name"] or "", "start": start, "end": end}
    key = read_key(said["public"].encode(), **about, stolen=when(stolen) if stolen else None)
    if (key.keyid, key.scheme) != (said["keyid"], said["scheme"]):
        raise ValueError(f"the key {said['keyid']} is another one than it says")
    if key.purpose != "decision" and (key.scheme != "ed25519" or not key.name):
        raise ValueError(f"the key {said['keyid']} cannot sign checkpoints")
    return key
