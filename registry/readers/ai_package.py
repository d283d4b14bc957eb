"""Reads what an AI package of SPDX 3 says about itself: what pages show of it, and what it offers to the form.

A package is what its author says. Its numbers are shown as reported and never become metrics. Wrong types are passed
over, because nothing rests on them.

Source: https://spdx.github.io/spdx-spec/v3.0.1/model/AI/Classes/AIPackage/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from registry.readers.documents import number_text, plain

MAX_ENTRIES = 100
MAX_TEXT = 4000

_CONSIDERATIONS = {
    "ai_limitation": "Limitation",
    "ai_safetyRiskAssessment": "Safety risk",
    "ai_useSensitivePersonalInformation": "Uses sensitive personal information",
    "ai_autonomyType": "Autonomous",
    "ai_informationAboutTraining": "Training",
    "ai_modelDataPreprocessing": "Data preparation",
    "ai_modelExplainability": "Explainability",
    "ai_standardCompliance": "Standard",
}
_PARAMETERS = {"ai_typeOfModel": "Type of model", "ai_domain": "Domain"}
_DICTIONARIES = {"ai_hyperparameter": "Hyperparameter", "ai_metricDecisionThreshold": "Decision threshold"}


def show(package: dict[str, Any], datasets: list[str]) -> dict[str, Any]:
    """Return an AI package as pages show a model card: all texts, in the same members as those of an ML-BOM."""
    return {
        "intended_use": _texts(package.get("ai_informationAboutApplication")),
        "metrics": [
            {"name": name, "value": value, "slice": "", "interval": ""}
            for name, value in _entries(package.get("ai_metric"))
        ],
        "considerations": [
            {"label": label, "text": text}
            for key, label in _CONSIDERATIONS.items()
            for text in _texts(package.get(key))
        ],
        "parameters": list(_parameters(package))[:MAX_ENTRIES],
        "datasets": datasets,
        "card": {key: plain(value) for key, value in package.items() if key.startswith("ai_")},
    }


def suggest(package: dict[str, Any]) -> dict[str, str | list[str]]:
    """Return what an AI package offers to the registration form besides name and licence.

    The safety risk of the EU's method is another scale than the portal's security rating, so it is only shown.
    """
    described = _texts(package.get("description")) or _texts(package.get("summary"))
    return {
        "description": "".join(described[:1]),
        "allowed_uses": "\n".join(_texts(package.get("ai_informationAboutApplication")))[:MAX_TEXT],
        "risk_rationale": "\n".join(_texts(package.get("ai_limitation")))[:MAX_TEXT],
    }


def _parameters(package: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield what the model is, each with a label."""
    for key, label in _PARAMETERS.items():
        for value in _texts(package.get(key)):
            yield {"label": label, "value": value}
    for key, label in _DICTIONARIES.items():
        for name, value in _entries(package.get(key)):
            yield {"label": f"{label} {name}", "value": value}


def _entries(value: Any) -> list[tuple[str, str]]:
    """Return the (key, value) pairs of a list of dictionary entries as texts."""
    rows = value if isinstance(value, list) else [value]
    pairs = [(_text(row.get("key")), _text(row.get("value"))) for row in rows if isinstance(row, dict)]
    return [(key, text) for key, text in pairs if key][:MAX_ENTRIES]


def _texts(value: Any) -> list[str]:
    """Return a text, or the texts in a list: both are written in the wild."""
    rows = value if isinstance(value, list) else [value]
    return [text for row in rows if (text := _text(row))][:MAX_ENTRIES]


def _text(value: Any) -> str:
    """Return a text or a number as a text, "" for anything else."""
    if isinstance(value, str):
        return value.strip()[:MAX_TEXT]
    return "" if value is None or isinstance(value, bool | list | dict) else number_text(value)
