#!/usr/bin/env python3
"""Checks what a portal handed out: an evidence bundle, one decision, one proof. Exits with 0 when it holds, else 1.

It needs Python 3.11 or newer and the package `cryptography`; no portal, no network, nothing of ours. Written from RFC
6962, RFC 9162, DSSE, in-toto, Sigstore bundle and C2SP signed-note, tlog-checkpoint, tlog-proof, tlog-cosignature.
"""

import argparse
import base64
import contextlib
import csv
import fnmatch
import functools
import hashlib
import itertools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
except ImportError:
    sys.exit("This check needs the Python package cryptography: python3 -m pip install cryptography")

STATEMENT = ("https://in-toto.io/Statement/v1", "https://countersign.dev/attestation/promotion-decision/v1")
IN_TOTO, PROOF = "application/vnd.in-toto+json", "c2sp.org/tlog-proof@v1"
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error)
# For each table: the rows that it retells, the column with their id, whether it retells all, and column by column.
TABLES = {
    "reviews.csv": ("governance_review", "Review", True, {"Given": "given_at", "Account": "actor", "Verdict": "verdict",
        "Role": "role", "Note": "note", "Dossier digest": "dossier_digest"}),
    "checks.csv": ("governance_checkrun", "Run", True, {"Answered": "ended_at", "Check": "check_slug", "Says": "says",
        "Outcome": "outcome", "Tool": "tool", "Tool version": "tool_version", "Input digest": "input_digest"}),
    "decisions.csv": ("governance_decision", "Decision", True, {"Decided": "made_at", "Account": "actor",
        "Verdict": "verdict", "Environment": "environment", "Reason": "reason", "Valid until": "expires_at",
        "Identity digest": "identity_digest"}),
    "waivers.csv": ("governance_historicalwaiver", "Waiver", False, {"Granted": "decided_at", "Rule": "rule",
        "Environment": "environment", "Expires": "expires_at", "Reason": "reason",
        "Compensating control": "compensating_control"})}  # fmt: skip
BUNDLE = ["files", "decisions", "ledger", "rows", "evidence", "tables"]
CHECKS = {"version": [*BUNDLE, "identity"], "period": BUNDLE, "decision": ["decisions"], "proof": ["ledger"]}
# For each kind of thing: what holding shows, and what it does not show.
LATER = "stood in the ledger when its checkpoint was signed and were not changed since"
SHOWS = {
    "version": (f"signed decisions about this identity; entries, rows, documents {LATER}", "that nothing was left out"),
    "period": (f"no entry between the first and the last is left out; all {LATER}", "that every named row is here"),
    "decision": ("the holder of a decision key signed exactly this", "that it counts here and now; ask the gate"),
    "proof": (f"what this entry says {LATER}", "what else stands in the ledger"),
}
HOLDS = "This holds.\n\nWhat this shows: {}.\nWhat this does not show: {}{};\n"
TRUTH = "nor whether what people and tools wrote down is true. It shows who said it, and that it was not changed."
UNTRUSTED = "The keys came with it. Compare them with what you were given by another way, or use --keys.\n"
decode = functools.partial(base64.b64decode, validate=True)


