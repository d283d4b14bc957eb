"""The gate that needs no portal: one yes, and every no of the record's design with its sentence."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from audit.exports import standalone
from audit.exports.papers import read_key, read_vkey
from tests.audit.exports import ceremony
from tests.audit.exports.ceremony import (
    DAY,
    DIGEST,
    HOUR,
    NOW,
    ORIGIN,
    OTHER_DIGEST,
    WITNESS_NAME,
    Ceremony,
    ask,
    canonical,
    changed,
    instant,
    papers,
    pem,
    statement,
    vkey,
)

Papers = dict[str, bytes]
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def made() -> Ceremony:
    return Ceremony()


def test_a_decision_that_everybody_signed_is_a_yes(made: Ceremony) -> None:
    given = papers(made)
    assert ask(made, given) == (True, "")
    bare = canonical(json.loads(given["bundle"])["dsseEnvelope"])
    assert ask(made, {**given, "bundle": bare}) == (True, "")
    assert ask(made, {**given, "entry": made.leaves[5]}) == (True, "")


def say(**predicate: Any) -> Callable[[Ceremony], Papers]:
    """Return papers of a decision that is genuine and says something else."""
    return lambda made: papers(made, statement(**predicate))


def statement_with(path: str, to: Any) -> Callable[[Ceremony], Papers]:
    return lambda made: papers(made, changed(statement(), path, to))


def keyset_with(**changes: Any) -> Callable[[Ceremony], Papers]:
    return lambda made: papers(made, keyset=canonical(made.keyset(**changes)))


def revocations_with(*revoked: str, **said: Any) -> Callable[[Ceremony], Papers]:
    return lambda made: papers(made, revocations=canonical(made.revocations(*revoked, **said)))


def another_signer(made: Ceremony) -> Papers:
    stranger = Ceremony(ledger=made.ledger, decider=ec.generate_private_key(ec.SECP256R1()))
    return {**papers(made), **{name: papers(stranger)[name] for name in ("bundle", "proof")}}


def proof_of_another_decision(made: Ceremony) -> Papers:
    given = papers(made)
    made.decision(statement("2"))
    return {**given, "proof": made.proof(9)}


def proof_without_its_entry(made: Ceremony) -> Papers:
    given = papers(made)
    return {**given, "proof": re.sub(b"extra .*\n", b"", given["proof"])}


def entry_beside_that_is_another(made: Ceremony) -> Papers:
    return {**papers(made), "entry": made.leaves[0]}


def bundle_of_another_type(made: Ceremony) -> Papers:
    given = papers(made)
    return {**given, "bundle": given["bundle"].replace(b"v0.3", b"v0.9")}


def payload_of_another_type(made: Ceremony) -> Papers:
    given = papers(made)
    return {**given, "bundle": given["bundle"].replace(b"vnd.in-toto", b"vnd.intoto")}


FIRST = "00000000-0000-4000-8000-000000000001"
NOES: list[tuple[Callable[[Ceremony], Papers], str]] = [
    (say(verdict="REJECTED", expiresAt=None), "verdict: The decision says REJECTED, not APPROVED."),
    (say(verdict="approved"), "verdict: The decision says approved"),
    (say(verdict="REVOKED", supersedes=FIRST), "verdict: The decision says REVOKED"),
    (say(supersedes=FIRST), "verdict:"),
    (say(digest=OTHER_DIGEST), f"digest: The decision is about {OTHER_DIGEST}, not about {DIGEST}."),
    (
        say(scope={"environment": "staging"}),
        'scope: The decision is for the environment "staging", not for production.',
    ),
    (say(scope={"environment": "pr\u043eduction"}), "scope:"),
    (say(scope={"environment": "production\u200b"}), "scope:"),
    (say(scope={"environment": "production", "region": "eu"}), "is bound by 'region', which this gate does not know."),
    (say(scope={"environment": "production", "endpoint": "chat"}), "not for any. Give --endpoint"),
    (say(scope={"environment": ["production"]}), "decision: The decision cannot be read or is not what it should be"),
    (say(scope={}), "has no environment"),
    (say(constraints={"maxTrafficPercent": 5}), "constraints that this gate does not know"),
    (say(constraints=None), "constraints that this gate does not know"),
    (say(notBefore=instant(NOW + 6 * MINUTE)), "time: The decision begins at"),
    (say(expiresAt=instant(NOW)), "time: The decision, or an exception that it rests on, ended at"),
    (say(expiresAt=None), "ended at None"),
    (say(exceptions=[{"id": "1", "expiresAt": instant(NOW - MINUTE)}]), "an exception that it rests on, ended at"),
    (say(issuedAt=instant(NOW - 31 * DAY)), "signature: The key that signed did not count at"),
    (say(issuedAt=instant(NOW + HOUR)), "signature: The key that signed did not count at"),
    (say(issuedAt="2026-11-22 09:00:00Z"), "predicate.issuedAt is"),
    (say(issuedAt="2026-13-22T09:00:00Z"), "decision: The decision cannot be read"),
    (say(checks="all"), "predicate.checks is"),
    (say(policy={"name": "default", "version": "1", "digest": {"sha256": "a" * 64}}), "policy.version is"),
    (statement_with("predicateType", "https://countersign.dev/attestation/promotion-decision/v2"), "does not know"),
    (statement_with("_type", "https://in-toto.io/Statement/v0.1"), "which this gate does not know"),
    (statement_with("subject", [statement(digest=each)["subject"][0] for each in (DIGEST, OTHER_DIGEST)]), "digest:"),
    (statement_with("subject.0.digest", {"sha256": DIGEST.upper()}), "subject[0].digest.sha256 is"),
    (keyset_with(signers=1), "keyset: Of the 3 roots that are pinned here, 1 signed the keyset, not 2."),
    (keyset_with(document={"expiresAt": instant(NOW)}), "keyset: The keyset is of"),
    (keyset_with(document={"issuedAt": instant(NOW + HOUR)}), "keyset: The keyset is of"),
    (keyset_with(document={"type": "https://countersign.dev/keyset/v2"}), "is not a keyset of version 1. Update"),
    (keyset_with(document={"keys": []}), "signature: No decision key of the keyset has signed the decision."),
    (keyset_with(decision={"purpose": "log", "name": "x"}), "cannot sign checkpoints"),
    (keyset_with(decision={"keyid": "0" * 64}), "is another one than it says"),
    (keyset_with(decision={"scheme": "ed25519"}), "is another one than it says"),
    (keyset_with(decision={"compromisedAt": instant(NOW - 2 * HOUR)}), "or was stolen and no witness saw"),
    (keyset_with(log={"compromisedAt": instant(NOW - 2 * HOUR)}), "has ended or was stolen"),
    (keyset_with(log={"validUntil": instant(NOW - 2 * HOUR)}), "has ended or was stolen"),
    (keyset_with(log={"name": "elsewhere.example"}), "is not signed by a ledger key that is believed here"),
    (revocations_with(FIRST), "revoked: It counts no longer: A leak was found."),
    (revocations_with(FIRST.upper()), "revoked: It counts no longer"),
    (revocations_with(nextUpdate=instant(NOW)), "revocations: The revocation list is of"),
    (revocations_with(issuedAt=instant(NOW + HOUR)), "revocations: The revocation list is of"),
    (revocations_with(signer=ec.generate_private_key(ec.SECP256R1())), "No key that counts has signed the revocation"),
    (revocations_with(type="https://countersign.dev/revocations/v2"), "It is not a revocation list of version 1."),
    (another_signer, "signature: No decision key of the keyset has signed the decision."),
    (proof_of_another_decision, "proof: The proof is about another decision or another signature."),
    (proof_without_its_entry, "with an index, a path and the entry that it is about"),
    (entry_beside_that_is_another, "the path does not lead from this entry to the root"),
    (bundle_of_another_type, "it.mediaType is"),
    (payload_of_another_type, "its payloadType is"),
]


@pytest.mark.parametrize(("make", "sentence"), NOES, ids=[f"{at}-{said[:24]}" for at, (_, said) in enumerate(NOES)])
def test_what_does_not_hold_is_a_no_with_its_reason(
    made: Ceremony, make: Callable[[Ceremony], Papers], sentence: str
) -> None:
    allowed, said = ask(made, make(made))
    assert (allowed, sentence in said) == (False, True), said


def test_what_was_seen_before_a_theft_goes_on_to_count(made: Ceremony) -> None:
    stolen = keyset_with(decision={"compromisedAt": instant(NOW - HOUR / 2)})(made)
    # The list has to be signed by a key that was not stolen, so it takes the next one.
    coming = ec.generate_private_key(ec.SECP256R1())
    keys = json.loads(ceremony.base64.b64decode(json.loads(stolen["keyset"])["payload"]))["keys"]
    fresh = {**keys[0], "keyid": ceremony.keyid(coming), "public": pem(coming), "compromisedAt": None}
    given = {
        **stolen,
        "keyset": canonical(made.keyset(document={"keys": [*keys, fresh]})),
        "revocations": canonical(made.revocations(signer=coming)),
    }
    assert ask(made, given) == (True, "")
    unwitnessed = {**given, "proof": made.proof(5, at=None)}
    assert "no witness saw the decision before" in ask(made, unwitnessed)[1]
    late = {**given, "proof": made.proof(5, at=NOW - MINUTE)}
    assert "no witness saw the decision before" in ask(made, late)[1]


def test_a_stolen_key_cannot_say_what_was_revoked(made: Ceremony) -> None:
    given = keyset_with(decision={"compromisedAt": instant(NOW - HOUR / 2)})(made)
    assert "No key that counts has signed the revocation list." in ask(made, given)[1]


def test_witnesses_that_are_pinned_have_to_have_cosigned(made: Ceremony) -> None:
    given, stranger = papers(made), ceremony.new_ed25519()
    pinned = read_vkey(vkey(WITNESS_NAME, made.witness, b"\x04"), b"\x04")
    other = read_vkey(vkey("witness.example/w2", stranger, b"\x04"), b"\x04")
    again = read_vkey(vkey("witness.example/w3", made.witness, b"\x04"), b"\x04")
    assert ask(made, given, witnesses=[pinned])[0]
    assert ask(made, given, witnesses=[pinned, other], quorum=1)[0]
    assert "1 of the witnesses" in ask(made, given, witnesses=[pinned, other])[1]
    assert not ask(made, given, witnesses=[pinned, again])[0]
    assert "witness: 0 of the witnesses" in ask(made, {**given, "proof": made.proof(5, at=None)}, witnesses=[pinned])[1]
    assert "0 of the witnesses" in ask(made, {**given, "proof": made.proof(5, at=NOW + HOUR)}, witnesses=[pinned])[1]


def test_a_witness_whose_key_was_stolen_is_not_heard(made: Ceremony) -> None:
    given = keyset_with(witness={"compromisedAt": instant(NOW)})(made)
    pinned = read_vkey(vkey(WITNESS_NAME, made.witness, b"\x04"), b"\x04")
    assert not ask(made, given, witnesses=[pinned])[0]


def test_a_pinned_ledger_key_is_the_only_one_that_is_believed(made: Ceremony) -> None:
    given = papers(made)
    assert ask(made, given, ledgers=[read_vkey(vkey(ORIGIN, made.ledger, b"\x01"), b"\x01")])[0]
    other = read_vkey(vkey(ORIGIN, ceremony.new_ed25519(), b"\x01"), b"\x01")
    assert "is not signed by a ledger key" in ask(made, given, ledgers=[other])[1]


def test_an_older_list_is_taken_only_up_to_the_age_that_is_allowed_here(made: Ceremony) -> None:
    old = instant(NOW - 30 * HOUR)
    given = revocations_with(issuedAt=old, nextUpdate=instant(NOW - 29 * HOUR))(made)
    assert not ask(made, given)[0]
    assert ask(made, given, max_age=36 * HOUR)[0]
    assert not ask(made, given, max_age=24 * HOUR)[0]
    assert not ask(made, papers(made), max_age=MINUTE)[0]


def test_roll_backs_are_refused_by_whoever_remembers(made: Ceremony) -> None:
    given, memory = papers(made), dict[str, Any]()
    assert ask(made, given, memory)[0]
    assert ask(made, given, memory)[0]
    assert memory["keyset"]["number"] == 7
    for name, older, said in (
        ("keyset", made.keyset(version=6), "keyset: This is keyset number 6; this gate has seen number 7 already."),
        ("keyset", made.keyset(document={"expiresAt": instant(NOW + DAY)}), "keyset: This is keyset number 7"),
        ("revocations", made.revocations(number=811), "revocations: This is revocations number 811"),
        ("revocations", made.revocations(FIRST), "revocations: This is revocations number 812"),
    ):
        kept = dict(memory)
        assert said in ask(made, {**given, name: canonical(older)}, memory)[1]
        assert memory == kept
    assert ask(made, {**given, "keyset": canonical(made.keyset(version=8))}, memory)[0]
    assert not ask(made, given, memory)[0]


def test_a_ledger_that_was_written_anew_is_noticed_by_whoever_remembers(made: Ceremony) -> None:
    given, memory = papers(made), dict[str, Any]()
    assert ask(made, given, memory)[0]
    made.leaves += ceremony.filler(4, "more")
    grown = {**given, "proof": made.proof(5)}
    assert "/api/v1/ledger/consistency?old=9&new=13" in ask(made, grown, memory)[1]
    assert ask(made, {**grown, "consistency": made.consistency(9, 13)}, memory) == (True, "")
    older = {**given, "proof": made.proof(5, size=9)}
    assert not ask(made, older, memory)[0]
    assert ask(made, {**older, "consistency": made.consistency(9, 13)}, memory)[0]
    assert "\n13\n" in memory["checkpoint"]
    made.leaves[0] = b"{}"
    forged = {**given, "proof": made.proof(5)}
    for more in (b"", made.consistency(9, 13)):
        assert (
            "ledger: Nothing shows that the ledger only grew" in ask(made, {**forged, "consistency": more}, memory)[1]
        )


@pytest.mark.parametrize("name", ["bundle", "keyset", "revocations", "proof"])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b"1" * 5_000,
        b" " * 5_000_000,
    ],
    ids=["empty", "object", "list", "null", "bytes", "deep", "twice", "nan", "long", "large"],
)
def test_what_is_no_document_is_a_no_and_no_traceback(made: Ceremony, name: str, raw: bytes) -> None:
    assert not ask(made, {**papers(made), name: raw})[0]


def test_a_key_that_stands_twice_and_a_number_with_a_point_are_refused_though_signed(made: Ceremony) -> None:
    said = canonical(statement())
    for old, new, sentence in (
        (b'"verdict":"APPROVED"}}', b'"verdict":"APPROVED","verdict":"REJECTED"}}', "a key stands twice"),
        (b'"version":1', b'"version":1.0', "is no whole number"),
        (b'"version":1', b'"version":true', "policy.version is"),
        (b'"reason":""', b'"reason":"\\ud800"', "decision: The decision cannot be read"),
        (b'"reason":""', b'"reason":' + b"[" * 40 + b"]" * 40, "levels deep"),
    ):
        assert (old in said) or old.startswith(b'"verdict"')
        payload = said.replace(old, new) if old in said else said.replace(b'"verdict":"APPROVED"', new[:-2])
        signed = ceremony.envelope(payload, "application/vnd.in-toto+json", made.decider)
        made.leaves = [ceremony.entry(statement(), signed)]
        given = {**papers(Ceremony()), "keyset": canonical(made.keyset()), "revocations": canonical(made.revocations())}
        given |= {"bundle": ceremony.bundle(signed), "proof": made.proof(0)}
        assert sentence in ask(made, given)[1]


def test_a_root_counts_once_however_often_it_signs(made: Ceremony) -> None:
    once = made.keyset(signers=1)
    given = papers(made, keyset=canonical({**once, "signatures": once["signatures"] * 2}))
    assert "1 signed the keyset, not 2" in ask(made, given)[1]
    twice = [read_key(pem(made.roots[0]).encode())] * 3
    assert not ask(made, papers(made), roots=twice)[0]


# --- the one file and its command line -------------------------------------------------------------------------------


@pytest.fixture
def command(made: Ceremony, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the joined file as a deployer does, as of the instant at which the ceremony took place."""
    (tmp_path / "gate.py").write_bytes(standalone.gate_file())
    for name, raw in papers(made).items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "roots.pem").write_text("".join(pem(root) for root in made.roots))
    files = [word for name in ("bundle", "keyset", "revocations", "proof") for word in (f"--{name}", name)]

    def run(*more: str, digest: str = DIGEST) -> subprocess.CompletedProcess[str]:
        question = ["--digest", f"sha256:{digest}", "--environment", "production", "--roots", "roots.pem", *files]
        line = [sys.executable, "-I", "-W", "error", "gate.py", *question, *more]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    return run


