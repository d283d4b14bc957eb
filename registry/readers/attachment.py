"""Reads nothing: keeps any document of at most 5 MB as it is, with a preview when it is text.

Two readers stand here, one for licence texts and one for everything that has no format of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.readers.documents import fail
from registry.readers.reading import Reading

MAX_BYTES = 5 * 1024 * 1024
PREVIEW_CHARACTERS = 4000

# Control characters besides tab and line ends: a file that has them is not text, whatever its bytes decode to.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Attachment:
    """The reader of documents that are only kept."""

    slug: str
    title: str
    kind: str
    max_bytes: int = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say yes: every document may be attached."""
        return True

    def read(self, body: bytes) -> Reading:
        """Return the size and, for UTF-8 text, the first 4,000 characters. Raises Invalid when empty or too large."""
        if not body:
            fail("document", "an empty document", "at least one byte")
        if len(body) > self.max_bytes:
            fail("document", f"{len(body):,} bytes", f"at most {self.max_bytes:,} bytes")
        text = _as_text(body)
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/octet-stream" if text is None else "text/plain; charset=utf-8",
            summary={
                "format": "binary" if text is None else "text",
                "size": len(body),
                "preview": (text or "")[:PREVIEW_CHARACTERS],
                "cut": len(text or "") > PREVIEW_CHARACTERS,
            },
        )


def _as_text(body: bytes) -> str | None:
    """Return the body as text, or None when it is not valid UTF-8 text."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


LICENCE_TEXT = Attachment("licence-text", "any document with the text of a licence", "licence-text")
OTHER = Attachment("other", "any document", "other")
