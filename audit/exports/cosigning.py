"""What a witness signs: a log's checkpoint, if it continues the one that was cosigned last (C2SP tlog-witness).

It reads what it is sent, keeps what it signed, and knows nothing of how it is asked: `polling` and `witness` do.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError:
    sys.exit("This witness needs the Python package cryptography: python3 -m pip install cryptography")

LOG_KEY, COSIGNER_KEY = b"\x01", b"\x04"
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_REQUEST = 64 * 1024
MAX_PROOF = 63
MAX_EVIDENCE = 1000
SIZE_TYPE, TEXT_TYPE = "text/x.tlog.size", "text/plain; charset=utf-8"


class No(Exception):
    """A request that is not answered with a cosignature: status, sentence, and whether to keep it as evidence."""

    def __init__(self, status: int, says: str, *, media_type: str = TEXT_TYPE, keep: bool = False) -> None:
        super().__init__(says)
        self.status, self.says, self.media_type, self.keep = status, says, media_type, keep


class Tree(NamedTuple):
    """What a checkpoint says. `text` is the note's body, which is what gets signed."""

    origin: str
    size: int
    root: bytes
    text: str


def expect(holds: bool, says: str) -> None:
    """Raise ValueError unless something holds."""
    if not holds:
        raise ValueError(says)


def decode(text: str) -> bytes:
    """Return the bytes of strict base64. Raises ValueError."""
    return base64.b64decode(text.encode("ascii"), validate=True)


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """Return the id of a key (signed-note, "Signatures"; tlog-cosignature, "Format")."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def vkey(name: str, kind: bytes, public: bytes) -> str:
    """Return a public key as one line of text."""
    return f"{name}+{key_id(name, kind, public).hex()}+{base64.b64encode(kind + public).decode()}"


def read_vkey(text: str) -> tuple[str, bytes, Ed25519PublicKey]:
    """Return name, id and key of a log, written as name+id+base64. Raises ValueError."""
    name, stated, encoded = [*text.strip().split("+", 2), "", ""][:3]
    raw = decode(encoded)
    holds = raw[:1] == LOG_KEY and len(raw) == 33 and key_id(name, LOG_KEY, raw[1:]).hex() == stated
    expect(holds, f"{text!r} is no Ed25519 verifier key of a log: name+id+base64.")
    return name, bytes.fromhex(stated), Ed25519PublicKey.from_public_bytes(raw[1:])


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def continues(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Return whether the proof shows that the new tree begins with the old one (RFC 9162 section 2.1.4.2)."""
    if old in (0, new):
        return not proof and (old == 0 or old_root == new_root) and (new > 0 or new_root == EMPTY_ROOT)
    if not 0 < old < new or not proof:
        return False
    hashes = list(proof) if old & (old - 1) else [old_root, *proof]
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    older = newer = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and (older, newer) == (old_root, new_root)


def decimal(text: str) -> int:
    """Return a size without leading zeroes. Raises ValueError."""
    plain = text.isascii() and text.isdigit() and (text[0] != "0" or text == "0")
    expect(plain and len(text) <= 18, "a size is a decimal number of at most 18 digits without leading zeroes")
    return int(text)


