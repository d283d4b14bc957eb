"""What copies of checkpoints are called in folders and buckets, so that the newest is found in four short looks.

Twelve digits in four steps: `000/000/012/000000012304.checkpoint`. No step has more than a thousand names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from audit.copies.place import Contradicted

ENDING = ".checkpoint"
STEP = re.compile(r"[0-9]{3}")
LEAF = re.compile(rf"[0-9]{{12}}{re.escape(ENDING)}")


def path_of(size: int) -> str:
    """Return where the copy of a checkpoint of this size lies."""
    digits = f"{size:012d}"
    return f"{digits[:3]}/{digits[3:6]}/{digits[6:9]}/{digits}{ENDING}"


def size_of(path: str) -> int:
    """Return the size in the name of a copy."""
    return int(path.rpartition("/")[2].removesuffix(ENDING))


def newest_path(names_in: Callable[[str], Iterable[str]]) -> str | None:
    """Return the path of the copy with the greatest size; `names_in` lists the names below a path, empty for the top.

    A step that turns out to be empty is left for the one before it.
    """

    def descend(path: str, depth: int) -> str | None:
        shape = LEAF if depth == 3 else STEP
        for name in sorted((name for name in names_in(path) if shape.fullmatch(name)), reverse=True):
            below = f"{path}/{name}" if path else name
            found = below if depth == 3 else descend(below, depth + 1)
            if found:
                return found
        return None

    return descend("", 0)


def compare(held: str, brought: str, size: int) -> None:
    """Expect that what lies under a name is the checkpoint that is brought. Raises Contradicted."""
    if held.rpartition("\n\n")[0] != brought.rpartition("\n\n")[0]:
        raise Contradicted(f"it holds another checkpoint of {size} entries", f"other {size}")
