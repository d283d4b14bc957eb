"""How bad an OSV record says a vulnerability is. A record that does not say stays unknown; nothing is guessed.

Vectors are scored in `cvss`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from governance.advisories.cvss import score_v2, score_v3, score_v4
from governance.models.advisories import Severity

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
    """Return the rating of an OSV record: the worst of its CVSS 3 and 4 vectors and its words.

    A CVSS 2 vector, which is on another scale, is heard only when nothing else is said. A record of a malicious package
    (`MAL-…`) is critical: the package itself is the attack.
    """
    vectors = [vector for part in _parts(record) for vector in _vectors(part)]
    scores = [score for vector in vectors if (score := score_v3(vector)) is not None]
    newer = [score for vector in vectors if (score := score_v4(vector)) is not None]
    said = [_WORDS[word] for part in _parts(record) for word in _words(part) if word in _WORDS]
    if str(record.get("id", "")).startswith("MAL-"):
        said.append(Severity.CRITICAL)
    severity = worst([*said, *(severity_of(score) for score in (*scores, *newer))])
    if severity == Severity.UNKNOWN:
        severity = worst(severity_of_v2(score) for vector in vectors if (score := score_v2(vector)) is not None)
    return Rating(severity, max(scores, default=None), tuple(dict.fromkeys(vectors))[:MAX_VECTORS])


def reaches(severity: str, rule: Mapping[str, Any]) -> bool:
    """Return whether a severity is at or above a policy rule's `block`; an unknown one counts as its `unknown`.

    A rule without `block` is reached by nothing. Left out, `unknown` is high.
    """
    order = list(Severity)
    return "block" in rule and rank(severity, rule) >= order.index(rule["block"])


def rank(severity: str, rule: Mapping[str, Any]) -> int:
    """Return where a severity stands under a policy rule: more is worse."""
    counted = rule.get("unknown", Severity.HIGH) if severity == Severity.UNKNOWN else severity
    return list(Severity).index(Severity(counted))


def worst(severities: Iterable[str]) -> Severity:
    """Return the worst of some severities. Unknown is the mildest, so it remains only when nothing else is said."""
    order = list(Severity)
    return max((Severity(each) for each in severities), key=order.index, default=Severity.UNKNOWN)


def severity_of(score: float) -> Severity:
    """Return the qualitative severity of a CVSS 3 or 4 score from 0 to 10 (CVSS v4.0 specification, section 6)."""
    bounds = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))
    return next((severity for bound, severity in bounds if score >= bound), Severity.LOW)


def severity_of_v2(score: float) -> Severity:
    """Return the qualitative severity that the NVD gives a CVSS 2 score: it knows no critical."""
    return Severity.HIGH if score >= 7.0 else severity_of(score)


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
        if _is_vector(score) and (score[:5] == "CVSS:" or each.get("type") == "CVSS_V2"):
            yield score
    specific = part.get("database_specific")
    vector = specific.get("cvss") if isinstance(specific, dict) else None
    if _is_vector(vector) and vector[:5] == "CVSS:":
        yield vector


def _is_vector(value: object) -> TypeGuard[str]:
    """Return whether a value can be kept as a vector: PostgreSQL takes no NUL and no half characters."""
    return isinstance(value, str) and len(value) <= 200 and value.isascii() and value.isprintable()


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
