#!/usr/bin/env python3
"""Checks the evidence bundle it lies in: files, signatures, proofs. Exits with 0 when everything holds, else with 1.

It needs Python 3.11 or newer and the package `cryptography`; no portal and no network. README.txt says what is what.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import functools
import hashlib
import io
import itertools
import json
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
except ImportError:
    sys.exit("This check needs the Python package cryptography: python3 -m pip install cryptography")

STATEMENT = ("https://in-toto.io/Statement/v1", "https://countersign.dev/attestation/promotion-decision/v1")
PROOF = "c2sp.org/tlog-proof@v1"
NO_ENTRY: dict[str, Any] = {"rows": [], "actor": None}
FORMULA = r"\A'(?=[=+\-@\t\r\n＝＋－＠])"
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error)
# For each table: the rows that it retells, the column with their id, whether it retells all, and column by column.
TABLES = {
    "reviews.csv": ("governance_review", "Review", True, {
        "Given": "given_at", "Verdict": "verdict", "Role": "role", "Note": "note", "Dossier digest": "dossier_digest"}),
    "checks.csv": ("governance_checkrun", "Run", True, {
        "Answered": "ended_at", "Check": "check_slug", "Outcome": "outcome", "Says": "says", "Tool": "tool",
        "Tool version": "tool_version", "Input digest": "input_digest"}),
    "decisions.csv": ("governance_decision", "Decision", True, {
        "Decided": "made_at", "Verdict": "verdict", "Environment": "environment", "Reason": "reason",
        "Valid until": "expires_at", "Identity digest": "identity_digest"}),
    "waivers.csv": ("governance_historicalwaiver", "Waiver", False, {
        "Granted": "decided_at", "Rule": "rule", "Environment": "environment", "Expires": "expires_at",
        "Reason": "reason", "Compensating control": "compensating_control"}),
}  # fmt: skip
SHOWS = """This bundle holds.

What this shows: the decisions were signed by the holder of the decision key and are about exactly this identity digest;
entries, rows and documents stood in the ledger when its checkpoint was signed and were not changed since.
What this does not show: that nothing was left out, that the ledger was never written anew (keep checkpoints to see
that), that serving.csv is true and complete, and that what people and tools wrote down is true."""
UNTRUSTED = "The keys came with the bundle. Compare them with what you were given by another way, or use --keys."
decode = functools.partial(base64.b64decode, validate=True)


def tree_hash(*parts: bytes) -> bytes:
    """Return the hash of a leaf, given alone, or of an inner node, given left and right (RFC 6962 §2.1)."""
    return hashlib.sha256((b"\0" if len(parts) == 1 else b"\1") + b"".join(parts)).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root over leaf hashes (RFC 6962 §2.1)."""
    middle = 1 << ((len(leaves) - 1).bit_length() - 1) if len(leaves) > 1 else 0
    return tree_hash(root_of(leaves[:middle]), root_of(leaves[middle:])) if middle else leaves[0]


def includes(index: int, size: int, leaf: bytes, path: list[bytes], root: bytes) -> bool:
    """Return whether the audit path leads from the leaf to the root (RFC 9162 §2.1.3.2)."""
    position, last, folded = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            folded = tree_hash(sibling, folded)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            folded = tree_hash(folded, sibling)
        position, last = position >> 1, last >> 1
    return 0 <= index < size and last == 0 and folded == root


