#!/usr/bin/env python3
"""The gate without the portal: may this digest serve here, by a decision that was signed and not taken back since?

It reads files alone: a signed decision, the keyset that the root keys signed, the newest revocation list, and the proof
that the decision stands in the ledger. It needs Python 3.11 or newer and the package `cryptography`; no portal and no
network. What it cannot establish is a no. Exit codes: 0 yes, 1 no with every reason, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit.exports.gatekeeping import SCOPE, Gate, Local
from audit.exports.papers import (
    BROKEN,
    HASH,
    LOG,
    MAX_FILE,
    NAME,
    TIME,
    WITNESS,
    Key,
    fit,
    load,
    read_key,
    read_vkey,
    when,
)

try:
    import fcntl
except ImportError:  # Where there is no such lock, two gates must not share a state file.
    fcntl = None  # type: ignore[assignment]

YES, NO, USAGE = 0, 1, 2
PAPERS = ("bundle", "keyset", "revocations", "proof", "entry", "consistency")
SEEN = {"number": int, "sha256": HASH}


def read_roots(paths: str) -> list[Key]:
    """Return the root keys in PEM files, each once. Raises ArgumentTypeError for what cannot be read, or holds none."""
    end = b"-----END PUBLIC KEY-----"
    keys: dict[str, Key] = {}
    for path in paths.split(","):
        try:
            pems = Path(path).read_bytes().split(end)[:-1]
            found = [read_key(pem + end + b"\n") for pem in pems]
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from error
        if not found:
            raise argparse.ArgumentTypeError(f"{path} holds no public key in PEM; give the roots' public keys")
        keys |= {key.keyid: key for key in found}
    return list(keys.values())


def hours(text: str) -> timedelta:
    """Return a duration such as 90m, 36h or 2d. Raises ValueError."""
    return int(text[:-1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[text[-1]]


def read_paper(path: str) -> bytes:
    """Return a file's bytes, as far as any paper may go."""
    with Path(path).open("rb") as stream:
        return stream.read(MAX_FILE + 1)


@contextlib.contextmanager
def remembered(path: Path | None) -> Iterator[dict[str, Any]]:
    """Give what was seen here before, one gate at a time, and keep what was learned. Raises ValueError when damaged."""
    if path is None:
        yield {}
        return
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        memory = load(path.read_bytes()) if path.exists() else {}
        known = {"keyset": SEEN, "revocations": SEEN, "checkpoint": NAME}
        fit(memory, {name: shape for name, shape in known.items() if name in memory}, "the state")
        yield memory
        fresh = path.with_name(f"{path.name}.new")
        with fresh.open("w", encoding="utf-8") as stream:
            json.dump(memory, stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of a command line. Wrong usage ends with exit code 2."""
    parser = argparse.ArgumentParser("gate", None, __doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digest", required=True, help="the identity digest, sha256:…")
    parser.add_argument("--environment", required=True, help="where it is to serve, such as production")
    for name in SCOPE[1:]:
        parser.add_argument(f"--{name}", help=f"the {name} here, for decisions that are bound to one")
    for name in PAPERS:
        parser.add_argument(f"--{name}", metavar="FILE", required=name in PAPERS[:4])
    parser.add_argument("--roots", required=True, metavar="PEM,…", type=read_roots, help="the root keys you were given")
    parser.add_argument("--threshold", type=int, default=2, help="how many roots must have signed; 2 when not given")
    parser.add_argument("--log", action="append", default=[], type=lambda line: read_vkey(line, LOG), metavar="VKEY")
    parser.add_argument(
        "--witness", action="append", default=[], type=lambda line: read_vkey(line, WITNESS), metavar="VKEY"
    )
    parser.add_argument(
        "--quorum", type=int, default=0, help="how many of the witnesses must have cosigned; all of them"
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="keeps the newest that was seen, to refuse older")
    parser.add_argument("--max-list-age", type=hours, metavar="AGE", help="36h: in place of the list's own end")
    parser.add_argument("--at", metavar="INSTANT", help="ask for another instant; for auditors, not for deployers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    options.digest = options.digest.removeprefix("sha256:")
    wrong = [name for name, holds in {
        "--digest is no sha256 in hex": re.fullmatch(HASH, options.digest),
        "--threshold is not between 1 and the number of roots": 0 < options.threshold <= len(options.roots),
        "--quorum is more than the witnesses": 0 <= options.quorum <= len({key.keyid for key in options.witness}),
        "--at is no instant such as 2026-11-23T09:00:00Z": options.at is None or re.fullmatch(TIME, options.at),
        "--at and --state do not go together": not (options.at and options.state),
    }.items() if not holds]  # fmt: skip
    if wrong:
        parser.error("; ".join(wrong))
    return options


def main(arguments: list[str] | None = None) -> int:
    """Answer one question, print the answer with its reasons, and return the exit code."""
    options = parse(arguments)
    given = vars(options)
    try:
        local = Local(
            digest=options.digest,
            scope={name: given[name] for name in SCOPE if given[name] is not None},
            now=when(options.at) if options.at else datetime.now(UTC),
            roots=options.roots,
            threshold=options.threshold,
            ledgers=options.log,
            witnesses=options.witness,
            quorum=options.quorum,
            max_age=options.max_list_age,
        )
        papers = {name: read_paper(given[name]) for name in PAPERS if given[name]}
        with remembered(options.state) as memory:
            gate = Gate(papers, local, memory)
            allowed = gate.allows()
    except (OSError, *BROKEN) as error:
        sys.stderr.write(f"The gate cannot answer: {error}\n")
        return USAGE
    print_answer(gate, options, allowed)
    return YES if allowed else NO


def print_answer(gate: Gate, options: argparse.Namespace, allowed: bool) -> None:
    """Print a yes with its end, or a no with every reason and what would make it a yes; never a control character."""
    reasons = [{"rule": each.rule, "says": each.says, "fix": each.fix} for each in gate.reasons]
    said = gate.told.get("predicate", {}) if allowed else {}
    told = {
        "allow": allowed,
        "decision": said.get("decisionId"),
        "expires_at": said.get("expiresAt"),
        "reasons": reasons,
    }
    lines = [f"NO: sha256:{gate.local.digest} in {options.environment}, as of {gate.local.now:%Y-%m-%dT%H:%M:%SZ}"]
    if allowed:
        name = gate.told["subject"][0]["name"]
        lines = [f"YES: {name} in {options.environment} until {said['expiresAt']} (decision {said['decisionId']})"]
    for each in reasons:
        lines += [f"- {each['rule']}: {each['says']}", f"  {each['fix']}"]
    for line in [json.dumps(told)] if options.json else lines:
        sys.stdout.write("".join(char if char.isprintable() else "\ufffd" for char in line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
