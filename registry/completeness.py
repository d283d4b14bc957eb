"""What a version's record must say before it can be nominated: one rule for the form's meter and the check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from license_expression import ExpressionError, get_spdx_licensing

from portal.errors import Fault, Invalid, show
from registry import storage
from registry.models import Version

SPDX = get_spdx_licensing()

# section of the form -> the fields that must be filled there
REQUIRED: dict[str, tuple[str, ...]] = {
    "artifact": ("artifact_sha256", "artifact_size", "storage_uri", "format"),
    "source": ("source_repository", "source_commit", "build_id", "lockfile_sha256", "finetune_method"),
    "licence": ("licence", "allowed_uses", "prohibited_uses"),
    "risk": ("risk", "risk_rationale", "mitigations"),
    "people": ("authors",),
    "notes": ("release_notes",),
}
NEEDS_BASE = {"full", "lora", "qlora", "prefix", "distillation", "preference", "merge", "quantisation"}


@dataclass(frozen=True)
class Completeness:
    """How much of the required record is there, and what is missing or wrong."""

    filled: int
    total: int
    faults: tuple[Fault, ...]

    @property
    def percent(self) -> int:
        """Return the share of requirements that are met, 100 only when all are."""
        return self.filled * 100 // self.total

    @property
    def is_complete(self) -> bool:
        """Return whether nothing is missing."""
        return not self.faults


def measure(version: Version) -> Completeness:
    """Return the completeness of one version's record."""
    faults: list[Fault] = []
    total = 0
    for section, fields in REQUIRED.items():
        for name in fields:
            if is_exempt(version, section):
                continue
            total += 1
            faults += check_field(version, name)
    for found in (check_components(version), check_datasets(version), check_people(version)):
        total += 1
        faults += found[:1]
    return Completeness(filled=total - len(faults), total=total, faults=tuple(faults))


def is_exempt(version: Version, section: str) -> bool:
    """Return whether a section asks nothing: a bundle without an artifact of its own is its composition."""
    return section == "artifact" and version.asset.kind == "bundle" and not version.artifact_sha256


def check_field(version: Version, name: str) -> list[Fault]:
    """Return what is wrong with one required field."""
    field = Version._meta.get_field(name)
    value = getattr(version, name)
    if value in (None, "", []):
        return [Fault(name, "nothing", describe(field))]
    if name == "licence":
        return check_licence(value)
    if name == "storage_uri":
        return check_uri(value)
    try:
        field.clean(value, version)  # type: ignore[union-attr]
    except ValidationError as error:
        return [Fault(name, show(value), " ".join(error.messages))]
    return []


def describe(field: Any) -> str:
    """Return what a field is for, as the end of a sentence."""
    hint = str(field.help_text).rstrip(".")
    return f"the {field.verbose_name}" + (f" ({hint[0].lower()}{hint[1:]})" if hint else "")


def check_licence(expression: str) -> list[Fault]:
    """Return a fault unless the licence is an SPDX expression or a LicenseRef."""
    known = " ".join(
        "MIT" if word.startswith("LicenseRef-") else word
        for word in expression.replace("(", " ( ").replace(")", " ) ").split()
    )
    try:
        SPDX.parse(known, validate=True)
    except ExpressionError as error:
        return [Fault("licence", show(expression), f"an SPDX licence expression or LicenseRef-… ({error})")]
    return []


def check_uri(uri: str) -> list[Fault]:
    """Return a fault unless the storage URI has a known scheme and shape."""
    try:
        storage.validate_uri(uri)
    except Invalid as error:
        return list(error.faults)
    return []


def check_components(version: Version) -> list[Fault]:
    """Return a fault when the fine-tune method or the kind needs a component that is not there."""
    roles = {edge.role for edge in version.components.all()}
    if version.asset.kind == "bundle" and not roles - {"base"}:
        return [Fault("components", "none", "the versions that make up this bundle")]
    if version.asset.kind in {"model", "adapter"} and version.finetune_method in NEEDS_BASE and "base" not in roles:
        method = version.get_finetune_method_display()
        return [Fault("components", "no base", f"the base version that this {method} started from")]
    return []


def check_datasets(version: Version) -> list[Fault]:
    """Return a fault unless models and adapters name their training data."""
    if version.asset.kind not in {"model", "adapter"} or version.dataset_uses.exists():
        return []
    return [Fault("datasets", "none", "the data sets used, each with purpose and time window")]


def check_people(version: Version) -> list[Fault]:
    """Return a fault unless the asset has an owner, a backup and an escalation contact."""
    asset = version.asset
    for name in ("owner", "backup_owner", "escalation_contact"):
        if not getattr(asset, name):
            return [Fault(name, "nothing", f"the asset's {name.replace('_', ' ')}")]
    return []
