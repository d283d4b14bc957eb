"""A mailbox as a place: the newest checkpoint once a day at most, in the mail itself and attached to it.

A mailbox that nobody here can empty is the cheapest copy of all.
"""

from __future__ import annotations

import smtplib
from datetime import timedelta
from hashlib import sha256
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage

from audit import cosignatures
from audit.copies.place import Place, Unreachable
from audit.models import Checkpoint

TEXT = """This is the newest checkpoint of the ledger {origin}, of {size} entries.

Keep it. With it, anybody can see later whether an entry that was sealed until now was changed, moved or removed:

    manage.py verify_ledger --checkpoint FILE

{note}"""


class Mailbox(Place):
    """A mailbox of auditors. It cannot be read back."""

    pause = timedelta(days=1)

    def __init__(self, address: str) -> None:
        self.address = address
        host = address.rpartition("@")[2]
        self.name = f"mailto:{host}#{sha256(address.encode()).hexdigest()[:8]}"
        self.words = f"mail to {address}, once a day"

    def bring(self, checkpoint: Checkpoint) -> None:
        """Mail a checkpoint. The same size has the same Message-ID, by which mail systems drop doubles."""
        note, size = cosignatures.cosigned(checkpoint), checkpoint.size
        text = TEXT.format(origin=settings.LEDGER_ORIGIN, size=f"{size:,}", note=note)
        host = urlsplit(settings.PORTAL_URL).hostname or "localhost"
        digest = sha256(f"{checkpoint.note}{self.address}".encode()).hexdigest()[:32]
        headers = {"Message-ID": f"<checkpoint-{digest}@{host}>", "Auto-Submitted": "auto-generated"}
        subject = f"Checkpoint of {size:,} entries: {settings.LEDGER_ORIGIN}"
        mail = EmailMessage(subject, text, to=[self.address], headers=headers)
        mail.attach(f"checkpoint-{size}.txt", note, "text/plain")
        try:
            mail.send()
        except smtplib.SMTPResponseException as error:
            raise Unreachable(f"The mail server answered {error.smtp_code}.") from error
        except (OSError, ValueError) as error:
            raise Unreachable(f"The mail could not be sent: {type(error).__name__}.") from error
