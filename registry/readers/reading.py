"""What a reader is and what it hands back. Nothing here knows a format, a model or a request.

A `Reading` is everything the portal understood from one document. It is made of plain immutable values, so that the
same bytes always give the same reading, and every text in it can be stored by PostgreSQL (no NUL, no lone surrogate).
Texts are kept as they were written, `=cmd()` included: escaping belongs to whoever shows or exports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol


@dataclass(frozen=True)
class Part:
    """One component named by an SBOM. `purl` is canonical, empty when the SBOM does not identify the component."""

    type: str
    name: str
    version: str = ""
    purl: str = ""
    purl_type: str = ""
    purl_name: str = ""
    licences: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """One measured value. `direction` says whether higher or lower is better; `n` is the number of samples."""

    category: str
    name: str
    value: Decimal
    unit: str = ""
    direction: str = "higher"
    n: int | None = None
    stderr: Decimal | None = None
    measured_at: datetime | None = None


@dataclass(frozen=True)
class Material:
    """One resolved dependency of a build: where it came from and its digests by algorithm, in lower-case hex."""

    uri: str
    name: str
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Statement:
    """One in-toto statement, with the envelope and the signed bytes that the provenance check needs.

    `subjects` and `resources` are (name, sha256) pairs; `resources` is empty unless the predicate is OpenSSF
    model-signing. `signatures` are (keyid, signature bytes) pairs, in order; the keyid is only a hint.
    Nothing in here has been verified.
    """

    subjects: tuple[tuple[str, str], ...]
    predicate_type: str
    predicate: Mapping[str, Any]
    envelope: Mapping[str, Any]
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    builder_id: str = ""
    build_type: str = ""
    source_uri: str = ""
    source_commit: str = ""
    materials: tuple[Material, ...] = ()
    resources: tuple[tuple[str, str], ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    invocation_id: str = ""
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Everything understood from one document.

    `summary` is JSON-able and holds no float: numbers are texts or whole numbers. `subject_digests` are the sha256
    that the document says it is about. `suggestions` fill empty fields of the registration form, by field name.
    """

    kind: str
    reader: str
    media_type: str
    summary: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    metrics: tuple[Metric, ...] = ()
    statement: Statement | None = None
    suggestions: Mapping[str, str | list[str]] = field(default_factory=dict)
    subject_digests: tuple[str, ...] = ()
    author: str = ""
    measured_at: datetime | None = None


class Reader(Protocol):
    """Reads one format of one kind of evidence."""

    @property
    def slug(self) -> str:
        """Return the short name that rows and pages keep."""

    @property
    def title(self) -> str:
        """Return the name of the format, as sentences say it."""

    @property
    def kind(self) -> str:
        """Return the kind of evidence that the format is."""

    @property
    def max_bytes(self) -> int:
        """Return the size of the largest body that is read."""

    def recognises(self, body: bytes) -> bool:
        """Say cheaply, without parsing, whether the body looks like this format."""

    def read(self, body: bytes) -> Reading:
        """Return what the document says. Raises portal.errors.Invalid, and nothing else, for any bytes."""
