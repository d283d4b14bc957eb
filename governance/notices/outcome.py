"""What came of one attempt to deliver, in words that hold no content: no text of a server, no address, no secret."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How an attempt went. `says` is kept in the delivery log.

    `is_lasting`: trying again would be of no use. `is_shut`: the whole door seems closed, so that this run does not
    try it again for other notices. `is_unwanted`: nobody wants this any more, so nothing was tried.
    """

    worked: bool
    says: str
    is_lasting: bool = False
    is_shut: bool = False
    is_unwanted: bool = False


UNWANTED = Outcome(False, "Not wanted any more.", is_unwanted=True)
