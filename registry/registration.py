"""What a registration request looks like: the whole record of a version with its evidence, in one document.

Shape and bounds only. What it means stands in `intake`; whether it is complete stands in `completeness`.
"""

from __future__ import annotations

import base64
import binascii
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from registry.models.assets import SEMVER

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$")]
Semver = Annotated[str, StringConstraints(pattern=SEMVER.replace(r"\A", "^").replace(r"\Z", "$"), max_length=64)]
Line = Annotated[str, StringConstraints(max_length=1000)]
Text = Annotated[str, StringConstraints(max_length=4000)]
MAX_EVIDENCE = 40


class Part(BaseModel):
    """Base of all parts: unknown fields are refused, because a typing error must not lose a fact."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @field_validator("*", mode="before")
    @classmethod
    def refuse_nul(cls, value: Any) -> Any:
        """Refuse NUL, which PostgreSQL cannot keep."""
        if isinstance(value, str) and "\x00" in value:
            raise ValueError("holds a NUL character; expected text without one")
        return value


class AssetPart(Part):
    """The asset. Everything but its name is needed only the first time."""

    name: Slug
    kind: Literal["model", "adapter", "prompt", "bundle"] | None = None
    description: Text = ""
    team: Slug | None = None
    owner: Slug | None = None
    backup_owner: Slug | None = None
    escalation_contact: Annotated[str, StringConstraints(max_length=254)] = ""


class ArtifactPart(Part):
    """The bytes: their digest, size in bytes, place and format."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0, le=2**50, strict=True)]
    uri: Line
    format: Annotated[str, StringConstraints(max_length=40)]


class SourcePart(Part):
    """Where the bytes were built from."""

    repository: Annotated[str, StringConstraints(max_length=500)] = ""
    commit: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")] = ""
    build_id: Annotated[str, StringConstraints(max_length=200)] = ""
    lockfile_sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""


class RiskPart(Part):
    """The security risk rating with its reasons."""

    rating: Literal["low", "medium", "high", "critical"]
    rationale: Text = ""
    mitigations: Text = ""


class VersionPart(Part):
    """The version's own facts."""

    number: Semver
    artifact: ArtifactPart | None = None
    source: SourcePart = SourcePart()
    finetune_method: Literal[
        "", "none", "full", "lora", "qlora", "prefix", "distillation", "preference", "merge", "quantisation", "prompt"
    ] = ""
    licence: Annotated[str, StringConstraints(max_length=200)] = ""
    allowed_uses: Text = ""
    prohibited_uses: Text = ""
    risk: RiskPart | None = None
    authors: Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(max_length=50)] = []
    release_notes: Annotated[str, StringConstraints(max_length=20000)] = ""


class ComponentPart(Part):
    """An edge to a registered version, written asset@number."""

    role: Literal["base", "adapter", "prompt", "tokenizer", "member"]
    version: Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]{1,64}$")]


class DatasetPart(Part):
    """A data set and what it was used for, over records of [from, to)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    uri: Line
    sha256: Sha256
    licence: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    personal_data: Annotated[bool, Field(strict=True)]
    purpose: Literal["train", "fine-tune", "evaluate"]
    window_from: Annotated[date, Field(alias="from")]
    window_to: Annotated[date, Field(alias="to")]


class EvidencePart(Part):
    """One document, its exact bytes in base64 so that its digest survives."""

    kind: Literal["sbom", "provenance", "evaluation", "vex", "model-card", "licence-text", "other"]
    filename: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    content_base64: Annotated[str, StringConstraints(max_length=30_000_000)]
    identity_digest: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""

    def body(self) -> bytes:
        """Return the document's bytes. Raises ValueError when they are not base64."""
        try:
            return base64.b64decode(self.content_base64, validate=True)
        except binascii.Error as error:
            raise ValueError(f"content_base64 of {self.filename} is not base64: {error}") from error


class Registration(Part):
    """One whole registration."""

    asset: AssetPart
    version: VersionPart
    components: Annotated[list[ComponentPart], Field(max_length=100)] = []
    datasets: Annotated[list[DatasetPart], Field(max_length=100)] = []
    evidence: Annotated[list[EvidencePart], Field(max_length=MAX_EVIDENCE)] = []
