#!/usr/bin/env python3
"""A witness for transparency logs: cosigns a log's checkpoints, each only if it continues the one it saw before.

It speaks C2SP tlog-witness and cosignature/v1, and belongs on another host with another owner than the log. It needs
Python 3.11 or newer and the package `cryptography`. Nothing here knows Countersign.

    witness.py keygen --name witness.example/w1 --key w1.key --state w1.state
    witness.py serve --key w1.key --state w1.state --log portal.example/ledger+1a2b3c4d+AbCd… --listen 0.0.0.0:8010
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError:
    sys.exit("This witness needs the Python package cryptography: python3 -m pip install cryptography")

LOG_KEY, COSIGNER_KEY = b"\x01", b"\x04"
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_REQUEST = 64 * 1024
MAX_PROOF = 63
MAX_AT_ONCE = 32
MAX_EVIDENCE = 1000
SECONDS = 30.0
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


class Door(BaseHTTPRequestHandler):
    """HTTP, bounded in size; the server bounds time and number of connections."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Take a checkpoint."""
        length = self.headers.get("Content-Length", "")
        if not self.path.endswith("/add-checkpoint"):
            return self.answer(404, "There is nothing here; POST to /add-checkpoint.")
        if not length.isdigit() or int(length) > MAX_REQUEST or "Transfer-Encoding" in self.headers:
            return self.answer(400, f"Send at most {MAX_REQUEST} bytes and their Content-Length.")
        body = self.rfile.read(int(length))
        try:
            line = self.server.witness.add_checkpoint(body)
        except No as no:
            return self.answer(no.status, no.says, no.media_type)
        except (OSError, ValueError) as error:
            self.log_message("nothing is signed: %r", error)
            return self.answer(500, "The state of this witness cannot be read or written; nothing was signed.")
        return self.answer(200, line.removesuffix("\n"))

    def do_GET(self) -> None:
        """Show what was cosigned last of a log: GET /<hex sha256 of the origin>/checkpoint."""
        for path in map(self.server.witness.store.path, self.server.witness.logs):
            if self.path.endswith(f"/{path.stem}/checkpoint") and path.is_file():
                return self.answer(200, path.read_text(encoding="utf-8").removesuffix("\n"))
        return self.answer(404, "There is no such checkpoint.")

    def answer(self, status: int, line: str, media_type: str = TEXT_TYPE) -> None:
        """Send an answer, and close the connection unless it is a yes."""
        body = f"{line}\n".encode()
        self.close_connection = self.close_connection or status != 200
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *values: Any) -> None:
        """Say what happened on standard error, in one line."""
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {ascii(form % values)[1:-1]}\n")


class Server(ThreadingHTTPServer):
    """A server of one witness, with a limit on connections, and on the time that each of them may take."""

    def __init__(self, listen: tuple[str, int], witness: Witness) -> None:
        super().__init__(listen, Door)
        self.witness = witness
        self.seats = threading.BoundedSemaphore(MAX_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for a free place; whoever keeps one for too long loses it."""
        self.seats.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, and shut it when its time is over."""
        over = threading.Timer(SECONDS, hang_up, [request])
        over.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            over.cancel()
            self.seats.release()


def hang_up(connection: socket.socket) -> None:
    """End a connection, whatever waits for it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def load(path: Path) -> tuple[str, Ed25519PrivateKey]:
    """Return name and key of a key file. Ends the program when it is none."""
    try:
        name, _, encoded = path.read_text().strip().removeprefix("PRIVATE+KEY+").split("+", 2)
        raw = decode(encoded)
        expect(raw[:1] == COSIGNER_KEY, "it is another kind of key")
        return name, Ed25519PrivateKey.from_private_bytes(raw[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"{path} is no key of a witness: {error}")


def keygen(options: argparse.Namespace) -> None:
    """Make a key and the empty state that belongs to it, and print the verifier key."""
    name, private = options.name, Ed25519PrivateKey.generate()
    if not name or "+" in name or any(each.isspace() for each in name):
        sys.exit("A name has neither spaces nor plus signs, such as witness.example/w1.")
    if options.key.exists() or (options.state / "witness").exists():
        sys.exit(f"{options.key} or {options.state} is there already, and is not overwritten.")
    line = vkey(name, COSIGNER_KEY, private.public_key().public_bytes_raw())
    secret = base64.b64encode(COSIGNER_KEY + private.private_bytes_raw()).decode()
    write(options.key, f"PRIVATE+KEY+{name}+{line.split('+')[1]}+{secret}\n".encode(), 0o600)
    options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(options.state / "witness", f"{line}\n".encode())
    sys.stdout.write(f"{line}\n")


def serve(options: argparse.Namespace) -> None:
    """Answer requests until stopped."""
    name, private = load(options.key)
    line = vkey(name, COSIGNER_KEY, private.public_key().public_bytes_raw())
    host, _, port = options.listen.rpartition(":")
    try:
        witness = Witness(name, private, options.log, Store(options.state, line))
        server = Server((host.strip("[]"), int(port)), witness)
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stderr.write(f"{line}\nlistens on {host}:{server.server_port}\n")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def main(arguments: list[str]) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser("witness.py", None, __doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True, metavar="keygen|serve")
    for run in (keygen, serve):
        part = parts.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        part.set_defaults(run=run)
        part.add_argument("--key", type=Path, required=True, metavar="FILE", help="the file of the private key")
        part.add_argument("--state", type=Path, required=True, metavar="DIR", help="the folder with what was seen")
        if run is keygen:
            part.add_argument("--name", required=True, help="what it is called, such as witness.example/w1")
        else:
            part.add_argument("--log", action="append", required=True, metavar="VKEY", help="a log's key; repeatable")
            part.add_argument("--listen", default="127.0.0.1:8010", metavar="HOST:PORT", help="by default %(default)s")
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
