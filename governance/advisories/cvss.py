"""Base scores of CVSS 2.0, 3.0, 3.1 and 4.0 vectors. What a score means for us is said in `severity`.

Only base metrics count. Threat, temporal, environmental and supplemental ones are allowed and left out: they describe
somebody else's day or installation.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

# CVSS v2 guide, section 3.2.1.
_V2: dict[str, dict[str, float]] = {
    "AV": {"L": 0.395, "A": 0.646, "N": 1.0},
    "AC": {"H": 0.35, "M": 0.61, "L": 0.71},
    "Au": {"M": 0.45, "S": 0.56, "N": 0.704},
    **{name: {"N": 0.0, "P": 0.275, "C": 0.66} for name in "CIA"},
}
# CVSS v3.1 specification, section 7.4; PR is the pair for an unchanged and a changed scope.
_V3: dict[str, dict[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    **{name: {"H": 0.56, "L": 0.22, "N": 0.0} for name in "CIA"},
}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}
# CVSS v4.0 specification, section 8: each metric's values from the worst down, in the groups EQ1 to EQ4.
_V4 = (
    {"AV": "NALP", "PR": "NLH", "UI": "NPA"},
    {"AC": "LH", "AT": "NP"},
    dict.fromkeys(("VC", "VI", "VA"), "HLN"),
    dict.fromkeys(("SC", "SI", "SA"), "HLN"),
)
# Section 8.3, by the levels of EQ1 and EQ2: the scores of EQ3 and EQ6 being 00, 01, 10, 11, 21, each with EQ4 1 and 2.
# EQ5 is 0 without threat metrics, and EQ4 is never 0 without environmental ones.
_SCORES = {
    (0, 0): (10.0, 9.3, 9.6, 9.0, 9.3, 8.8, 9.2, 8.0, 7.9, 6.9),
    (0, 1): (9.5, 9.2, 9.1, 8.1, 9.2, 8.4, 8.2, 7.0, 7.1, 6.3),
    (1, 0): (9.4, 8.7, 8.9, 7.5, 8.6, 7.2, 7.6, 5.7, 6.5, 5.3),
    (1, 1): (9.0, 7.7, 7.7, 6.6, 7.4, 6.1, 5.9, 5.2, 5.8, 2.3),
    (2, 0): (8.6, 7.0, 7.4, 5.4, 7.2, 5.3, 5.7, 3.6, 4.7, 2.4),
    (2, 1): (7.3, 5.4, 5.5, 4.3, 6.1, 4.6, 5.1, 1.8, 2.4, 1.0),
}
# Section 8.3: of each group's levels the worst vectors, and how many steps lie between these and the mildest one.
_WORST = (
    (("NNN",), ("ANN", "NLN", "NNP"), ("PNN", "ALP")),
    (("LN",), ("HN", "LP")),
    (("HHH",), ("LHH", "HLH"), ("LLL",)),
    ((), ("HHH",), ("LLL",)),
)
_DEPTHS = ((1, 4, 5), (1, 2), (7, 8, 10), (6, 5, 4))


def score_v2(vector: str) -> float | None:
    """Return the base score of a CVSS 2.0 vector, which has no prefix (CVSS v2 guide, section 3.2.1)."""
    metrics = _read(vector.strip("()"), "")
    if metrics is None or not metrics.keys() >= _V2.keys():
        return None
    try:
        weight = {name: values[metrics[name]] for name, values in _V2.items()}
    except KeyError:
        return None
    impact = 10.41 * (1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"]))
    exploitability = 20 * weight["AV"] * weight["AC"] * weight["Au"]
    return _round((0.6 * impact + 0.4 * exploitability - 1.5) * (1.176 if impact else 0.0))


def score_v3(vector: str) -> float | None:
    """Return the base score of a CVSS 3.0 or 3.1 vector (CVSS v3.1 specification, section 7.1)."""
    metrics = _read(vector, "CVSS:3.0/") or _read(vector, "CVSS:3.1/")
    if metrics is None or not metrics.keys() >= {*_V3, "PR", "S"}:
        return None
    try:
        weight = {name: values[metrics[name]] for name, values in _V3.items()}
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


def score_v4(vector: str) -> float | None:
    """Return the base score (CVSS-B) of a CVSS 4.0 vector (CVSS v4.0 specification, section 8.2)."""
    metrics = _read(vector, "CVSS:4.0/")
    if metrics is None or not all(metrics.get(name) in {*values} for group in _V4 for name, values in group.items()):
        return None
    if all(metrics[name] == "N" for group in _V4[2:] for name in group):
        return 0.0
    levels = _levels(metrics)
    value = _look_up(levels)
    # The group EQ5 has a next lower level and no distance from it: it counts in the mean and takes nothing away.
    lost = [0.0]
    for group in range(4):
        lower = _next_lower(levels, group)
        if lower is not None:
            steps = _distance(metrics, group, levels[group])
            lost.append((value - lower) * steps / _DEPTHS[group][levels[group]])
    return _round(value - sum(lost) / len(lost))


def _read(vector: str, prefix: str) -> Mapping[str, str] | None:
    """Return the metrics of a vector, or None when it has another prefix, no values, or a metric twice."""
    pairs = [part.partition(":") for part in vector.removeprefix(prefix).split("/")]
    metrics = {name: value for name, _, value in pairs}
    whole = vector.startswith(prefix) and len(metrics) == len(pairs) and all(value for _, _, value in pairs)
    return metrics if whole else None


def _levels(metrics: Mapping[str, str]) -> tuple[int, int, int, int]:
    """Return the levels of the groups EQ1, EQ2, EQ3 and EQ4 (section 8.2, tables 24 to 28); EQ6 follows from EQ3."""
    open_to = [metrics[name] == "N" for name in _V4[0]]
    first = 0 if all(open_to) else 1 if any(open_to) and metrics["AV"] != "P" else 2
    second = int(metrics["AC"] + metrics["AT"] != "LN")
    harmed = [metrics[name] == "H" for name in _V4[2]]
    third = 0 if harmed[0] and harmed[1] else 1 if any(harmed) else 2
    fourth = 1 if any(metrics[name] == "H" for name in _V4[3]) else 2
    return first, second, third, fourth


def _look_up(levels: tuple[int, int, int, int], column: int | None = None) -> float:
    """Return the score of a macro vector; `column` names another pair of EQ3 and EQ6 than the base metrics give."""
    first, second, third, fourth = levels
    return _SCORES[first, second][2 * (2 * third if column is None else column) + fourth - 1]


def _next_lower(levels: tuple[int, int, int, int], group: int) -> float | None:
    """Return the score of the next milder macro vector in one group, or None when there is none."""
    if group == 2:
        # Below 00 are both 01 and 10, of which the worse counts; below 10 is 11; below 21 is nothing.
        columns: tuple[tuple[int, ...], ...] = ((1, 2), (3,), ())
        return max((_look_up(levels, column) for column in columns[levels[2]]), default=None)
    if levels[group] + 1 == len(_WORST[group]):
        return None
    first, second, third, fourth = (level + (place == group) for place, level in enumerate(levels))
    return _look_up((first, second, third, fourth))


def _distance(metrics: Mapping[str, str], group: int, level: int) -> int:
    """Return how many steps a group's metrics are milder than the first of its worst vectors that is not below them."""
    ranks = _V4[group]
    for worst in _WORST[group][level]:
        steps = [
            values.index(metrics[name]) - values.index(most)
            for (name, values), most in zip(ranks.items(), worst, strict=True)
        ]
        if min(steps) >= 0:
            return sum(steps)
    return 0


def _round(score: float) -> float:
    """Return a score with one decimal, halves up, and never outside 0 to 10."""
    return floor(min(max(score, 0.0), 10.0) * 10 + 0.5 + 1e-6) / 10


def _round_up(score: float) -> float:
    """Return the smallest number with one decimal that is not below the score (CVSS v3.1 specification, appendix A)."""
    whole = round(score * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (whole // 10_000 + 1) / 10
