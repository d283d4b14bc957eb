"""A web address as a place: the newest checkpoint is posted to it, signed as the Standard Webhooks 1.0.0 say.

The secret is derived from SECRET_KEY and the address, so it is stored nowhere.
"""

from __future__ import annotations

import time
from datetime import timedelta
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from audit import cosignatures, seal
from audit.copies.place import Place, Unreachable
from audit.models import Checkpoint
from portal import posting, targets
from portal.errors import Refused

PURPOSE = b"countersign checkpoint copies 1 "
SECONDS = 10.0


class Hook(Place):
    """A web address that takes signed posts. It cannot be read back."""

    pause = timedelta(seconds=10)

    def __init__(self, url: str) -> None:
        """Keep an https address. Raises Invalid, without repeating the address: it may be a secret."""
        self.target = targets.read_target(url, is_configured=True)
        self.key = HKDF(hashes.SHA256(), 32, None, PURPOSE + url.encode()).derive(settings.SECRET_KEY.encode())
        self.name = f"https://{self.target.authority}#{sha256(url.encode()).hexdigest()[:8]}"
        self.words = f"webhook at {self.target.authority}"

    @property
    def secret(self) -> str:
        """Return the secret as whoever sets up the receiver needs it."""
        return posting.secret_text(self.key)

    def bring(self, checkpoint: Checkpoint) -> None:
        """Post a checkpoint. The same size has the same id, by which receivers drop doubles."""
        told = {"origin": settings.LEDGER_ORIGIN, "size": checkpoint.size, "checkpoint": checkpoint.note}
        body = seal.canonical({**told, "cosigned": cosignatures.cosigned(checkpoint)})
        signed = posting.signature_headers(self.key, f"checkpoint-{checkpoint.size}", body, seconds=int(time.time()))
        try:
            status = posting.exchange(self.target, posting.request_of(self.target, signed, body), SECONDS)
        except (Refused, OSError, UnicodeError) as error:
            raise Unreachable(f"The connection failed: {type(error).__name__}.") from error
        if not 200 <= status < 300:
            raise Unreachable(f"The receiver answered {status}." if status else "The receiver's answer is no HTTP/1.1.")