class Bundle:
    """The unpacked bundle, what was found in it, and every fault as one plain sentence."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.manifest = self.read_json("manifest.json")
        self.files, self.identity = self.manifest["files"], self.manifest["identity"]
        found = [serialization.load_pem_public_key(path.read_bytes()) for path in sorted(keys.glob("*.pem"))]
        self.pems = [key for key in found if isinstance(key, ec.EllipticCurvePublicKey)]
        self.vkeys = [line for path in sorted(keys.glob("*.vkey")) for line in path.read_text().splitlines()]
        self.entries, self.rows, self.decisions = dict[str, Any](), dict[str, list[Any]](), dict[str, Any]()

    def read(self, name: str) -> bytes:
        """Return the bytes of one file of the bundle."""
        return (self.folder / name).read_bytes()

    def read_json(self, name: str) -> Any:
        """Return one file of the bundle as JSON."""
        return json.loads(self.read(name))

    def digest(self, name: str) -> str:
        """Return the hex sha256 of one file of the bundle, in constant memory."""
        with (self.folder / name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def named(self, folder: str, ending: str = "") -> list[str]:
        """Return the files that the manifest lists below a folder, in order."""
        return sorted(name for name in self.files if name.startswith(folder) and name.endswith(ending))

    def expect(self, holds: bool, fault: str) -> bool:
        """Note a fault unless something holds, and return whether it does."""
        if not holds:
            self.faults.append(fault)
        return holds


def check_files(bundle: Bundle) -> str:
    """Hold every file against the manifest."""
    here = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*") if not path.is_dir()}
    for name, stated in bundle.files.items():
        if bundle.expect(name in here and not (bundle.folder / name).is_symlink(), f"{name} is missing."):
            seen = bundle.digest(name)
            fault = f"{name} was changed: manifest.json states the sha256 {stated['sha256']}, this file has {seen}."
            bundle.expect(seen == stated["sha256"], fault)
    for name in sorted(here - set(bundle.files) - {"manifest.json"}):
        bundle.expect(False, f"{name} does not belong to the bundle: manifest.json does not name it.")
    return f"{len(bundle.files)} files are here, none more and none less, each with the sha256 in manifest.json."


def check_identity(bundle: Bundle) -> str:
    """Compute the identity digest anew from the record."""
    record = bundle.read_json("record.json")
    own, parts = record["dossier"]["artifact"]["sha256"], record["dossier"]["components"]
    wanted = sorted([part["role"], part["identity"]] for part in parts if part["role"] != "base")
    computed, how = own, "the artifact"
    if wanted:
        composed = bundle.read_json("composition.json")
        seen = sorted([part["role"], part["sha256"]] for part in composed["components"])
        same = seen == wanted and (composed["artifact"] or {"sha256": ""})["sha256"] == own
        bundle.expect(same, "composition.json and record.json name other parts.")
        computed, how = bundle.digest("composition.json"), f"composition.json (parts: {len(wanted)})"
    for where, stated in {"manifest.json": bundle.identity, "record.json": record["identity"]}.items():
        bundle.expect(stated == computed, f"The identity digest in {where} is {stated}; computed it is {computed}.")
    return f"The identity digest is {bundle.identity}, the sha256 of {how}."


def is_signed(bundle: Bundle, envelope: Any) -> bool:
    """Return whether one of the given keys has signed a DSSE envelope with ECDSA and SHA-256."""
    kind, payload = envelope["payloadType"].encode(), decode(envelope["payload"])
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    for key, signature in itertools.product(bundle.pems, envelope["signatures"]):
        with contextlib.suppress(InvalidSignature):
            key.verify(decode(signature["sig"]), message, ec.ECDSA(hashes.SHA256()))
            return True
    return False


def check_decisions(bundle: Bundle) -> str:
    """Check signature, subject and policy of every signed decision."""
    policies = {bundle.digest(name) for name in bundle.named("policies/", ".json")}
    lines = []
    for name in bundle.named("decisions/", ".dsse.json"):
        envelope, twin = bundle.read_json(name), bundle.read_json(name.replace(".dsse.", ".sigstore."))["dsseEnvelope"]
        bundle.expect(twin == envelope, f"{name} and its Sigstore form differ.")
        if not bundle.expect(is_signed(bundle, envelope), f"{name} is not signed by any of the given decision keys."):
            continue
        said = json.loads(decode(envelope["payload"]))
        told, subjects = said["predicate"], [each["digest"].get("sha256") for each in said["subject"]]
        bundle.decisions[told["decisionId"]] = envelope
        right = (said["_type"], said["predicateType"]) == STATEMENT and told["decisionId"] in name
        bundle.expect(right, f"{name} is not the promotion decision of that name.")
        bundle.expect(subjects == [bundle.identity], f"{name} is about {subjects}, not about {bundle.identity}.")
        digest = told["policy"]["digest"]["sha256"]
        bundle.expect(digest in policies, f"{name} was made under the policy {digest}, which is not in policies/.")
        given = [(f"{each['role']} {each['principal']}", each.get("onBehalfOf")) for each in told["approvals"]]
        by = ", ".join(" for ".join(filter(None, each)) for each in given)
        until = f", valid until {told['expiresAt']}" if told["expiresAt"] else ""
        revokes = f", revokes {told['supersedes']}" if told["supersedes"] else ""
        what = f"{told['verdict']} for {told['scope']['environment']} on {told['issuedAt']}"
        lines.append(f"\n       {what}{until}{revokes}; verdicts: {by or 'none'}")
    return f"Decisions that are signed and about this identity digest: {len(lines)}.{''.join(lines)}"


def open_checkpoint(bundle: Bundle) -> tuple[int, bytes]:
    """Return size and root of the checkpoint, once one of the given ledger keys is found to have signed it."""
    text, _, signatures = bundle.read("ledger/checkpoint").decode("utf-8").rpartition("\n\n")
    origin, size, root = text.split("\n")[:3]
    bundle.expect(origin == bundle.manifest["ledger"], f"The checkpoint is one of another ledger: {origin}.")
    for vkey in bundle.vkeys:
        name, _, encoded = vkey.split("+", 2)
        raw = decode(encoded)
        key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        for line in signatures.splitlines():
            signature = decode(line.rpartition(" ")[2])
            if line.startswith(f"— {name} ") and signature[:4] == key_id and raw[:1] == b"\1":
                with contextlib.suppress(InvalidSignature):
                    ed25519.Ed25519PublicKey.from_public_bytes(raw[1:]).verify(signature[4:], f"{text}\n".encode())
                    return int(size), decode(root)
    raise ValueError("The checkpoint is not signed by any of the given ledger keys.")


def check_ledger(bundle: Bundle) -> str:
    """Check the signed checkpoint, and the proof of every entry against it."""
    size, root = open_checkpoint(bundle)
    for name in bundle.named("ledger/entries/"):
        index, body = int(PurePosixPath(name).stem), bundle.read(name)
        head, _, note = bundle.read(f"ledger/proofs/{index}.tlog-proof").decode("utf-8").partition("\n\n")
        form, place, *path = head.split("\n")
        stated = (form, place, note.encode()) == (PROOF, f"index {index}", bundle.read("ledger/checkpoint"))
        holds = stated and includes(index, size, tree_hash(body), [decode(line) for line in path], root)
        if bundle.expect(holds, f"{name} is not entry {index} of the ledger: its proof leads to another checkpoint."):
            bundle.entries[json.loads(body)["eventId"]] = json.loads(body)
    return f"{len(bundle.entries)} entries lie in the ledger of {size} entries, whose checkpoint the ledger key signed."


def check_rows(bundle: Bundle) -> str:
    """Hold every row against the hash by which an entry names it; many rows of one entry are named by one root."""
    groups: dict[tuple[str, str], list[tuple[int, str, bytes]]] = {}
    names = bundle.named("ledger/rows/")
    for name in names:
        _, _, table, key = name[: -len(".json")].split("/")
        body = bundle.read(name)
        row = json.loads(body)
        entry = bundle.entries.get(row["recorded_in"], NO_ENTRY)
        bundle.rows.setdefault(table, []).append({**row, "actor": entry["actor"]})
        if {"table": table, "id": key, "sha256": hashlib.sha256(body).hexdigest()} not in entry["rows"]:
            groups.setdefault((row["recorded_in"], table), []).append((len(key), key, tree_hash(body)))
    for (event, table), found in groups.items():
        group = {"table": table, "count": len(found), "root": root_of([leaf for *_, leaf in sorted(found)]).hex()}
        named, keys = group in bundle.entries.get(event, NO_ENTRY)["rows"], ", ".join(key for _, key, _ in found)
        bundle.expect(named, f"ledger/rows/{table}: {keys} is not what the ledger's entry {event} names.")
    return f"{len(names)} rows of the record are the ones that these entries name by their hash."


def check_evidence(bundle: Bundle) -> str:
    """Hold every document and every decision against the row of the record that names it."""
    rows = {row["sha256"] for row in bundle.rows.get("registry_evidence", [])}
    files = {bundle.digest(name): name for name in bundle.named("evidence/")}
    for digest in sorted(set(files) - rows):
        bundle.expect(False, f"{files[digest]} is not a document that was attached, says the ledger.")
    for digest in sorted(rows - set(files)):
        bundle.expect(False, f"The document with the sha256 {digest} was attached and is not in evidence/.")
    made = {row["public_id"]: row["payload"] for row in bundle.rows.get("governance_decision", [])}
    for key, envelope in bundle.decisions.items():
        same = made.get(key) == decode(envelope["payload"]).hex()
        bundle.expect(same, f"The decision {key} is not the one that was made, says the ledger.")
    return f"Documents and decisions that are the ones the ledger names: {len(files)} and {len(bundle.decisions)}."


def check_tables(bundle: Bundle) -> str:
    """Hold what the tables retell against the rows of the record, and accounts against the entries' actors."""
    for name, (table, id_column, complete, columns) in TABLES.items():
        stored: dict[str, list[Any]] = {}
        for row in bundle.rows.get(table, []):
            stored.setdefault(row["public_id"], []).append(row)
        text = io.StringIO(bundle.read(name).decode("utf-8"), newline="")
        told = {line[id_column]: line for line in csv.DictReader(text)}
        for key, line in told.items():
            # An apostrophe before a formula keeps spreadsheets from running it, and is no part of the text.
            says = {field: re.sub(FORMULA, "", line[column]) for column, field in columns.items()}
            rows = [row for row in stored.get(key, []) if line.get("Account", row["actor"]) == row["actor"]]
            true = any(all((row[field] or "") == text for field, text in says.items()) for row in rows)
            bundle.expect(true, f"{name} says something else about {key} than the ledger.")
        for key in sorted(set(stored) - set(told)) if complete else ():
            bundle.expect(False, f"{name} leaves out {key}.")
    return f"{', '.join(TABLES)} retell rows of the record truly. serving.csv is the portal's own account."


