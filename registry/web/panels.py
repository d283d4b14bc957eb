"""What the draft form's template prints: sections, meter, lists. Formatting only."""

from __future__ import annotations

from typing import Any

from registry import completeness
from registry.drafts import Prefilled
from registry.models import Version
from registry.web.forms import LONG, SECTIONS, ComponentForm, DatasetForm, DraftForm, PrefillForm

WIDE = {*LONG, "authors", "storage_uri"}
EXTRA = {"components": "Components", "datasets": "Data sets"}


def draft(
    version: Version,
    *,
    bound: DraftForm | None = None,
    component_form: ComponentForm | None = None,
    dataset_form: DatasetForm | None = None,
    prefill_form: PrefillForm | None = None,
) -> dict[str, Any]:
    """Return everything the draft page needs."""
    found = completeness.measure(version)
    faulty = [fault.field for fault in found.faults]
    sections = []
    for name, (title, fields) in SECTIONS.items():
        form = bound if bound is not None and bound.prefix == name else DraftForm(instance=version, section=name)
        missing = sum(field in faulty for field in fields)
        rows = [
            {"field": form[field], "origin": origin_word(version, field), "wide": field in WIDE}
            for field in form.fields
        ]
        sections.append(
            {"id": name, "label": title, "form": form, "rows": rows, "missing": missing, "done": not missing}
        )
    extra = [
        {"id": name, "label": title, "missing": int(name in faulty), "done": name not in faulty}
        for name, title in EXTRA.items()
    ]
    return {
        "version": version,
        "asset": version.asset,
        "sections": sections,
        "outline": [*sections, *extra],
        "meter": {"value": found.filled, "max": found.total, "missing": [label_of(name) for name in faulty]},
        "is_complete": found.is_complete,
        "components": version.components.select_related("part__asset"),
        "dataset_uses": version.dataset_uses.select_related("dataset"),
        "component_form": component_form or ComponentForm(),
        "dataset_form": dataset_form or DatasetForm(),
        "prefill_form": prefill_form or PrefillForm(),
        "evidence": version.evidence.defer("summary"),
    }


def section_of(context: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one section of a draft page."""
    found: dict[str, Any] = next(section for section in context["sections"] if section["id"] == name)
    return found


def origin_word(version: Version, field: str) -> str:
    """Return where a field's value came from, in a word for the chip."""
    return str(version.origins.get(field, "")).partition(":")[0]


def label_of(field: str) -> str:
    """Return a field's name as people read it."""
    names = {row.name: str(row.verbose_name) for row in Version._meta.get_fields() if hasattr(row, "verbose_name")}
    return names.get(field, field.replace("_", " "))


def told(done: Prefilled) -> str:
    """Return in words what a document did to a draft, and what it left to a person."""
    filled, kept = ([label_of(name) for name in names] for names in (done.filled, done.kept))
    words = [f"{done.document} is attached.", f"It filled in {listed(filled)}." if filled else "It filled in nothing."]
    if kept:
        words.append(f"It says something else about {listed(kept)}, which was there already and is kept.")
    named = {"base_model": "base model", "datasets": "data sets"}
    also = [f"{label} {listed(done.named[name])}" for name, label in named.items() if done.named.get(name)]
    if also:
        words.append(f"It also names {' and '.join(also)}: add them below, as components and data sets.")
    return " ".join(words)


def listed(names: str | list[str], most: int = 6) -> str:
    """Return names in a row, the first six of many."""
    rows = [names] if isinstance(names, str) else names
    return ", ".join(rows[:most]) + (f" and {len(rows) - most} more" if len(rows) > most else "")
