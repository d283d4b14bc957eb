"""How evidence documents look: on the evidence tab in short, on a page of their own in full. Formatting only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.urls import reverse

from portal.charts import Part, StackedBar, stacked_bar
from registry.evidence import IDENTIFIABLE
from registry.models import Evidence, SbomComponent, User, Version
from registry.web.forms import EvidenceForm

MAX_SHOWN = 3
MAX_METRICS = 500
MAX_TEXT = 400
# What has a place of its own on the page, or says nothing to people.
ELSEWHERE = frozenset(
    {"format", "coverage", "model_cards", "reported", "metrics", "preview", "describes", "limitations"}
    | {"spec_version", "encoding", "components", "identified", "cpe_only", "size", "cut"}
)
LABELS = {"document_id": "Document", "keyids": "Key ids", "base_model": "Base model"}
TEXTS = {"limitations": "Limitations", "preview": "How it begins"}
KNOWN = {"yes": "Identifiable", "no": "Not identifiable"}


def panel(version: Version, user: User) -> dict[str, Any]:
    """Return the evidence tab: the newest SBOM and what it says, and every document, newest first."""
    rows = [look(row) for row in version.evidence.select_related("attached_by")]
    sbom = next((each for each in rows if each["row"].kind == "sbom"), None)
    return {"documents": rows, "sbom": sbom, "evidence_form": EvidenceForm()}


def look(row: Evidence) -> dict[str, Any]:
    """Return one document in short."""
    version = row.version
    return {
        "row": row,
        "url": reverse("registry:document", args=[version.asset.slug, version.number, row.public_id]),
        "format": row.summary.get("format") or row.reader,
        "coverage": coverage(row.summary),
        "bar": coverage_bar(row.summary),
        "describes": describes(row),
        "card": next(iter(row.summary.get("model_cards", [])), None),
        "warnings": row.warnings[:MAX_SHOWN],
        "more": len(row.warnings[MAX_SHOWN:]),
    }


def coverage(summary: Mapping[str, Any]) -> str:
    """Return how many components can be looked up, in words, "" for a document that names none."""
    if "components" not in summary:
        return ""
    count, known = int(summary["components"]), int(summary.get("identified", 0))
    return f"{known} of {count} components identifiable" if count else "names no components"


def coverage_bar(summary: Mapping[str, Any]) -> StackedBar | None:
    """Return the components of an SBOM as a bar, None when there is nothing to draw."""
    count, known = int(summary.get("components", 0)), int(summary.get("identified", 0))
    only = int(summary.get("cpe_only", 0))
    if not count:
        return None
    parts = [Part("Identifiable", known, "ok"), Part("Only a CPE, not matched", only, "warn")]
    return stacked_bar([*parts, Part("Not identifiable", count - known - only, "neutral")])


def describes(row: Evidence) -> dict[str, Any] | None:
    """Return whether an SBOM is about the version that it is attached to, None for another kind of document."""
    if row.kind != "sbom":
        return None
    mine = {row.version.artifact_sha256, row.version.identity_digest} - {""}
    if mine & set(row.subject_digests):
        return {"outcome": "passed", "says": "Describes this artifact"}
    if row.subject_digests:
        return {"outcome": "failed", "says": "Describes something else"}
    return {"outcome": "failed", "says": "Does not say what it describes"}


def page(row: Evidence, query: QueryDict) -> dict[str, Any]:
    """Return one document in full, but for the page of its components."""
    version = row.version
    address = [version.asset.slug, version.number]
    evidence = reverse("registry:version-tab", args=[*address, "evidence"])
    return look(row) | {
        "version": version,
        "crumbs": [
            {"label": "Catalogue", "url": reverse("registry:catalogue")},
            {"label": version.asset.slug, "url": version.asset.get_absolute_url()},
            {"label": version.number, "url": version.get_absolute_url()},
            {"label": "Evidence", "url": evidence},
        ],
        "items": [*about(row), *said(row.summary)],
        "subjects": row.subject_digests[:20],
        "cards": row.summary.get("model_cards", []),
        "reported": row.summary.get("reported", []),
        "metrics": row.evaluations.all()[:MAX_METRICS],
        "all_warnings": row.warnings,
        "texts": [{"label": label, "text": text} for key, label in TEXTS.items() if (text := row.summary.get(key))],
        "q": query.get("q", "").strip()[:200],
        "facets": [known_facet(query)],
    }


def about(row: Evidence) -> list[dict[str, Any]]:
    """Return what the portal knows about a document."""
    items: list[dict[str, Any]] = [
        {"label": "Kind", "value": row.get_kind_display()},
        {"label": "Read as", "value": read_as(row)},
        {"label": "sha256", "value": row.sha256, "kind": "digest"},
        {"label": "Size", "value": row.size, "kind": "bytes"},
        {"label": "Attached", "value": row.attached_at, "kind": "when"},
        {"label": "Attached by", "value": row.attached_by},
    ]
    return items + ([{"label": "Responsible", "value": row.author}] if row.author else [])


def read_as(row: Evidence) -> str:
    """Return the format, its encoding where it has several, and the reader."""
    encoding = row.summary.get("encoding")
    return f"{row.summary.get('format') or row.reader}{f' in {encoding}' if encoding else ''} (reader {row.reader})"


def said(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the plain values that a document's reader wrote down, long ones cut: the whole stands below as JSON."""
    items = [{"label": "Is about", "value": words} for each in summary.get("describes", []) if (words := named(each))]
    for key, value in sorted(summary.items()):
        texts = value if isinstance(value, list) else [value]
        if key in ELSEWHERE or value in ("", None, []) or any(isinstance(each, dict | list) for each in texts):
            continue
        text = ", ".join(str(each) for each in texts)
        label = LABELS.get(key) or key.replace("_", " ").capitalize()
        items.append({"label": label, "value": text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"})
    return items


def named(described: Any) -> str:
    """Return what an SBOM says it is about: name, version and type."""
    if not isinstance(described, dict):
        return ""
    name = " ".join(filter(None, (str(described.get("name", "")), str(described.get("version", "")))))
    kind = str(described.get("type", ""))
    return f"{name} ({kind})" if name and kind else name


def narrowed(row: Evidence, query: QueryDict) -> QuerySet[SbomComponent]:
    """Return the components of a document that the address asks for, by a part of their name or package URL."""
    rows = row.sbom_components.order_by("name", "version", "pk")
    text = query.get("q", "").strip()[:200].replace("\x00", "")
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(purl__icontains=text))
    wanted = set(query.getlist("known")) & set(KNOWN)
    if len(wanted) == 1:
        rows = rows.filter(IDENTIFIABLE) if "yes" in wanted else rows.exclude(IDENTIFIABLE)
    return rows


def known_facet(query: QueryDict) -> dict[str, Any]:
    """Return the filter by whether a component can be looked up."""
    chosen = query.getlist("known")
    options = [
        {"value": value, "label": label, "count": None, "selected": value in chosen} for value, label in KNOWN.items()
    ]
    return {"name": "known", "label": "Can be looked up", "options": options}


def component(row: SbomComponent) -> dict[str, Any]:
    """Return one component as a row of the table."""
    return {
        "row": row,
        "licences": ", ".join(row.licences[:MAX_SHOWN]) + (" …" if len(row.licences) > MAX_SHOWN else ""),
        "paths": row.paths[:MAX_SHOWN],
        "more": len(row.paths[MAX_SHOWN:]),
    }