def main() -> int:
    """Run every check, print what each found, and return the exit code."""
    csv.field_size_limit(1 << 30)
    parser = argparse.ArgumentParser(description="Checks the evidence bundle in a folder, without the portal.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--keys", type=Path, help="a folder with public keys that you trust: *.pem and *.vkey")
    options = parser.parse_args()
    try:
        bundle = Bundle(options.folder, options.keys or options.folder / "keys")
    except BROKEN as error:
        sys.exit(f"FAILED The bundle cannot be read: {error}")
    sys.stdout.write(f"Evidence bundle of {bundle.manifest.get('version')}, as of {bundle.manifest.get('as_of')}\n\n")
    for check in (check_files, check_identity, check_decisions, check_ledger, check_rows, check_evidence, check_tables):
        before, said = len(bundle.faults), ""
        try:
            said = check(bundle)
        except BROKEN as error:
            bundle.expect(False, f"{check.__name__[6:].capitalize()} cannot be checked: {error}")
        sys.stdout.write("".join(f"FAILED {fault}\n" for fault in bundle.faults[before:]) or f"ok     {said}\n")
    text = f"This bundle does not hold: {len(bundle.faults)} faults. Do not rely on it."
    sys.stdout.write(f"\n{text if bundle.faults else SHOWS}\n{'' if options.keys else UNTRUSTED}\n")
    return 1 if bundle.faults else 0


if __name__ == "__main__":
    sys.exit(main())
