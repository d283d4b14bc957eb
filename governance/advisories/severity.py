"""How bad an OSV record says a vulnerability is. A record that does not say stays unknown; nothing is guessed.

CVSS 3.0 and 3.1 base vectors are scored here. CVSS 4.0 is not: its score is a table of 270 macro vectors, so for these
the word that the database gives (`database_specific.severity`) counts, and without one the severity is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from governance.models.advisories import Severity

# CVSS v3.1 specification, section 7.4; PR is the pair for an unchanged and a changed scope.
_WEIGHTS: dict[str, dict[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}
_BASE = frozenset({*_WEIGHTS, "PR", "S"})
_WORDS = {
    "negligible": Severity.LOW,
    "low": Severity.LOW,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "critical": Severity.CRITICAL,
}
MAX_VECTORS = 8


@dataclass(frozen=True)
class Rating:
    """The worst that a record says: severity, CVSS 3 base score (None when there is none), and the vectors it gives."""

    severity: Severity
    score: float | None
    vectors: tuple[str, ...]


def rate(record: Mapping[str, Any]) -> Rating:
    """Return the rating of an OSV record: the worst of its vectors and words.

    A record of a malicious package (`MAL-…`) is critical: there the package itself is the attack.
    """
    vectors = [vector for part in _parts(record) for vector in _vectors(part)]
    scores = [score for vector in vectors if (score := score_v3(vector)) is not None]
    said = [_WORDS[word] for part in _parts(record) for word in _words(part) if word in _WORDS]
    if str(record.get("id", "")).startswith("MAL-"):
        said.append(Severity.CRITICAL)
    score = max(scores, default=None)
    severity = worst([*said, severity_of(score) if score is not None else Severity.UNKNOWN])
    return Rating(severity, score, tuple(dict.fromkeys(vectors))[:MAX_VECTORS])


def worst(severities: Iterable[str]) -> Severity:
    """Return the worst of some severities. Unknown is the mildest, so it remains only when nothing else is said."""
    order = list(Severity)
    return max((Severity(each) for each in severities), key=order.index, default=Severity.UNKNOWN)


def severity_of(score: float) -> Severity:
    """Return the qualitative severity of a score from 0 to 10 (CVSS v3.1 specification, section 5)."""
    bounds = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))
    return next((severity for bound, severity in bounds if score >= bound), Severity.LOW)


def score_v3(vector: str) -> float | None:
    """Return the base score, 0.0 to 10.0, of a CVSS 3.0 or 3.1 vector, or None when it is none.

    CVSS v3.1 specification, section 7.1. Temporal and environmental metrics are allowed and do not count.
    """
    version, _, rest = vector.partition("/")
    pairs = [part.partition(":")[::2] for part in rest.split("/")]
    metrics = dict(pairs)
    if version not in {"CVSS:3.0", "CVSS:3.1"} or len(metrics) != len(pairs) or not metrics.keys() >= _BASE:
        return None
    try:
        weight = {name: values[metrics[name]] for name, values in _WEIGHTS.items()}
        privileges = _PRIVILEGES[metrics["S"]][metrics["PR"]]
    except KeyError:
        return None
    base = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    changed = metrics["S"] == "C"
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    return _round_up(min((1.08 if changed else 1.0) * (impact + exploitability), 10.0))


def _round_up(score: float) -> float:
    """Return the smallest number with one decimal that is not below the score (CVSS v3.1 specification, appendix A)."""
    whole = round(score * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (whole // 10_000 + 1) / 10


def _parts(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the record and each of its affected packages: databases write severities in either."""
    yield record
    affected = record.get("affected")
    yield from (part for part in affected if isinstance(part, dict)) if isinstance(affected, list) else ()


def _vectors(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the vectors that a record or an affected package gives."""
    listed = part.get("severity")
    for each in listed if isinstance(listed, list) else ():
        score = each.get("score") if isinstance(each, dict) else None
        if _is_vector(score):
            yield score
    specific = part.get("database_specific")
    vector = specific.get("cvss") if isinstance(specific, dict) else None
    if _is_vector(vector):
        yield vector


def _is_vector(value: object) -> TypeGuard[str]:
    """Return whether a value looks like a vector and can be kept: PostgreSQL takes no NUL and no half characters."""
    return (
        isinstance(value, str)
        and len(value) <= 200
        and value.isascii()
        and value.isprintable()
        and value[:5] == "CVSS:"
    )


def _words(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the qualitative words that a record or an affected package gives, in lower case."""
    for field in ("database_specific", "ecosystem_specific"):
        specific = part.get(field)
        word = specific.get("severity") if isinstance(specific, dict) else None
        if isinstance(word, str):
            yield word.lower()
    listed = part.get("severity")
    for each in listed if isinstance(listed, list) else ():
        # Ubuntu's own scale is a word in the place of a score.
        word = each.get("score") if isinstance(each, dict) else None
        if isinstance(word, str):
            yield word.lower()
