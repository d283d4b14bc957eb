"""Reads CycloneDX 1.2 to 1.7 bills of materials in JSON, ML-BOMs included. Knows nothing of advisories.

What the walk rests on must be right (Invalid otherwise): names, types, hashes, nesting, sizes. What else the official
schema finds is a warning, because two of the specification's own examples do not pass it. `vulnerabilities` is ignored.
What a model card says stands in `ml_bom`.

Source: https://cyclonedx.org/specification/overview/; the schemas stand in schemas/cyclonedx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from registry.readers import fields, ml_bom
from registry.readers.documents import fail, parse, picture
from registry.readers.licences import spdx_expression
from registry.readers.parts import (
    MAX_BYTES,
    MAX_EXPRESSION,
    ML_MODEL,
    Parts,
    add_hash,
    bounded,
    identify,
    shorten,
    subjects,
)
from registry.readers.reading import Part, Reading

VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
MAX_LISTED_BYTES = 128 * 1024
MAX_MODEL_CARD_CHARACTERS = 100_000
MAX_TOOLS = 20

_SCHEMAS = Path(__file__).parent / "schemas" / "cyclonedx"
_SHARED = ("spdx.schema.json", "jsf-0.82.schema.json", "cryptography-defs.schema.json")
_XML = re.compile(rb"\s*<.{0,4000}?https?://cyclonedx\.org/schema/bom", re.DOTALL)
_DESCRIBED = "metadata.component"

# One component as JSON with its path in the document.
Found = tuple[str, dict[str, Any]]


class CycloneDX:
    """The reader of CycloneDX JSON."""

    slug = "cyclonedx"
    title = "CycloneDX JSON 1.2 to 1.7"
    kind = "sbom"
    max_bytes = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body names the CycloneDX format; XML is recognised to be refused by name."""
        return (b'"bomFormat"' in body and b'"CycloneDX"' in body) or is_xml(body)

    def read(self, body: bytes) -> Reading:
        """Return the parts, the digests the SBOM is about, and suggestions. Raises Invalid."""
        if is_xml(body):
            fail("document", "CycloneDX in XML", f"{self.title}; most tools write it when asked for JSON")
        bom = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        version = _spec_version(bom)
        described = _described(bom)
        found = list(_walk(bom))
        parts = Parts()
        for path, component in found:
            parts.add(path, _part(path, component, parts.warnings), has_cpe=bool(component.get("cpe")))
        digests = subjects(
            _subject_digests(described, found, parts.warnings),
            parts.warnings,
            f"neither {_DESCRIBED} nor a component of type {ML_MODEL} has a SHA-256 hash.",
        )
        named, refs = parts.all(), _refs(found)
        summary = {
            "format": f"CycloneDX {version}",
            "spec_version": version,
            "encoding": "JSON",
            "document_id": fields.text(bom, "serialNumber", limit=200),
            "created": fields.text(fields.mapping(bom, "metadata"), "timestamp", "metadata", limit=60),
            "tools": _tools(fields.mapping(bom, "metadata"))[:MAX_TOOLS],
            "describes": [_label(component) for _, component in described],
            **parts.counts(),
            "model_cards": _model_cards([*described, *found], refs, parts.warnings),
        }
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/vnd.cyclonedx+json",
            summary=summary,
            warnings=(*bounded(parts.warnings), *_schema_warnings(bom, version, len(body))),
            parts=named,
            suggestions=_suggestions(described, found, refs),
            subject_digests=digests,
        )


def is_xml(body: bytes) -> bool:
    """Say whether the body is CycloneDX in XML, by the namespace near its beginning."""
    return _XML.match(body.removeprefix(b"\xef\xbb\xbf")[:8000]) is not None


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
    return [(_DESCRIBED, component)] if component else []


def _walk(bom: dict[str, Any]) -> Iterator[Found]:
    """Yield every component with its path, nested ones too, in document order. An explicit stack bounds the depth."""
    waiting = fields.mappings(bom, "components")[::-1]
    for path, described in _described(bom):
        waiting += _children(path, described)
    while waiting:
        path, component = waiting.pop()
        yield path, component
        waiting.extend(_children(path, component))


def _children(path: str, component: dict[str, Any]) -> list[Found]:
    """Return the components nested directly below one, last first, ready for a stack."""
    return fields.mappings(component, "components", path)[::-1]


def _part(path: str, component: dict[str, Any], warnings: list[str]) -> Part:
    """Return one component as a part."""
    name = fields.text(component, "name", path, limit=300, required=True)
    version = fields.text(component, "version", path, limit=200)
    fields.text(component, "cpe", path, limit=2000)
    purl = fields.text(component, "purl", path, limit=2000)
    return Part(
        type=fields.text(component, "type", path, limit=40, required=True),
        name=name,
        licences=_licences(path, component),
        hashes=_hashes(path, component),
        paths=(shorten(path),),
        **identify(f"{path}.purl", [purl] if purl else [], version, warnings),
    )


def _licences(path: str, component: dict[str, Any]) -> tuple[str, ...]:
    """Return the licence expressions, ids and names of a component as they were written."""
    names = []
    for place, choice in fields.mappings(component, "licenses", path):
        licence = fields.mapping(choice, "license", place)
        expression = fields.text(choice, "expression", place, limit=MAX_EXPRESSION)
        name = expression or fields.text(licence, "id", place)
        names.append(name or fields.text(licence, "name", place, limit=5000)[:300])
    return tuple(dict.fromkeys(filter(None, names)))


