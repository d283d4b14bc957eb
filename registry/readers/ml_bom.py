"""Reads the model card inside a CycloneDX ML-BOM: what pages show of it, and what it offers to the registration form.

A card is what its author says. Its numbers are shown as reported and never become metrics. Wrong types are passed over,
because nothing rests on them: the schema names them in its warnings.

Source: https://cyclonedx.org/docs/1.7/json/#components_items_modelCard
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from registry.readers.documents import number_text, plain

MAX_ENTRIES = 100
MAX_TEXT = 4000

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_PARAMETERS = {
    "task": "Task",
    "architectureFamily": "Architecture family",
    "modelArchitecture": "Architecture",
}
# What `considerations` holds besides the use cases, which stand apart as the intended use.
_CONSIDERATIONS = {
    "users": "Users",
    "technicalLimitations": "Technical limitation",
    "performanceTradeoffs": "Performance trade-off",
    "ethicalConsiderations": "Ethical consideration",
    "fairnessAssessments": "Fairness",
}


def show(card: dict[str, Any], refs: Mapping[str, str]) -> dict[str, Any]:
    """Return a model card as pages show it: intended use, metrics, considerations, parameters, data sets; all texts.

    `refs` are the names of the document's components by their `bom-ref`.
    """
    parameters, said = _object(card.get("modelParameters")), _object(card.get("considerations"))
    return {
        "intended_use": _texts(said.get("useCases")),
        "metrics": list(_metrics(card))[:MAX_ENTRIES],
        "considerations": list(_considerations(said))[:MAX_ENTRIES],
        "parameters": list(_parameters(parameters))[:MAX_ENTRIES],
        "datasets": datasets(card, refs),
        "card": plain(card),
    }


def suggest(component: dict[str, Any], refs: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return what a machine-learning model in an ML-BOM offers to the registration form besides name and licence."""
    card = _object(component.get("modelCard"))
    said = _object(card.get("considerations"))
    risks = [*_texts(said.get("technicalLimitations")), *_names(said.get("ethicalConsiderations"))]
    source = _references(component, "vcs")
    ancestors = _objects(_object(component.get("pedigree")).get("ancestors"))
    return {
        "allowed_uses": _lines(_texts(said.get("useCases"))),
        "risk_rationale": _lines(risks),
        "mitigations": _lines(list(_mitigations(said))),
        "base_model": [name for each in ancestors if (name := _base_name(each))][:20],
        "datasets": datasets(card, refs),
        "authors": [mail for each in _objects(component.get("authors")) if (mail := _text(each.get("email")))],
        "source_repository": source[0] if len(source) == 1 else "",
        "source_commit": _commit(component),
    }


def datasets(card: dict[str, Any], refs: Mapping[str, str]) -> list[str]:
    """Return the data sets of a model card by name: its own, or that of the component it refers to."""
    named = []
    for row in _objects(_object(card.get("modelParameters")).get("datasets")):
        ref = _text(row.get("ref"))
        named.append(_text(row.get("name")) or refs.get(ref, ref))
    return [name for name in named if name]


def _metrics(card: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the performance metrics as texts."""
    for row in _objects(_object(card.get("quantitativeAnalysis")).get("performanceMetrics")):
        interval = _object(row.get("confidenceInterval"))
        low, high = _text(interval.get("lowerBound")), _text(interval.get("upperBound"))
        yield {
            "name": _text(row.get("type")),
            "value": _text(row.get("value")),
            "slice": _text(row.get("slice")),
            "interval": f"{low} to {high}" if low and high else "",
        }


def _considerations(said: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield what the card says that one should consider, each with a label."""
    for key, label in _CONSIDERATIONS.items():
        for text in _texts(said.get(key)):
            yield {"label": label, "text": text}
        for row in _objects(said.get(key)):
            about = _text(row.get("name")) or _text(row.get("groupAtRisk"))
            harms, mitigation = _text(row.get("harms")), _text(row.get("mitigationStrategy"))
            parts = [about, harms and f"Harms: {harms}", mitigation and f"Mitigation: {mitigation}"]
            if text := " · ".join(filter(None, parts)):
                yield {"label": label, "text": text[:MAX_TEXT]}


def _parameters(parameters: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield what the model is, each with a label."""
    if approach := _text(_object(parameters.get("approach")).get("type")):
        yield {"label": "Approach", "value": approach}
    for key, label in _PARAMETERS.items():
        if value := _text(parameters.get(key)):
            yield {"label": label, "value": value}
    for key, label in {"inputs": "Input", "outputs": "Output"}.items():
        for row in _objects(parameters.get(key)):
            if value := _text(row.get("format")):
                yield {"label": label, "value": value}


def _mitigations(said: dict[str, Any]) -> Iterator[str]:
    """Yield each mitigation with what it is for."""
    rows = [*_objects(said.get("ethicalConsiderations")), *_objects(said.get("fairnessAssessments"))]
    for row in rows:
        if text := _text(row.get("mitigationStrategy")):
            about = _text(row.get("name")) or _text(row.get("groupAtRisk"))
            yield f"{about}: {text}" if about else text


def _base_name(ancestor: dict[str, Any]) -> str:
    """Return the purl of an ancestor, or else its name and version."""
    name, version = _text(ancestor.get("name")), _text(ancestor.get("version"))
    return _text(ancestor.get("purl")) or " ".join(filter(None, (name, version)))


def _references(component: dict[str, Any], kind: str) -> list[str]:
    """Return the addresses of one kind among the external references of a component."""
    rows = _objects(component.get("externalReferences"))
    return [url for row in rows if row.get("type") == kind and (url := _text(row.get("url"))) and len(url) <= 500]


def _commit(component: dict[str, Any]) -> str:
    """Return the commit that a component's pedigree names, "" for none and for several."""
    rows = _objects(_object(component.get("pedigree")).get("commits"))
    found = [uid for row in rows if _COMMIT.fullmatch(uid := _text(row.get("uid")).lower())]
    return found[0] if len(found) == 1 else ""


def _lines(texts: list[str]) -> str:
    """Return texts as the lines of one field, without the line that no longer fits."""
    kept: list[str] = []
    for text in texts:
        if sum(map(len, kept)) + len(kept) + len(text) > MAX_TEXT:
            break
        kept.append(text)
    return "\n".join(kept) or "".join(texts[:1])[:MAX_TEXT]


def _names(value: Any) -> list[str]:
    """Return the names of the objects in a list."""
    return [name for row in _objects(value) if (name := _text(row.get("name")))]


def _texts(value: Any) -> list[str]:
    """Return the texts in a list, leaving out what is none."""
    items = value if isinstance(value, list) else []
    return [item.strip()[:MAX_TEXT] for item in items if isinstance(item, str) and item.strip()][:MAX_ENTRIES]


def _text(value: Any) -> str:
    """Return a text or a number as a text, "" for anything else."""
    if isinstance(value, str):
        return value.strip()[:MAX_TEXT]
    return "" if value is None or isinstance(value, bool | list | dict) else number_text(value)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list, leaving out what is none."""
    return [item for item in value if isinstance(item, dict)][:MAX_ENTRIES] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    """Return an object, empty when the value is none."""
    return value if isinstance(value, dict) else {}
