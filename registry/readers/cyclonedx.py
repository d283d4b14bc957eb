"""Reads CycloneDX 1.4 to 1.7 bills of materials in JSON, ML-BOMs included. Knows nothing of advisories.

What the walk rests on must be right (Invalid otherwise): names, types, hashes, nesting, sizes. What else the official
schema finds is a warning, because two of the specification's own examples do not pass it. `vulnerabilities` is ignored.

Source: https://cyclonedx.org/specification/overview/; the schemas stand in schemas/cyclonedx.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from registry.readers import fields
from registry.readers.documents import fail, parse, picture, plain
from registry.readers.licences import spdx_expression
from registry.readers.purls import read_purl
from registry.readers.reading import Part, Reading

VERSIONS = ("1.4", "1.5", "1.6", "1.7")
MAX_BYTES = 20 * 1024 * 1024
MAX_COMPONENTS = 50_000
MAX_PATHS = 100
MAX_LICENCES = 100
MAX_HASHES = 30
MAX_WARNINGS = 20
MAX_LISTED_BYTES = 128 * 1024
MAX_MODEL_CARD_CHARACTERS = 100_000
ML_MODEL = "machine-learning-model"

_SCHEMAS = Path(__file__).parent / "schemas" / "cyclonedx"
_HASH_LENGTHS = {"MD5": 32, "SHA-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128}
_HEX = frozenset("0123456789abcdef")

# One component as JSON with its path in the document.
Found = tuple[str, dict[str, Any]]


class CycloneDX:
    """The reader of CycloneDX JSON."""

    slug = "cyclonedx"
    title = "CycloneDX JSON 1.4 to 1.7"
    kind = "sbom"
    max_bytes = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body names the CycloneDX format."""
        return b'"bomFormat"' in body and b'"CycloneDX"' in body

    def read(self, body: bytes) -> Reading:
        """Return the parts, the digests the SBOM is about, and suggestions. Raises Invalid."""
        bom = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        version = _spec_version(bom)
        described = _described(bom)
        found = list(_walk(bom))
        warnings: list[str] = []
        parts = _merge(found, warnings)
        identified = sum(1 for part in parts if part.purl and part.version)
        digests = _subject_digests([*described, *found], warnings)
        if not parts:
            warnings.append("The SBOM names no components.")
        summary = {
            "format": f"CycloneDX {version}",
            "serial_number": fields.text(bom, "serialNumber", limit=200),
            "created": fields.text(fields.mapping(bom, "metadata"), "timestamp", "metadata", limit=60),
            "describes": [_label(component) for _, component in described],
            "components": len(parts),
            "identified": identified,
            "coverage": f"{identified} of {len(parts)} identifiable",
            "model_cards": _model_cards([*described, *found], warnings),
        }
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/vnd.cyclonedx+json",
            summary=summary,
            warnings=(*_bounded(warnings), *_schema_warnings(bom, version, len(body))),
            parts=parts,
            suggestions=_suggestions(described, found),
            subject_digests=digests,
        )


def _spec_version(bom: dict[str, Any]) -> str:
    """Return the specification version, after checking that this is a CycloneDX document of a version we read."""
    if bom.get("bomFormat") != "CycloneDX":
        fail("bomFormat", picture(bom.get("bomFormat")), "CycloneDX")
    if bom.get("specVersion") not in VERSIONS:
        fail("specVersion", picture(bom.get("specVersion")), f"one of {', '.join(VERSIONS)}")
    return str(bom["specVersion"])


def _described(bom: dict[str, Any]) -> list[Found]:
    """Return the component that the SBOM is about, metadata.component, as a list of none or one."""
    component = fields.mapping(fields.mapping(bom, "metadata"), "component", "metadata")
    return [("metadata.component", component)] if component else []


def _walk(bom: dict[str, Any]) -> Iterator[Found]:
    """Yield every component with its path, nested ones too, in document order. An explicit stack bounds the depth."""
    waiting = _children("metadata.component", fields.mapping(fields.mapping(bom, "metadata"), "component", "metadata"))
    waiting = fields.mappings(bom, "components")[::-1] + waiting
    count = 0
    while waiting:
        path, component = waiting.pop()
        count += 1
        if count > MAX_COMPONENTS:
            fail("components", f"more than {MAX_COMPONENTS:,} components", f"at most {MAX_COMPONENTS:,}")
        yield path, component
        waiting.extend(_children(path, component))