AT = ("--at", "2026-11-23T09:00:00Z")


def test_the_one_file_answers_with_exit_code_and_sentences(command: Callable[..., Any], tmp_path: Path) -> None:
    yes = command(*AT)
    assert (yes.returncode, yes.stderr) == (0, "")
    assert yes.stdout.startswith("YES: fraud-scorer@2.1.0 in production until 2026-12-23T09:00:00.000000Z (decision ")
    no = command(*AT, "--json", digest=OTHER_DIGEST)
    answer = json.loads(no.stdout)
    assert (no.returncode, answer["allow"], [each["rule"] for each in answer["reasons"]]) == (1, False, ["digest"])
    late = command("--at", "2027-11-23T09:00:00Z")
    assert late.returncode == 1
    assert "- keyset: The keyset is of" in late.stdout
    assert "  Fetch the newest keyset; look at this machine's clock." in late.stdout


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--at", "tomorrow"), "--at is no instant"),
        ((*AT, "--threshold", "4"), "--threshold is not between 1 and the number of roots"),
        ((*AT, "--threshold", "0"), "--threshold is not between 1"),
        ((*AT, "--quorum", "1"), "--quorum is more than the witnesses"),
        ((*AT, "--state", "state.json"), "--at and --state do not go together"),
        ((*AT, "--proof", "nowhere"), "The gate cannot answer: "),
        ((*AT, "--log", "x+y+z"), "invalid"),
        ((*AT, "--max-list-age", "long"), "invalid"),
        (("--roots", "bundle", *AT), "bundle holds no public key in PEM"),
        (("--roots", "nowhere", *AT), "nowhere cannot be read: "),
    ],
)
def test_wrong_usage_is_2(command: Callable[..., Any], more: tuple[str, ...], sentence: str) -> None:
    ran = command(*more)
    assert (ran.returncode, sentence in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


def test_the_state_is_kept_also_after_a_no_and_a_damaged_one_is_never_passed_over(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    # The ceremony was at another time than this, so that the answer is a no; the keyset is believed all the same.
    assert command("--state", "state.json").returncode == 1
    assert json.loads(state.read_bytes())["keyset"]["number"] == 7
    state.write_text('{"keyset": {"number": 8, "sha256": ""}}')
    assert command("--state", "state.json").returncode == 2
    state.write_text('{"keyset": {"number": 8, "sha256": "%s"}}' % ("0" * 64))
    assert "This is keyset number 7; this gate has seen number 8 already." in command("--state", "state.json").stdout


def test_the_one_file_needs_the_standard_library_and_cryptography_alone() -> None:
    tree = ast.parse(standalone.gate_file())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    outside = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert outside == {"cryptography"}
