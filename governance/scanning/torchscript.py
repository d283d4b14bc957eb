"""Judges the members of a TorchScript archive that a plain PyTorch file does not have: program code and its notes.

Source: torch/csrc/jit/serialization/{export,import}.cpp. The code is a language of its own, with operators that read
and write files, and cannot be judged; the pickles beside it can.
"""

from __future__ import annotations

import re
from functools import partial

from governance.scanning import torches
from governance.scanning.scene import Piece, Scene

SAYS = (
    "This is TorchScript: it holds program code that PyTorch runs, which a scanner cannot judge. Publish the weights."
)
NOTES = re.compile(r"(bytecode|mobile_debug_handles|attributes)\.pkl")
DANGEROUS = re.compile(r"\b(?:aten::(?:save|from_file)|torch\.(?:save|from_file|load)|ops\.\w+\.(?:system|exec))\b")
LONGEST_CODE = 16 << 20


def is_script(names: set[str]) -> bool:
    """Return whether the members of a PyTorch archive, named without its root, make it TorchScript."""
    return "constants.pkl" in names or "bytecode.pkl" in names or any(name.startswith("code/") for name in names)


def hold(piece: Piece, scene: Scene) -> None:
    """Hold the archive once, and say why."""
    scene.hold(piece, "torchscript", SAYS)


def try_member(inner: Piece, scene: Scene, name: str) -> bool:
    """Judge a member of the archive by its name without the root; return whether it is one that TorchScript has."""
    if NOTES.fullmatch(name) or (name.startswith("code/") and name.endswith("pkl")):
        scene.attempt(inner, partial(torches.read_zip_pickle, keys=frozenset()))
        return True
    if not name.startswith("code/"):
        return False
    code = inner.window.head(min(inner.window.size, LONGEST_CODE)).decode("utf-8", "replace")
    found = DANGEROUS.search(code)
    if found:
        scene.reject(inner, "script-files", f"The program code calls {found[0]}, which reads or writes files.")
    return True
