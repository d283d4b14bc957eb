"""A transparency log in memory, for what a witness is told: honest ones and forked ones."""

from __future__ import annotations

import base64
import http.client
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import merkle, notes

ORIGIN = "portal.example/ledger"


@dataclass
class Log:
    """Leaves, and the key that signs over them."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    leaves: list[bytes] = field(default_factory=list)
    origin: str = ORIGIN

    @property
    def vkey(self) -> str:
        return notes.note_key(self.origin, self.key.public_key()).vkey

    def grow(self, count: int, salt: str = "") -> Log:
        self.leaves += [merkle.leaf_hash(f"{salt}{len(self.leaves) + number}".encode()) for number in range(count)]
        return self

    def fork(self, size: int) -> Log:
        return Log(self.key, self.leaves[:size], self.origin).grow(len(self.leaves) - size, "forked")

    def checkpoint(self, size: int | None = None) -> str:
        size = len(self.leaves) if size is None else size
        text = notes.checkpoint_text(notes.Checkpoint(self.origin, size, merkle.root(self.leaves[:size])))
        return notes.sign_note(text, self.origin, self.key)

    def proof(self, old: int, size: int | None = None) -> list[bytes]:
        size = len(self.leaves) if size is None else size
        return merkle.consistency_proof(old, size, merkle.nodes_of(self.leaves)) if old else []

    def request(self, old: int, size: int | None = None, proof: list[bytes] | None = None) -> bytes:
        path = self.proof(old, size) if proof is None else proof
        lines = "".join(f"{base64.b64encode(hash_).decode()}\n" for hash_ in path)
        return f"old {old}\n{lines}\n{self.checkpoint(size)}".encode()


def ask(port: int, body: bytes, path: str = "/add-checkpoint", method: str = "POST") -> tuple[int, str, str]:
    """Return (status, media type, body) of one request to a witness."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()