def read_tree(note: str) -> tuple[Tree, list[tuple[str, bytes]]]:
    """Return what a signed checkpoint says, and its (name, id || signature) pairs. Raises ValueError."""
    text, gap, tail = note.rpartition("\n\n")
    plain = all(ord(each) >= 0x20 or each == "\n" for each in note)
    expect(bool(gap) and tail.endswith("\n") and plain, "a checkpoint is text, an empty line, and signature lines")
    lines = text.split("\n")
    expect(len(lines) >= 3 and all(lines), "a checkpoint begins with origin, size and root")
    origin, size, root = lines[0], decimal(lines[1]), decode(lines[2])
    expect(len(root) == 32, "a root has 32 bytes")
    signatures = []
    for line in tail[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        signatures.append((name, decode(encoded)))
        expect(dash == "—" and len(signatures[-1][1]) > 4, "a signature line is an em dash, a name and base64")
    return Tree(origin, size, root, text + "\n"), signatures


def read_request(body: bytes) -> tuple[int, list[bytes], Tree, list[tuple[str, bytes]], str]:
    """Return old size, proof, tree, signatures and note of a request. Raises No with 400."""
    try:
        head, gap, note = body.decode("utf-8").partition("\n\n")
        first, *lines = head.split("\n")
        expect(bool(gap) and first.startswith("old "), "it is `old <size>`, hashes, an empty line and a checkpoint")
        proof = [decode(line) for line in lines]
        right = len(proof) <= MAX_PROOF and all(len(each) == 32 for each in proof)
        expect(right, f"a proof has at most {MAX_PROOF} hashes of 32 bytes")
        return decimal(first[4:]), proof, *read_tree(note), note
    except ValueError as error:
        raise No(400, f"This request cannot be read: {error}.") from error


class Store:
    """What the witness saw last of each log, one file a log, and what it refused. One process at a time has it."""

    def __init__(self, folder: Path, vkey_line: str) -> None:
        self.folder = folder
        if not (folder / "witness").is_file():
            sys.exit(f"{folder} is no state of a witness. A lost one is not replaced: retire its key, run keygen anew.")
        if (folder / "witness").read_text().strip() != vkey_line:
            sys.exit(f"{folder} is the state of another key. A key without its state may never cosign again.")
        self.lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"Another witness is running on {folder}.")

    def close(self) -> None:
        """Let another process have it."""
        self.lock.close()

    def path(self, origin: str) -> Path:
        """Return the file with what was cosigned last of a log."""
        return self.folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"

    def latest(self, origin: str) -> Tree:
        """Return what was cosigned last, the empty tree at first. A damaged file raises, and nothing is signed."""
        with contextlib.suppress(FileNotFoundError):
            return read_tree(self.path(origin).read_text(encoding="utf-8"))[0]
        return Tree(origin, 0, EMPTY_ROOT, "")

    def accuse(self, tree: Tree, body: bytes, *, is_sure: bool) -> None:
        """Keep a request with a log's signature that contradicts what was seen; a proof that fails may be anybody's."""
        folder = self.folder / "evidence"
        folder.mkdir(exist_ok=True)
        path = folder / hashlib.sha256(tree.text.encode()).hexdigest()
        if is_sure or (not path.exists() and sum(1 for _ in folder.iterdir()) < MAX_EVIDENCE):
            write(path, body)


def write(path: Path, body: bytes, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(body)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


class Witness:
    """The rules of the protocol over a store; one request at a time, so that no answer can roll back another."""

    def __init__(self, name: str, private: Ed25519PrivateKey, logs: Sequence[str], store: Store) -> None:
        self.name, self.private, self.store = name, private, store
        self.key_id = key_id(name, COSIGNER_KEY, private.public_key().public_bytes_raw())
        self.logs, self.turn = dict[str, dict[bytes, Ed25519PublicKey]](), threading.Lock()
        for origin, identifier, public in map(read_vkey, logs):
            self.logs.setdefault(origin, {})[identifier] = public

    def add_checkpoint(self, body: bytes) -> str:
        """Return the cosignature line for a request. Raises No with what the specification says instead."""
        old, proof, tree, signatures, note = read_request(body)
        if tree.origin not in self.logs:
            raise No(404, f"This witness knows no log {tree.origin}.")
        self.expect_signed(tree, signatures)
        if old > tree.size:
            raise No(400, f"The old size {old} is beyond the checkpoint's {tree.size}.")
        with self.turn:
            try:
                self.expect_continued(old, proof, tree)
            except No as no:
                if no.keep:
                    self.store.accuse(tree, body, is_sure=no.status == 409)
                raise
            line = self.cosign(tree)
            write(self.store.path(tree.origin), (note + line).encode())
        return line

    def expect_signed(self, tree: Tree, signatures: Sequence[tuple[str, bytes]]) -> None:
        """Expect a signature by a key of this log. Those of unknown keys are ignored."""
        for name, raw in signatures:
            public = self.logs[tree.origin].get(raw[:4]) if name == tree.origin else None
            if public is not None:
                with contextlib.suppress(InvalidSignature):
                    public.verify(raw[4:], tree.text.encode())
                    return
        raise No(403, f"The checkpoint is not signed by a key of {tree.origin} that this witness trusts.")

    def expect_continued(self, old: int, proof: Sequence[bytes], tree: Tree) -> None:
        """Expect that the tree begins with the one that was cosigned last."""
        seen = self.store.latest(tree.origin)
        same = tree.size == seen.size > 0 and tree.root != seen.root
        if old != seen.size or (same and old == tree.size):
            raise No(409, str(seen.size), media_type=SIZE_TYPE, keep=same)
        if not continues(old, tree.size, proof, seen.root, tree.root):
            says = f"The proof does not show that the tree of {tree.size} begins with the tree of {old} seen before."
            raise No(422, says, keep=True)

    def cosign(self, tree: Tree) -> str:
        """Return the signature line cosignature/v1 of now (tlog-cosignature, "Ed25519 signed message")."""
        at = int(time.time())
        signature = self.private.sign(f"cosignature/v1\ntime {at}\n{tree.text}".encode())
        return f"— {self.name} {base64.b64encode(self.key_id + at.to_bytes(8) + signature).decode()}\n"