def _hashes(path: str, component: dict[str, Any]) -> dict[str, str]:
    """Return the hashes of a component by algorithm, in lower-case hex. Two values for one algorithm are Invalid."""
    hashes: dict[str, str] = {}
    for place, entry in fields.mappings(component, "hashes", path):
        algorithm = fields.text(entry, "alg", place, limit=40, required=True)
        content = fields.text(entry, "content", place, limit=256, required=True)
        add_hash(hashes, algorithm, content, f"{place}.content")
    return hashes


def _subject_digests(described: list[Found], found: list[Found], warnings: list[str]) -> list[str]:
    """Return the sha256 of what the SBOM is about: the described component, or its files, or the models it lists.

    A model in the list counts only when the described component says nothing: it may be what the described one was
    made from, and an SBOM of an adapter is none of its base.
    """
    for path, component in described:
        if own := _hashes(path, component).get("SHA-256"):
            return [own]
        files = [item for item in _children(path, component)[::-1] if item[1].get("type") == "file"]
        if digests := [digest for item in files if (digest := _hashes(*item).get("SHA-256"))]:
            return digests
    models = [item for item in found if item[1].get("type") == ML_MODEL]
    digests = [digest for item in models if (digest := _hashes(*item).get("SHA-256"))]
    if len(set(digests)) > 1:
        warnings.append(
            f"The SBOM lists {len(digests)} machine-learning models and {_DESCRIBED} has no hash: it counts for each."
        )
    return digests


def _label(component: dict[str, Any]) -> dict[str, str]:
    """Return name, version and type of a component for the summary."""
    return {key: fields.text(component, key, _DESCRIBED, limit=300) for key in ("name", "version", "type")}


def _tools(metadata: dict[str, Any]) -> list[str]:
    """Return the tools that wrote the SBOM: a list until 1.4, an object with components from 1.5 on."""
    tools = metadata.get("tools")
    rows = tools.get("components") if isinstance(tools, dict) else tools
    named = []
    for row in rows if isinstance(rows, list) else []:
        words = [row.get(key) for key in ("vendor", "name", "version")] if isinstance(row, dict) else []
        named.append(" ".join(word for word in words if isinstance(word, str))[:200])
    return [name for name in named if name]


def _refs(found: list[Found]) -> dict[str, str]:
    """Return the names of the components by their `bom-ref`, for whoever refers to them."""
    return {ref: component["name"] for _, component in found if isinstance(ref := component.get("bom-ref"), str)}


def _model_cards(candidates: list[Found], refs: Mapping[str, str], warnings: list[str]) -> list[dict[str, Any]]:
    """Return the model cards inside the SBOM with numbers as text. Self-reported: shown, never a reason for a yes."""
    cards: list[dict[str, Any]] = []
    size = 0
    for path, component in candidates:
        card = fields.mapping(component, "modelCard", path)
        if not card:
            continue
        shown = ml_bom.show(card, refs)
        size += len(json.dumps(shown))
        if size > MAX_MODEL_CARD_CHARACTERS:
            warnings.append(f"{path}.modelCard is too large to show; it stays in the document.")
            break
        cards.append({"component": fields.text(component, "name", path, limit=300), "path": path, **shown})
    return cards


def _suggestions(described: list[Found], found: list[Found], refs: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return what the described model, or else the only model in the SBOM, offers to the registration form.

    A described application without a hash or a model card is only the frame around its one model.
    """
    models = [item for item in found if item[1].get("type") == ML_MODEL]
    telling = [item for item in described if item[1].get("modelCard") or item[1].get("hashes") or not models]
    chosen = telling or models
    if len(chosen) != 1:
        return {}
    path, component = chosen[0]
    licences = _licences(path, component)
    offered: dict[str, str | list[str]] = {
        "artifact_sha256": _hashes(path, component).get("SHA-256", ""),
        "description": fields.text(component, "description", path, limit=MAX_MODEL_CARD_CHARACTERS)[:4000],
        "licence": spdx_expression(licences[0]) if len(licences) == 1 else "",
        **ml_bom.suggest(component, refs),
    }
    return {key: value for key, value in offered.items() if value}


@cache
def _validator(version: str) -> jsonschema_rs.Draft7Validator:
    """Return the compiled official schema of one version."""
    shared = [(f"http://cyclonedx.org/schema/{name}", json.loads((_SCHEMAS / name).read_bytes())) for name in _SHARED]
    schema = json.loads((_SCHEMAS / f"bom-{version}.schema.json").read_bytes())
    return jsonschema_rs.Draft7Validator(schema, registry=jsonschema_rs.Registry(shared))


def _schema_warnings(bom: dict[str, Any], version: str, size: int) -> list[str]:
    """Return what the official schema finds wrong, as warnings.

    Listing every fault of a large document takes seconds, so beyond 128 KiB only the first one is named.
    """
    validator = _validator(version)
    if size <= MAX_LISTED_BYTES:
        return bounded([_schema_warning(error) for error in validator.iter_errors(bom)])
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