def tree_hash(*parts: bytes) -> bytes:
    """Return the hash of a leaf, given alone, or of an inner node, given left and right (RFC 6962 §2.1)."""
    return hashlib.sha256((b"\0" if len(parts) == 1 else b"\1") + b"".join(parts)).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root over leaf hashes (RFC 6962 §2.1)."""
    middle = 1 << ((len(leaves) - 1).bit_length() - 1) if len(leaves) > 1 else 0
    return tree_hash(root_of(leaves[:middle]), root_of(leaves[middle:])) if middle else leaves[0]


def climb(position: int, last: int, path: list[bytes], start: bytes) -> tuple[bytes, bytes]:
    """Return the older and the newer root to which a path leads, empty when it has another length (RFC 9162 §2.1)."""
    older, newer, inner = start, start, (position ^ last).bit_length()
    for level, sibling in enumerate(path):
        is_left = level >= inner or position >> level & 1
        older = tree_hash(sibling, older) if is_left else older
        newer = tree_hash(sibling, newer) if is_left else tree_hash(newer, sibling)
    fits = 0 <= position <= last and len(path) == inner + (position >> inner).bit_count()
    return (older, newer) if fits else (b"", b"")


class Checked:
    """What is checked, by which keys, what was found in it, and every fault as one plain sentence."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.path, self.options, self.folder = options.what, options, options.what.is_dir()
        self.manifest: dict[str, Any] = json.loads((self.path / "manifest.json").read_bytes()) if self.folder else {}
        alone = "proof" if self.path.suffix == ".tlog-proof" else "decision"
        self.kind = ("period" if self.manifest.get("kind") == "period" else "version") if self.folder else alone
        keys = options.keys or self.path / "keys"
        self.pems: list[Any] = [serialization.load_pem_public_key(path.read_bytes()) for path in keys.glob("*.pem")]
        self.vkeys = [line for path in sorted(keys.glob("*.vkey")) for line in path.read_text().splitlines()]
        self.files, self.faults, self.head = dict[str, str](), list[str](), (0, b"", "")
        for path in sorted(self.path.rglob("*") if self.folder else ()):
            name = path.relative_to(self.path).as_posix()
            if path.is_symlink():
                self.files[name] = ""
            elif not path.is_dir():
                with path.open("rb") as stream:
                    self.files[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        self.entries, self.rows, self.decisions = dict[str, Any](), dict[str, list[Any]](), dict[str, str]()

    def expect(self, holds: object, fault: str) -> bool:
        """Note a fault unless something holds, and return whether it does."""
        self.faults += [] if holds else [fault]
        return bool(holds)

    def is_signed(self, envelope: Any) -> bool:
        """Return whether one of the given keys has signed a DSSE envelope with ECDSA."""
        kind, payload = envelope["payloadType"].encode(), decode(envelope["payload"])
        message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        for key, signature in itertools.product(self.pems, envelope["signatures"]):
            with contextlib.suppress(InvalidSignature, AttributeError):  # Only ECDSA keys have a curve.
                hashing = ec.ECDSA(hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA256())
                key.verify(decode(signature["sig"]), message, hashing)
                return True
        return False

    def open(self, note: str) -> tuple[int, bytes, str]:
        """Return size and root of a checkpoint that a given ledger key has signed, and which given witnesses saw it."""
        text, _, signatures = note.rpartition("\n\n")
        log, size, root = text.split("\n")[:3]
        self.expect(log == self.manifest.get("ledger", log), f"The checkpoint is one of another ledger: {log}.")
        signed, seen = False, ""
        for vkey, line in itertools.product(self.vkeys, signatures.split("\n")):
            name, _, encoded = vkey.split("+", 2)
            key, raw = decode(encoded), decode(line.rpartition(" ")[2])
            mark, stamp = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4], int.from_bytes(raw[4:12])
            at, head = {1: (4, ""), 4: (12, f"cosignature/v1\ntime {stamp}\n")}.get(key[0], (0, ""))
            if at and line.startswith(f"— {name} ") and raw[:4] == mark:
                with contextlib.suppress(InvalidSignature):
                    ed25519.Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[at:], f"{head}{text}\n".encode())
                    signed |= not head
                    seen += f" {name} cosigned it on {datetime.fromtimestamp(stamp, UTC)}." if head else ""
        self.expect(signed, "The checkpoint is not signed by any of the given ledger keys.")
        return int(size), decode(root), seen

    def check_files(self) -> str:
        """Hold every file against the manifest."""
        stated = {name: each["sha256"] for name, each in self.manifest["files"].items()}
        for name in sorted({*stated, *self.files} - {"manifest.json"}):
            more, seen = "does not belong to the bundle: manifest.json does not name it", self.files.get(name)
            changed = f"was changed: manifest.json states the sha256 {stated.get(name)}, this file has {seen}"
            fault = more if name not in stated else changed if seen else "is missing"
            self.expect(seen and seen == stated.get(name), f"{name} {fault}.")
        return f"{len(stated)} files are here, none more and none less, each with the sha256 in manifest.json."

    def check_identity(self) -> str:
        """Compute the identity digest anew from the record."""
        record, how = json.loads((self.path / "record.json").read_bytes()), "the artifact"
        computed, parts = record["dossier"]["artifact"]["sha256"], record["dossier"]["components"]
        if wanted := sorted([part["role"], part["identity"]] for part in parts if part["role"] != "base"):
            composed = json.loads((self.path / "composition.json").read_bytes())
            seen = sorted([part["role"], part["sha256"]] for part in composed["components"])
            same = seen == wanted and (composed["artifact"] or {"sha256": ""})["sha256"] == computed
            self.expect(same, "composition.json and record.json name other parts.")
            computed, how = self.files["composition.json"], f"composition.json (parts: {len(wanted)})"
        for name, said in {"manifest.json": self.manifest["identity"], "record.json": record["identity"]}.items():
            self.expect(said == computed, f"The identity digest in {name} is {said}; computed it is {computed}.")
        return f"The identity digest is {computed}, the sha256 of {how}."

    def check_decisions(self) -> str:
        """Check signature, subject and policy of every signed decision, or of the one that was given."""
        held, text = {self.files[name] for name in fnmatch.filter(self.files, "policies/*.json")}, ""
        for file in fnmatch.filter(self.files, "decisions/*.dsse.json") if self.folder else [""]:
            name, both = file or self.path.name, (file, file.replace(".dsse.", ".sigstore."))
            found = [json.loads((self.path / form).read_bytes()) for form in both]
            envelope, twin = (form.get("dsseEnvelope", form) for form in found)
            self.expect(envelope == twin, f"{name} and its Sigstore form differ.")
            if not self.expect(self.is_signed(envelope), f"{name} is not signed by any of the given decision keys."):
                continue
            said = json.loads(decode(envelope["payload"]))
            told, subjects = said["predicate"], [each["digest"].get("sha256") for each in said["subject"]]
            key, policy, about = told["decisionId"], told["policy"]["digest"]["sha256"], ", ".join(map(str, subjects))
            self.decisions[key] = decode(envelope["payload"]).hex()
            right = (envelope["payloadType"], said["_type"], said["predicateType"]) == (IN_TOTO, *STATEMENT)
            self.expect(right and key in (file or key), f"{name} is not the promotion decision of that name.")
            due = self.manifest["identity"] if self.kind == "version" else about
            self.expect(self.kind != "version" or subjects == [due], f"{name} is about {about}, not about {due}.")
            self.expect(policy in held or not self.folder, f"{name} applies {policy}, which is not in policies/.")
            given = [(f"{each['role']} {each['principal']}", each.get("onBehalfOf")) for each in told["approvals"]]
            by = ", ".join(" for ".join(filter(None, each)) for each in given)
            until, revoked = told["expiresAt"] or "further notice", told["supersedes"] or "nothing"
            text += f"\n       {told['verdict']} for {told['scope']['environment']} on {told['issuedAt']},"
            text += f" about {about}, valid until {until}, revokes {revoked}; verdicts: {by or 'none'}"
        return f"Decisions that are signed by a given key: {len(self.decisions)}.{text}"

    def check_ledger(self) -> str:
        """Check the signed checkpoint, and the proof of every entry, or of the one that was given, against it."""
        text = (self.path / ("ledger/checkpoint" if self.folder else "")).read_bytes().decode()
        note = text if self.folder else text.partition("\n\n")[2]
        size, root, seen = self.head = self.open(note)
        for name in fnmatch.filter(self.files, "ledger/entries/*") if self.folder else [""]:
            proof = self.path / (f"ledger/proofs/{PurePosixPath(name).stem}.tlog-proof" if name else "")
            head, _, under = proof.read_bytes().decode().partition("\n\n")
            form, *lines = head.split("\n")
            carried = decode(lines.pop(0)[6:]) if lines[0].startswith("extra ") else b""
            entry = self.path / name if name else self.options.entry
            body, index = entry.read_bytes() if entry else carried, int(lines[0].removeprefix("index "))
            same = (form, under) == (PROOF, note) and name in ("", f"ledger/entries/{index}.json")
            leads = climb(index, size - 1, [decode(line) for line in lines[1:]], tree_hash(body))[1] == root
            fault = f"{name or 'This'} is not entry {index} of the ledger: its proof leads to another checkpoint."
            if self.expect(same and leads, fault):
                self.entries[json.loads(body)["eventId"]] = json.loads(body)
        due = range(*(self.manifest["entries"][each] for each in ("first", "end"))) if self.kind == "period" else ()
        lost = [index for index in due if f"ledger/entries/{index}.json" not in self.files][:10]
        self.faults += [f"Entry {index} of the ledger was left out." for index in lost]
        seen += "" if self.folder else f"\n       {json.dumps(self.entries)}"
        return f"Entries that lie in the ledger of size {size}, whose checkpoint is signed: {len(self.entries)}.{seen}"

    def check_growth(self) -> str:
        """Hold the checkpoint against the older one that was kept, by a proof of consistency (RFC 9162 §2.1.4.2)."""
        (old, old_root, _), (new, root, _) = sorted((self.open(self.options.checkpoint.read_text("utf-8")), self.head))
        given = self.options.consistency
        lines = given.read_text().partition("\n\n")[0].split()[2:] if given else []
        path = [decode(line) for line in lines] if old & (old - 1) else [old_root, *map(decode, lines)]
        where = f"ask the portal for /api/v1/ledger/consistency?old={old}&new={new} and give it as --consistency"
        shift = max(0, (old & -old).bit_length() - 1)
        grew = lines and climb((old - 1) >> shift, (new - 1) >> shift, path[1:], path[0]) == (old_root, root)
        grew = grew if old < new else old_root == root
        self.expect(grew, f"Nothing shows that the ledger only grew from {old} to {new} entries; {where}.")
        return f"The ledger of {new} entries begins with the ledger of {old} entries."

    def check_rows(self) -> str:
        """Hold every row against the hash by which an entry names it; many rows of one entry are named by one root."""
        groups: dict[tuple[str, str], list[tuple[int, str, bytes]]] = {}
        for name in fnmatch.filter(self.files, "ledger/rows/*"):
            table, key = name.removesuffix(".json").split("/")[2:]
            row = json.loads(body := (self.path / name).read_bytes())
            entry = self.entries.get(row["recorded_in"], {})
            self.rows.setdefault(table, []).append({**row, "actor": entry.get("actor")})
            if {"table": table, "id": key, "sha256": self.files[name]} not in entry.get("rows", []):
                groups.setdefault((row["recorded_in"], table), []).append((len(key), key, tree_hash(body)))
        for (event, table), found in groups.items():
            group = {"table": table, "count": len(found), "root": root_of([leaf for *_, leaf in sorted(found)]).hex()}
            named, keys = self.entries.get(event, {}).get("rows", []), ", ".join(key for _, key, _ in found)
            self.expect(group in named, f"ledger/rows/{table}: {keys} is not what the ledger's entry {event} names.")
        return f"Rows that are what these entries name by their hash: {sum(map(len, self.rows.values()))}."

    def check_evidence(self) -> str:
        """Hold every document and every decision against the row of the record that names it."""
        rows = {row["sha256"] for row in self.rows.get("registry_evidence", []) if self.kind == "version"}
        files = {self.files[name]: name for name in fnmatch.filter(self.files, "evidence/*")}
        self.faults += [f"The document {key} was attached and is not in evidence/." for key in sorted(rows - {*files})]
        more = [name for digest, name in files.items() if digest not in rows]
        self.faults += [f"{name} is not a document that was attached, says the ledger." for name in more]
        made = {row["public_id"]: row["payload"] for row in self.rows.get("governance_decision", [])}
        other = sorted(self.decisions.items() - made.items())
        self.faults += [f"The decision {key} is not the one that was made, says the ledger." for key, _ in other]
        return f"Documents and decisions that are the ones the ledger names: {len(files)} and {len(self.decisions)}."

    def check_tables(self) -> str:
        """Hold what the tables retell against the rows of the record, and accounts against the entries' actors."""
        since, until = self.manifest.get("since", ""), self.manifest.get("until", "~")
        for name, (table, id_column, complete, columns) in TABLES.items():
            rows, (at, *_) = self.rows.get(table, []), columns.values()
            cells = [(row["public_id"], *(row[field] or "" for field in columns.values())) for row in rows]
            # An apostrophe keeps spreadsheets from running what looks like a formula, and is no part of the text.
            own = {tuple("'" * each.startswith(FORMULA) + each for each in line) for line in cells}
            with (self.path / name).open(encoding="utf-8", newline="") as text:
                told = {(line[id_column], *(line[column] for column in columns)) for line in csv.DictReader(text)}
            due = {row["public_id"] for row in rows if complete and since <= row[at] < until}
            self.faults += [f"{name} says something else about {key} than the rows." for key, *_ in sorted(told - own)]
            self.faults += [f"{name} leaves out {key}." for key in sorted(due - {key for key, *_ in told})]
        return f"{', '.join(TABLES)} retell rows of the record truly. Others, such as serving.csv, are not checked."


