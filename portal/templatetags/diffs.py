"""Line-by-line comparison of two texts, ready to print. What counts as a material change is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

MAX_LINES = 4000


@dataclass(frozen=True)
class DiffLine:
    """One printed line: kind is same, plus, minus or gap; a line number is None where the line does not exist."""

    kind: str
    sign: str
    old: int | None
    new: int | None
    text: str


def compare_texts(before: str, after: str, context: int = 3) -> list[DiffLine]:
    """Return removed, added and nearby unchanged lines, at most 4,000 of each side; gaps count what is left out."""
    old, new = before.splitlines(), after.splitlines()
    cut = max(len(old), len(new)) - MAX_LINES
    old, new = old[:MAX_LINES], new[:MAX_LINES]
    lines: list[DiffLine] = []
    done = 0
    for group in SequenceMatcher(None, old, new).get_grouped_opcodes(context):
        _add_gap(lines, group[0][1] - done)
        for kind, a, b, c, d in group:
            if kind == "equal":
                pairs = zip(range(a, b), range(c, d), strict=True)
                lines.extend(DiffLine("same", " ", i + 1, j + 1, old[i]) for i, j in pairs)
                continue
            lines.extend(DiffLine("minus", "−", i + 1, None, old[i]) for i in range(a, b))
            lines.extend(DiffLine("plus", "+", None, j + 1, new[j]) for j in range(c, d))
        done = group[-1][2]
    if lines:
        _add_gap(lines, len(old) - done)
    if cut > 0:
        lines.append(DiffLine("gap", "", None, None, f"{cut} more lines are not compared here; download both texts."))
    return lines


def _add_gap(lines: list[DiffLine], count: int) -> None:
    """Add one line that stands for unchanged lines left out."""
    if count > 0:
        lines.append(DiffLine("gap", "", None, None, f"{count} unchanged line{'' if count == 1 else 's'}"))