def _children(path: str, component: dict[str, Any]) -> list[Found]:
    """Return the components nested directly below one, last first, ready for a stack."""
    return fields.mappings(component, "components", path)[::-1]


def _merge(found: list[Found], warnings: list[str]) -> tuple[Part, ...]:
    """Return one part for each package, with the paths where it was named; unidentified components stay apart."""
    parts: dict[str, Part] = {}
    for path, component in found:
        part = _part(path, component, warnings)
        key = part.purl or path
        if known := parts.get(key):
            part = replace(
                known,
                licences=tuple(dict.fromkeys((*known.licences, *part.licences))),
                hashes={**part.hashes, **known.hashes},
                paths=(*known.paths, path)[:MAX_PATHS],
            )
        if len(part.licences) > MAX_LICENCES or len(part.hashes) > MAX_HASHES:
            seen = f"{len(part.licences)} licences and {len(part.hashes)} hashes"
            fail(path, seen, f"at most {MAX_LICENCES} and {MAX_HASHES} for one package")
        parts[key] = part
    return tuple(parts.values())


def _part(path: str, component: dict[str, Any], warnings: list[str]) -> Part:
    """Return one component as a part. The purl's version counts: it is what advisories are matched with."""
    name = fields.text(component, "name", path, limit=300, required=True)
    version = fields.text(component, "version", path, limit=200)
    written = fields.text(component, "purl", path, limit=2000)
    package = read_purl(written)
    if written and package is None:
        warnings.append(f"{path}.purl: {picture(written)} is not a package URL.")
    if package and version and package.version and package.version != version:
        warnings.append(f"{path}: the purl says version {picture(package.version)}, the component {picture(version)}.")
    return Part(
        type=fields.text(component, "type", path, limit=40, required=True),
        name=name,
        version=(package.version if package else "") or version,
        purl=package.purl if package else "",
        purl_type=package.type if package else "",
        purl_name=package.name if package else "",
        licences=_licences(path, component),
        hashes=_hashes(path, component),
        paths=(path,),
    )


def _licences(path: str, component: dict[str, Any]) -> tuple[str, ...]:
    """Return the licence expressions, ids and names of a component as they were written."""
    names = []
    for place, choice in fields.mappings(component, "licenses", path):
        licence = fields.mapping(choice, "license", place)
        name = fields.text(choice, "expression", place) or fields.text(licence, "id", place)
        names.append(name or fields.text(licence, "name", place, limit=5000)[:300])
    return tuple(dict.fromkeys(filter(None, names)))


def _hashes(path: str, component: dict[str, Any]) -> dict[str, str]:
    """Return the hashes of a component by algorithm, in lower-case hex. Two values for one algorithm are Invalid."""
    hashes: dict[str, str] = {}
    for place, entry in fields.mappings(component, "hashes", path):
        algorithm = fields.text(entry, "alg", place, limit=40, required=True)
        content = fields.text(entry, "content", place, limit=256, required=True).lower()
        length = _HASH_LENGTHS.get(algorithm, len(content))
        if len(content) != length or not _HEX.issuperset(content):
            fail(f"{place}.content", picture(content), f"{length} hex digits of {algorithm}")
        if hashes.setdefault(algorithm, content) != content:
            fail(
                f"{place}.content", picture(content), f"one value for {algorithm}, and {hashes[algorithm]} came before"
            )
    return hashes


def _subject_digests(candidates: list[Found], warnings: list[str]) -> tuple[str, ...]:
    """Return the sha256 of the described component and of every machine-learning model in the document."""
    digests = []
    for path, component in candidates:
        if path == "metadata.component" or component.get("type") == ML_MODEL:
            digests.append(_hashes(path, component).get("SHA-256", ""))
    found = tuple(dict.fromkeys(filter(None, digests)))
    if not found:
        warnings.append(
            "The SBOM does not say which artifact it describes: neither metadata.component nor a component of type "
            f"{ML_MODEL} has a SHA-256 hash."
        )
    return found


def _label(component: dict[str, Any]) -> dict[str, str]:
    """Return name, version and type of a component for the summary."""
    return {key: fields.text(component, key, "metadata.component", limit=300) for key in ("name", "version", "type")}


