"""The gate and the witness, each as the one file that runs without the portal: modules, joined in reading order.

Each of them imports the standard library, `cryptography` and each other, and nothing else; a test holds them to it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

GATE = ("papers.py", "gatekeeping.py", "gate.py")
WITNESS = ("cosigning.py", "polling.py", "witness.py")
FUTURE = "from __future__ import annotations\n\n"


def gate_file() -> bytes:
    """Return the gate as one Python file."""
    return joined(GATE)


def witness_file() -> bytes:
    """Return the witness as one Python file."""
    return joined(WITNESS)


@cache
def joined(parts: tuple[str, ...]) -> bytes:
    """Return modules as one file: the opening of the last one's command, all imports once, then the code of each."""
    folder = Path(__file__).parent
    texts = [(folder / name).read_text(encoding="utf-8") for name in parts]
    opening = texts[-1][: texts[-1].index(FUTURE)]
    code = "\n\n".join(code_of(text) for text in texts)
    return f"{opening}{FUTURE}{imports_of(texts)}\n{code}".encode()


def imports_of(texts: Iterable[str]) -> str:
    """Return what the parts import from the standard library, each name once."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for node in (node for text in texts for node in ast.parse(text).body):
        if isinstance(node, ast.Import):
            plain |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not is_joined(node):
            named.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    lines = [f"import {name}" for name in sorted(plain)]
    lines += [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(named.items())]
    return "\n".join(lines) + "\n"


def code_of(text: str) -> str:
    """Return a module's code without its docstring and its imports; an import that may fail stays where it is tried."""
    first, *rest = ast.parse(text).body
    dropped = [first, *(node for node in rest if isinstance(node, ast.Import | ast.ImportFrom))]
    gone = {number for node in dropped for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = enumerate(text.splitlines(keepends=True), 1)
    return "".join(line for number, line in lines if number not in gone and line[:2] != "#!").strip("\n") + "\n"


def is_joined(node: ast.ImportFrom) -> bool:
    """Return whether an import means another part, or the annotations that the whole file has at its top."""
    return node.module == "__future__" or (node.module or "").startswith("audit.")
