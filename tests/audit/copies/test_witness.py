"""The witness as a program of its own: it signs only what continues what it saw, whatever happens to it."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path

import pytest

from audit import cosignatures, merkle, notes
from portal.errors import Refused
from tests.audit.copies.conftest import Host, run
from tests.audit.copies.logs import ORIGIN, Log, ask


@pytest.fixture
def log() -> Log:
    """Return a log of twenty entries."""
    return Log().grow(20)


@pytest.fixture
def witness(host: Host, log: Log) -> Host:
    """Return a running witness of that log."""
    host.start(log.vkey)
    return host


def signed(host: Host, note: str, line: str) -> bool:
    try:
        cosignatures.verify(line.removesuffix("\n"), cosignatures.parse_witness_key(host.vkey), note)
    except Refused:
        return False
    return True


def test_what_continues_is_cosigned_and_the_line_verifies(witness: Host, log: Log) -> None:
    for old, size in ((0, 7), (7, 7), (7, 8), (8, 20)):
        status, _, line = ask(witness.port, log.request(old, size))
        assert status == 200
        assert line.startswith("— witness.example/w1 ")
        assert signed(witness, log.checkpoint(size), line)
        assert not signed(witness, log.checkpoint(size - 1), line)


def test_a_checkpoint_with_the_line_on_it_is_one_for_readers_who_know_no_witness(witness: Host, log: Log) -> None:
    _, _, line = ask(witness.port, log.request(0))
    cosigned = log.checkpoint() + line
    key = notes.parse_vkey(log.vkey)
    assert notes.parse_checkpoint(notes.open_note(cosigned, [key])).size == 20
    assert ask(witness.port, f"old 20\n\n{cosigned}".encode())[0] == 200


def test_an_old_checkpoint_sent_again_is_refused_with_the_size_that_is_known(witness: Host, log: Log) -> None:
    ask(witness.port, log.request(0, 12))
    for body in (log.request(0, 12), log.request(0, 5), log.request(5, 5), log.request(5, 20)):
        assert ask(witness.port, body) == (409, "text/x.tlog.size", "12\n")


def test_a_forked_log_is_refused_and_what_it_signed_is_kept_as_evidence(witness: Host, log: Log) -> None:
    ask(witness.port, log.request(0, 12))
    fork = log.fork(9)
    assert ask(witness.port, fork.request(12))[0] == 422
    assert ask(witness.port, fork.request(12, 12)) == (409, "text/x.tlog.size", "12\n")
    kept = [path.read_text(encoding="utf-8") for path in (witness.state / "evidence").iterdir()]
    assert sorted(fork.checkpoint(size) in text for size in (12, 20) for text in kept) == [False, False, True, True]
    assert ask(witness.port, log.request(12))[0] == 200


def test_what_anybody_can_send_keeps_no_real_evidence_out(witness: Host, log: Log) -> None:
    ask(witness.port, log.request(0, 12))
    (witness.state / "evidence").mkdir()
    for number in range(1_000):
        (witness.state / "evidence" / f"{number:064x}").touch()
    fork = log.fork(9)
    assert ask(witness.port, fork.request(12, 20))[0] == 422
    assert ask(witness.port, fork.request(12, 12))[0] == 409
    kept = [path.read_text(encoding="utf-8") for path in (witness.state / "evidence").iterdir()]
    assert [text for text in kept if text] == [fork.request(12, 12).decode()]


def test_a_wrong_proof_is_refused(witness: Host, log: Log) -> None:
    ask(witness.port, log.request(0, 6))
    right = log.proof(6)
    wrong: list[list[bytes]] = [
        [],
        right[:-1],
        right[::-1],
        [*right, right[0]],
        [bytes(32), *right[1:]],
        [merkle.EMPTY_ROOT] * 63,
    ]
    for proof in wrong:
        assert ask(witness.port, log.request(6, proof=proof))[0] == 422
    assert ask(witness.port, log.request(6))[0] == 200
    assert ask(witness.port, log.request(20, proof=right))[0] == 422


def test_another_log_and_another_key_are_refused(witness: Host, log: Log) -> None:
    assert ask(witness.port, Log(origin="other.example/log").grow(3).request(0))[0] == 404
    assert ask(witness.port, Log(leaves=log.leaves).request(0))[0] == 403
    forged = log.request(0, 5).replace(b"\n5\n", b"\n6\n")
    assert ask(witness.port, forged)[0] == 403


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "no text": lambda body: b"\xff" + body,
    "no old line": lambda body: body.replace(b"old ", b"alt "),
    "leading zero": lambda body: body.replace(b"old 0", b"old 00"),
    "negative": lambda body: body.replace(b"old 0", b"old -1"),
    "beyond the checkpoint": lambda body: body.replace(b"old 0", b"old 21"),
    "no base64": lambda body: body.replace(b"old 0\n", b"old 0\nno-base64!\n"),
    "a short hash": lambda body: body.replace(b"old 0\n", b"old 0\nAAAA\n"),
    "64 hashes": lambda body: body.replace(b"old 0\n", b"old 0\n" + (b"A" * 43 + b"=\n") * 64),
    "no empty line": lambda body: body.replace(b"\n\n", b"\n"),
    "no last line end": lambda body: body.rstrip(b"\n"),
    "no dash": lambda body: body.replace("—".encode(), b"-"),
    "too long": lambda body: body + b"x" * 70_000,
}


def test_what_is_no_request_is_refused(witness: Host, log: Log) -> None:
    answers = {how: ask(witness.port, spoil(log.request(0)))[0] for how, spoil in SPOILED.items()}
    assert answers == dict.fromkeys(SPOILED, 400)
    assert ask(witness.port, log.request(0))[0] == 200


def test_what_was_cosigned_last_can_be_read(witness: Host, log: Log) -> None:
    address = f"/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint"
    assert ask(witness.port, b"", address, "GET")[0] == 404
    _, _, line = ask(witness.port, log.request(0, 9))
    assert ask(witness.port, b"", address, "GET") == (200, "text/plain; charset=utf-8", log.checkpoint(9) + line)


def test_only_one_of_many_at_once_moves_the_witness(witness: Host, log: Log) -> None:
    """The race of the specification: an answer to an older request must not roll the state back."""
    ask(witness.port, log.request(0, 1))
    bodies = [log.request(1, size) for size in range(2, 18)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: ask(witness.port, body), bodies))
    yes = [size for size, answer in enumerate(answers, 2) if answer[0] == 200]
    assert len(yes) == 1
    assert {answer for answer in answers if answer[0] != 200} == {(409, "text/x.tlog.size", f"{yes[0]}\n")}


def test_a_witness_that_is_killed_never_signs_two_histories(host: Host, log: Log, pytestconfig: pytest.Config) -> None:
    """Killed at any moment: what it cosigned is never beyond what it remembers."""
    log.grow(400)
    host.start(log.vkey)
    rounds, seen, moment = (200 if pytestconfig.getoption("--long") else 8), 0, random.Random(5)
    for _ in range(rounds):
        timer = threading.Timer(moment.uniform(0.0, 0.03), lambda: host.process and host.process.kill())
        timer.start()
        size = seen
        while size < len(log.leaves):
            size += 1
            try:
                status, _, text = ask(host.port, log.request(seen, size))
            except (OSError, HTTPException):
                break
            if status == 409:
                assert seen <= int(text) <= size
                seen = int(text)
            elif status == 200:
                seen = size
        timer.join()
        host.kill()
        host.start(log.vkey)
        status, _, text = ask(host.port, log.fork(0).request(0, 1))
        known = int(text) if status == 409 else 0
        assert known >= seen
        seen = known
    assert seen > 0
    assert ask(host.port, log.fork(0).request(seen, seen + 1 if seen < len(log.leaves) else seen))[0] in {409, 422}


def test_a_state_that_is_lost_or_belongs_to_another_key_is_not_replaced(host: Host, log: Log, tmp_path: Path) -> None:
    key, listen = str(host.folder / "key"), ("--listen", "127.0.0.1:0", "--log", log.vkey)
    lost = run("serve", "--key", key, "--state", str(tmp_path / "nowhere"), *listen)
    assert (lost.returncode, "A lost one is not replaced" in lost.stderr) == (1, True)
    (tmp_path / "second").mkdir()
    other = Host(tmp_path / "second")
    other.keygen()
    mixed = run("serve", "--key", key, "--state", str(other.state), *listen)
    assert (mixed.returncode, "the state of another key" in mixed.stderr) == (1, True)
    again = run("keygen", "--name", "w", "--key", key, "--state", str(tmp_path / "third"))
    assert (again.returncode, "not overwritten" in again.stderr) == (1, True)


def test_two_processes_never_share_a_state(witness: Host, log: Log) -> None:
    key, state = str(witness.folder / "key"), str(witness.state)
    second = run("serve", "--key", key, "--state", state, "--log", log.vkey, "--listen", "127.0.0.1:0")
    assert (second.returncode, "Another witness is running" in second.stderr) == (1, True)


def test_a_damaged_state_signs_nothing(witness: Host, log: Log) -> None:
    ask(witness.port, log.request(0, 5))
    next(witness.state.glob("*.checkpoint")).write_text("nonsense")
    assert ask(witness.port, log.request(5))[0] == 500
    assert ask(witness.port, log.request(0))[0] == 500


def test_idle_connections_do_not_keep_others_out(witness: Host, log: Log) -> None:
    idle = [socket.create_connection(("127.0.0.1", witness.port)) for _ in range(20)]
    try:
        assert ask(witness.port, log.request(0))[0] == 200
    finally:
        for each in idle:
            each.close()


def test_the_key_is_readable_by_its_owner_alone(host: Host) -> None:
    assert (host.folder / "key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in host.vkey