def _model_cards(candidates: list[Found], warnings: list[str]) -> list[dict[str, Any]]:
    """Return the model cards inside the SBOM with numbers as text. Self-reported: shown, never a reason for a yes."""
    cards: list[dict[str, Any]] = []
    size = 0
    for path, component in candidates:
        card = plain(fields.mapping(component, "modelCard", path))
        size += len(json.dumps(card)) if card else 0
        if size > MAX_MODEL_CARD_CHARACTERS:
            warnings.append(f"{path}.modelCard is too large to show; it stays in the document.")
            break
        if card:
            cards.append({"component": fields.text(component, "name", path, limit=300), "path": path, "card": card})
    return cards


def _suggestions(described: list[Found], found: list[Found]) -> dict[str, str | list[str]]:
    """Return what the described model, or else the only model in the SBOM, offers to the registration form."""
    models = described or [item for item in found if item[1].get("type") == ML_MODEL]
    if len(models) != 1:
        return {}
    path, component = models[0]
    licences = _licences(path, component)
    card = fields.mapping(component, "modelCard", path)
    place = fields.below(path, "modelCard")
    use_cases = fields.mapping(card, "considerations", place).get("useCases")
    parameters = fields.mapping(card, "modelParameters", place)
    ancestors = fields.mappings(fields.mapping(component, "pedigree", path), "ancestors", f"{path}.pedigree")
    offered: dict[str, str | list[str]] = {
        "artifact_sha256": _hashes(path, component).get("SHA-256", ""),
        "description": fields.text(component, "description", path, limit=MAX_MODEL_CARD_CHARACTERS)[:4000],
        "licence": spdx_expression(licences[0]) if len(licences) == 1 else "",
        "allowed_uses": "\n".join(item for item in use_cases or [] if isinstance(item, str))[:4000]
        if isinstance(use_cases, list)
        else "",
        "base_model": [_base_name(place, ancestor) for place, ancestor in ancestors][:20],
        "datasets": _dataset_names(parameters, fields.below(place, "modelParameters"))[:100],
    }
    return {key: value for key, value in offered.items() if value}


def _base_name(path: str, ancestor: dict[str, Any]) -> str:
    """Return the purl of an ancestor, or else its name and version."""
    name = fields.text(ancestor, "name", path, limit=300)
    version = fields.text(ancestor, "version", path, limit=200)
    return fields.text(ancestor, "purl", path, limit=2000) or " ".join(filter(None, (name, version)))


def _dataset_names(parameters: dict[str, Any], at: str) -> list[str]:
    """Return the names or references of the data sets of a model card."""
    names = []
    for place, dataset in fields.mappings(parameters, "datasets", at):
        names.append(fields.text(dataset, "name", place) or fields.text(dataset, "ref", place))
    return [name for name in names if name]


def _bounded(warnings: list[str]) -> list[str]:
    """Return at most twenty warnings and a line that counts the rest."""
    more = len(warnings) - MAX_WARNINGS
    return warnings[:MAX_WARNINGS] + ([f"And {more:,} more warnings of this kind."] if more > 0 else [])


@cache
def _validator(version: str) -> jsonschema_rs.Draft7Validator:
    """Return the compiled official schema of one version."""
    shared = [
        (f"http://cyclonedx.org/schema/{name}", json.loads((_SCHEMAS / name).read_bytes()))
        for name in ("spdx.schema.json", "jsf-0.82.schema.json", "cryptography-defs.schema.json")
    ]
    schema = json.loads((_SCHEMAS / f"bom-{version}.schema.json").read_bytes())
    return jsonschema_rs.Draft7Validator(schema, registry=jsonschema_rs.Registry(shared))


def _schema_warnings(bom: dict[str, Any], version: str, size: int) -> list[str]:
    """Return what the official schema finds wrong, as warnings.

    Listing every fault of a large document takes seconds, so beyond 128 KiB only the first one is named.
    """
    validator = _validator(version)
    if size <= MAX_LISTED_BYTES:
        return _bounded([_schema_warning(error) for error in validator.iter_errors(bom)])
    try:
        validator.validate(bom)
    except jsonschema_rs.ValidationError as error:
        return [f"{_schema_warning(error)} (The document is too large to list more places.)"]
    return []


def _schema_warning(error: jsonschema_rs.ValidationError) -> str:
    """Return one schema fault as a sentence with its place."""
    place = ""
    for key in error.instance_path:
        place = fields.below(place, key)
    return f"Schema: {place or 'document'}: {error.message[:200]}"
