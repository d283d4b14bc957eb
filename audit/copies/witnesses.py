"""A witness as a place: a program of another owner that cosigns checkpoints (C2SP tlog-witness, add-checkpoint).

It is asked with the size it saw last and the proof that the tree only grew since. What it answers is checked and kept.
A witness never signs two histories, so one that saw a larger or another tree tells that this ledger was rewritten.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from hashlib import sha256

from django.conf import settings
from django.db import IntegrityError, transaction

from audit import cosignatures, merkle
from audit.copies.place import Contradicted, Place, Unreachable
from audit.cosignatures import WitnessKey
from audit.models import Checkpoint, Cosignature
from audit.tiles import StoredTree
from portal import posting, targets
from portal.errors import Refused

SECONDS = 10.0
MOST = 64 * 1024
SIZE = re.compile(rb"(0|[1-9][0-9]{0,17})\n")
SIZE_TYPE = "text/x.tlog.size"
# To hear which size a witness knows takes one question more; a witness that moves on meanwhile is asked once again.
MOST_QUESTIONS = 3
REFUSALS = {
    400: "The witness could not read the request (400).",
    403: "The witness trusts no key that signed this checkpoint (403); give it the ledger's verifier key.",
    404: "The witness does not know this ledger (404); give it the ledger's verifier key.",
}


class Witness(Place):
    """A witness. Ours can be read back as well: they show what they cosigned last."""

    is_readable = True

    def __init__(self, key: WitnessKey, url: str) -> None:
        """Keep a key and the address before `/add-checkpoint`. Raises Invalid for an address that cannot be."""
        self.key = key
        self.target = targets.read_target(url.rstrip("/"), is_configured=True)
        self.name = f"witness:{key.name}"
        self.words = f"witness {key.name} at {self.target.authority}"

    def bring(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint cosigned, and keep the cosignature."""
        last = Cosignature.objects.filter(witness=self.key.name).first()
        if last is not None and last.size >= checkpoint.size:
            self._expect_reached(last.size)
            return
        old = last.size if last is not None else 0
        for _ in range(MOST_QUESTIONS):
            answer = self._ask(old, checkpoint)
            if answer.status == 200:
                self._keep(answer.body, checkpoint)
                return
            if answer.status != 409:
                self._refused(answer, old)
            seen = self._size_seen(answer)
            self._expect_within(seen, old, checkpoint)
            old = seen
        raise Unreachable("The witness names another size at every question.")

    def newest(self) -> str | None:
        """Return the checkpoint that the witness cosigned last, None when it shows none."""
        origin = sha256(settings.LEDGER_ORIGIN.encode()).hexdigest()
        answer = self._send("GET", f"/{origin}/checkpoint", b"")
        return answer.body.decode("utf-8", "replace") if answer.status == 200 else None

    def _ask(self, old: int, checkpoint: Checkpoint) -> posting.Answer:
        """Send one request to cosign."""
        size = checkpoint.size
        path = merkle.consistency_proof(old, size, StoredTree(size).node) if old else []
        proof = "".join(f"{base64.b64encode(hash_).decode()}\n" for hash_ in path)
        return self._send("POST", "/add-checkpoint", f"old {old}\n{proof}\n{checkpoint.note}".encode())

    def _send(self, method: str, path: str, body: bytes) -> posting.Answer:
        """Send one request and return the answer. Raises Unreachable."""
        target = replace(self.target, path=self.target.path.rstrip("/") + path)
        request = posting.request_of(target, {}, body, method=method, media_type="text/plain; charset=utf-8")
        try:
            return posting.fetch(target, request, SECONDS, MOST)
        except (Refused, OSError, UnicodeError) as error:
            raise Unreachable(f"The connection failed: {type(error).__name__}.") from error

    def _size_seen(self, answer: posting.Answer) -> int:
        """Return the size that a witness says it saw last."""
        found = SIZE.fullmatch(answer.body)
        if answer.media_type != SIZE_TYPE or found is None:
            raise Unreachable("The witness refused (409) without a size.")
        return int(found[1])

    def _expect_within(self, seen: int, old: int, checkpoint: Checkpoint) -> None:
        """Expect that the size a witness saw is one that this ledger had. Raises Contradicted."""
        self._expect_reached(seen)
        if seen > checkpoint.size:
            raise Unreachable("The witness was quicker; it is asked about the newest checkpoint next.")
        if seen == old == checkpoint.size:
            raise Contradicted(f"it saw other entries among the first {seen}", f"other {seen}")

    def _expect_reached(self, seen: int) -> None:
        """Expect that this ledger has as many entries as a witness saw. Raises Contradicted: it was cut off."""
        newest = Checkpoint.objects.first()
        if newest is None or seen > newest.size:
            has = newest.size if newest else 0
            raise Contradicted(f"it saw {seen} entries, and this ledger has {has}", f"ahead {seen}")

    def _refused(self, answer: posting.Answer, old: int) -> None:
        """Say what a refusal means. Raises Contradicted where it means another history, else Unreachable."""
        if answer.status == 422:
            raise Contradicted(f"the {old} entries it saw are not the first {old} of this ledger", f"other {old}")
        raise Unreachable(REFUSALS.get(answer.status, f"The witness answered {answer.status}."))

    def _keep(self, body: bytes, checkpoint: Checkpoint) -> None:
        """Keep the line by this witness. Lines by others are ignored. Raises Unreachable without one that fits."""
        for line in body.decode("utf-8", "replace").split("\n"):
            try:
                cosignatures.verify(line, self.key, checkpoint.note)
            except Refused:
                continue
            # Another worker may have asked about the same checkpoint: one line is enough.
            try:
                with transaction.atomic():
                    Cosignature(size=checkpoint.size, witness=self.key.name, line=line).save()
            except IntegrityError:
                return
            return
        raise Unreachable(f"The witness answered without a cosignature by {self.key.name}.")
