"""What a place outside is: somewhere a checkpoint can be brought to, and perhaps be read back from.

One file beside this one for each kind of place. When something is brought where is decided in `audit.copies.queue`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import ClassVar

from audit.models import Checkpoint


class Unreachable(Exception):
    """A place that could not be used just now; the sentence holds neither a secret nor the text of a server."""


class Contradicted(Exception):
    """A place that holds another history than the ledger tells: how, and a stable cause, by which it is told once."""

    def __init__(self, says: str, cause: str) -> None:
        super().__init__(says)
        self.cause = cause


class Place(ABC):
    """Somewhere outside. `name` is kept in rows and shown to everybody, `words` is for auditors; neither is secret."""

    takes_all: ClassVar[bool] = False  # every checkpoint in order, or the newest only
    is_readable: ClassVar[bool] = False
    pause: ClassVar[timedelta] = timedelta(0)  # the least time from one copy to the next
    name: str
    words: str

    @abstractmethod
    def bring(self, checkpoint: Checkpoint) -> None:
        """Bring a checkpoint there; doing it again changes nothing. Raises Unreachable and Contradicted."""

    def newest_size(self) -> int | None:
        """Return the size of the newest checkpoint there, None when there is none or none is read. Raises Unreachable.

        A size beyond the ledger's own means that the ledger was cut off.
        """
        return None

    def newest(self) -> str | None:
        """Return the newest signed checkpoint there, None when there is none or none is read. Raises Unreachable."""
        return None
