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
    """One measured value. `direction` says whether higher or lower is better; `n` is the number of samples.

    `slice` names the part of `dataset` that the value is about; an overall value has none.
    """

    category: str
    name: str
    value: Decimal
    unit: str = ""
    direction: str = "higher"
    n: int | None = None
    stderr: Decimal | None = None
    measured_at: datetime | None = None
    dataset: str = ""
    slice: str = ""
    ci_low: Decimal | None = None
    ci_high: Decimal | None = None


@dataclass(frozen=True)
class Named:
    """One part of what an evaluation measured, as its document names it: `what` is "model" or "prompt".

    Any of the digests (hex sha256) identifies the part: a tool may hash a text before or after trimming it.
    """

    what: str
    digests: tuple[str, ...]


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
class Product:
    """One thing that a VEX claim is about, by every name the document gives it: canonical purls, sha256 digests.

    `parts` are the packages inside it that the claim is limited to; None means the whole of it. `link` is a BOM-Link to
    a component of an SBOM that stands elsewhere (CycloneDX, `urn:cdx:serial/version#bom-ref`).
    """

    name: str
    purls: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    parts: tuple[str, ...] | None = None
    link: str = ""


@dataclass(frozen=True)
class Claim:
    """What a VEX document says about one vulnerability in some products: open, fixed or not_affected.

    `vulnerabilities` are its name and its aliases. `justification` is one of OpenVEX's five, always there when the
    status is not_affected and empty otherwise. Of two claims about the same the one stated later counts.
    """

    vulnerabilities: tuple[str, ...]
    products: tuple[Product, ...]
    status: str
    justification: str = ""
    reason: str = ""
    stated_at: datetime | None = None


@dataclass(frozen=True)
class Reading:
    """Everything understood from one document.

    `summary` is JSON-able and holds no float: numbers are texts or whole numbers. `subject_digests` are the sha256
    that the document says it is about. `suggestions` fill empty fields of the registration form, by field name.
    `named` are the parts that an evaluation says it measured; `reports` are the sha256 of other documents that it
    speaks for, as a sidecar does for a tool's own report.
    """

    kind: str
    reader: str
    media_type: str
    summary: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    metrics: tuple[Metric, ...] = ()
    statement: Statement | None = None
    claims: tuple[Claim, ...] = ()
    suggestions: Mapping[str, str | list[str]] = field(default_factory=dict)
    subject_digests: tuple[str, ...] = ()
    author: str = ""
    measured_at: datetime | None = None
    named: tuple[Named, ...] = ()
    reports: tuple[str, ...] = ()


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
