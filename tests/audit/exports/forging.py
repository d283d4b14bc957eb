"""Papers of a gate as cases: one genuine set, others as genuine that must not be accepted, and a stranger's.

`Scene.is_wrong` is the oracle. A yes is right only when everything that was signed is what was signed for this decision
byte for byte, and every signature, path and root holds by the portal's own verifiers, which are not the gate's. So a
space between two members of an envelope is no attack, and one other bit below a signature is.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

from audit import merkle, notes, seal
from audit.exports.gatekeeping import Gate, Local
from audit.exports.papers import WITNESS, read_vkey
from tests.audit.exports import ceremony
from tests.audit.exports.ceremony import (
    DAY,
    HOUR,
    NOW,
    ORIGIN,
    OTHER_DIGEST,
    WITNESS_NAME,
    Ceremony,
    canonical,
    instant,
)

Papers = dict[str, bytes]
FIRST = "00000000-0000-4000-8000-000000000001"
NEVER: tuple[dict[str, Any], ...] = (
    {"scope": {"environment": "staging"}},
    {"scope": {"environment": "production", "endpoint": "chat"}},
    {"scope": {"environment": "production", "region": "eu"}},
    {"scope": {"environment": "Production"}},
    {"scope": {"environment": "pr\u043eduction"}},
    {"digest": OTHER_DIGEST},
    {"verdict": "REJECTED", "expiresAt": None},
    {"verdict": "REVOKED", "supersedes": FIRST, "expiresAt": None},
    {"expiresAt": instant(NOW)},
    {"expiresAt": None},
    {"notBefore": instant(NOW + HOUR)},
    {"issuedAt": instant(NOW + HOUR)},
    {"issuedAt": instant(NOW - 31 * DAY)},
    {"exceptions": [{"id": "1", "expiresAt": instant(NOW - HOUR)}]},
    {"constraints": {"maxTrafficPercent": 100}},
    {"checks": None},
)


@dataclass
class Case:
    """One question to the gate: papers, what is known locally, what was seen before, and what was done to them."""

    papers: Papers
    local: Local
    memory: dict[str, Any] = field(default_factory=dict)
    done: str = ""


class Scene:
    """A genuine set of papers, others that are as genuine and must not be accepted, and a stranger's."""

    def __init__(self) -> None:
        self.made, self.stranger = Ceremony(), Ceremony()
        made = self.made
        made.leaves = ceremony.filler(20)
        signed = made.decision(ceremony.statement())
        others = [made.decision(ceremony.statement(str(at), **said)) for at, said in enumerate(NEVER, 2)]
        made.leaves += ceremony.filler(20, "check.run")
        self.papers = self.papers_of(signed, 20)
        self.others = [self.papers_of(each, 21 + at) for at, each in enumerate(others)]
        self.strange = ceremony.papers(self.stranger)
        self.keysets = [canonical(each) for each in self.bad_keysets()]
        self.lists = [canonical(each) for each in self.bad_lists()]
        self.witness = read_vkey(ceremony.vkey(WITNESS_NAME, made.witness, WITNESS), WITNESS)
        self.local = made.local(witnesses=[self.witness])
        self.memory: dict[str, Any] = {}
        assert Gate(self.papers, self.local, self.memory).allows()

    def papers_of(self, signed: dict[str, Any], index: int) -> Papers:
        made = self.made
        found = {"bundle": ceremony.bundle(signed), "proof": made.proof(index)}
        return {**found, "keyset": canonical(made.keyset()), "revocations": canonical(made.revocations())}

    def bad_keysets(self) -> list[dict[str, Any]]:
        """Return keysets that the roots did sign, or some of them, and under which the answer is no."""
        made, early = self.made, instant(NOW - 2 * DAY)
        return [
            made.keyset(version=6),
            made.keyset(signers=1),
            made.keyset(version=8, decision={"compromisedAt": early}),
            made.keyset(version=8, decision={"validUntil": early}),
            made.keyset(version=8, decision={"validFrom": instant(NOW - HOUR)}),
            made.keyset(version=8, log={"compromisedAt": early}),
            made.keyset(version=8, witness={"compromisedAt": early}),
            made.keyset(version=8, document={"expiresAt": early}),
            made.keyset(version=8, document={"keys": []}),
        ]

    def bad_lists(self) -> list[dict[str, Any]]:
        """Return lists that the decision key did sign, and after which the answer is no."""
        made = self.made
        return [
            made.revocations(FIRST, number=813),
            made.revocations(number=811),
            made.revocations(number=813, nextUpdate=instant(NOW)),
            made.revocations(number=813, issuedAt=instant(NOW + HOUR)),
            made.revocations(number=813, revoked=None),
            made.revocations(number=813, signer=made.ledger),
        ]

    def case(self) -> Case:
        """Return the genuine case, to be changed."""
        return Case(dict(self.papers), self.local, json.loads(json.dumps(self.memory)))

    def is_wrong(self, case: Case) -> bool:
        """Return whether a yes to this case would be wrong."""
        try:
            return not (self.asks_the_same(case) and self.is_signed(case.papers) and self.is_logged(case.papers))
        except Exception:  # noqa: BLE001 -- what the portal's own verifiers cannot even read must not be a yes
            return True

    def asks_the_same(self, case: Case) -> bool:
        """Return whether nothing known here is another, but for a checkpoint of the same ledger, proved to be older."""
        numbers = ("keyset", "revocations")
        if case.local != self.local or any(case.memory[name] != self.memory[name] for name in numbers):
            return False
        seen, now = (notes.parse_checkpoint(each["checkpoint"]) for each in (case.memory, self.memory))
        lines = case.papers.get("consistency", b"").decode().partition("\n\n")[0].split("\n")[1:]
        path = [base64.b64decode(line) for line in lines if line]
        return seen == now or merkle.verify_consistency(seen.size, now.size, path, seen.root, now.root)

    def is_signed(self, given: Papers) -> bool:
        """Return whether all three envelopes hold what was signed, with signatures that the portal's verifier takes."""
        made = self.made
        decider = [seal.load_public_key(ceremony.pem(made.decider))]
        roots = [seal.load_public_key(ceremony.pem(root)) for root in made.roots]
        for name, keys, threshold in (("bundle", decider, 1), ("keyset", roots, 2), ("revocations", decider, 1)):
            mine, original = envelope_in(given[name]), envelope_in(self.papers[name])
            seal.verify(mine, keys, threshold=threshold)
            if any(mine[member] != original[member] for member in ("payload", "payloadType")):
                return False
        return bool(envelope_in(given["bundle"]) == envelope_in(self.papers["bundle"]))

    def is_logged(self, given: Papers) -> bool:
        """Return whether the proof leads from the one right entry to a checkpoint that ledger and witness signed."""
        text = given["proof"].decode()
        found = re.search(r"\nextra (.*)\n", text)
        entry = given.get("entry", base64.b64decode(found[1]) if found else b"")
        proof = notes.parse_proof(text)
        body = notes.open_note(proof.note, [notes.note_key(ORIGIN, self.made.ledger.public_key())])
        told = notes.parse_checkpoint(body)
        path = (proof.index, told.size, merkle.leaf_hash(entry), proof.path, told.root)
        holds = merkle.verify_inclusion(*path) and entry == self.made.leaves[20] and told.size == len(self.made.leaves)
        return holds and ceremony.note_line(WITNESS_NAME, self.made.witness, body, NOW - HOUR) in proof.note


def envelope_in(raw: bytes) -> Any:
    value = json.loads(raw)
    return value.get("dsseEnvelope", value)