def main() -> int:
    """Run every check, print what each found, and return the exit code."""
    csv.field_size_limit(1 << 30)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="folder or file")
    parser.add_argument("--keys", type=Path, help="a folder of keys that you trust: *.pem and *.vkey, of witnesses too")
    parser.add_argument("--entry", type=Path, help="the entry that a .tlog-proof is about, unless the proof carries it")
    parser.add_argument("--checkpoint", type=Path, help="an older one that you kept: was the ledger written anew?")
    parser.add_argument("--consistency", type=Path, help="the proof that leads from that checkpoint to this one")
    options = parser.parse_args()
    try:
        it = Checked(options)
    except BROKEN as error:
        sys.exit(f"FAILED The bundle cannot be read: {error}")
    about = it.manifest.get("version") or f"{it.manifest.get('since')} until {it.manifest.get('until')}"
    sys.stdout.write(f"Evidence bundle of {about}, as of {it.manifest.get('as_of')}\n\n" if it.folder else "")
    for name in CHECKS[it.kind] + ["growth"] * bool(options.checkpoint and it.kind != "decision"):
        before, said = len(it.faults), ""
        try:
            said = getattr(it, f"check_{name}")()
        except BROKEN as error:
            it.expect(False, f"{name.capitalize()} cannot be checked: {error}")
        sys.stdout.write("".join(f"FAILED {fault}\n" for fault in it.faults[before:]) or f"ok     {said}\n")
    kept = "" if options.checkpoint else ", that the ledger was never written anew (give a --checkpoint you kept)"
    lost = f"This does not hold: {len(it.faults)} fault{'s'[: len(it.faults) - 1]}. Do not rely on it."
    text = lost if it.faults else HOLDS.format(*SHOWS[it.kind], kept) + TRUTH
    sys.stdout.write(f"\n{text}\n{'' if options.keys else UNTRUSTED}")
    return 1 if it.faults else 0


if __name__ == "__main__":
    sys.exit(main())
