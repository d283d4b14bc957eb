"""Reads .npy files: the header strictly, numbers by their length only, objects as the pickle they are.

Source: numpy/lib/format.py (format versions 1.0, 2.0 and 3.0).
"""

from __future__ import annotations

import ast
from dataclasses import replace

from governance.scanning import pickles
from governance.scanning.arrays import count_items, read_code
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.scene import Piece, Scene

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 1 << 16
DEEPEST_RECORD = 8


def read(piece: Piece, scene: Scene) -> str:
    """Judge a .npy piece. Raises Unreadable or Unsafe."""
    window = piece.window
    major, minor = window.at(6, 2)
    if (major, minor) not in {(1, 0), (2, 0), (3, 0)}:
        raise Unreadable("npy-version", f"The array has format {major}.{minor}; known are 1.0, 2.0 and 3.0.")
    width = 2 if major == 1 else 4
    size = int.from_bytes(window.at(8, width), "little")
    start = 8 + width + size
    if size > LONGEST_HEADER:
        raise Unreadable("npy-header", f"The array's header has {size:,} bytes.")
    header = read_header(window.at(8 + width, size), "utf-8" if major == 3 else "latin-1")
    item, objects = measure(header["descr"])
    shape = header["shape"]
    if not isinstance(shape, tuple) or not isinstance(header["fortran_order"], bool):
        raise Unsafe("npy-header", "The array's shape is not a tuple, or its order is not true or false.")
    body = window.rest(start)
    if objects:
        pickles.read(replace(piece, window=body), scene)
        return "npy-objects"
    expected = count_items(shape) * item
    if body.size < expected:
        raise Unreadable("truncated", f"The array should have {expected:,} bytes of data and has {body.size:,}.")
    if body.size > expected:
        scene.reject(piece, "trailing-bytes", f"{body.size - expected:,} bytes follow the array's data.")
    return "npy"


def read_header(data: bytes, encoding: str) -> dict[str, object]:
    """Return the header dictionary: exactly descr, fortran_order and shape, all literal."""
    try:
        header = ast.literal_eval(data.decode(encoding))
    except (ValueError, SyntaxError, RecursionError, MemoryError, UnicodeDecodeError) as error:
        raise Unsafe("npy-header", "The array's header is not a literal dictionary.") from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise Unsafe("npy-header", "The array's header does not have exactly descr, fortran_order and shape.")
    return header


def measure(descr: object, depth: int = 0) -> tuple[int, bool]:
    """Return the item size in bytes of a dtype description, and whether it holds objects."""
    if depth > DEEPEST_RECORD:
        raise Unreadable("too-deep", f"The array's records are nested more than {DEEPEST_RECORD} deep.")
    if isinstance(descr, str):
        known = read_code(descr)
        if known is None:
            raise Unreadable("npy-dtype", f"The array has items of an unknown type {descr[:40]!r}.")
        return known[1], known[0] == "O"
    if isinstance(descr, tuple) and len(descr) == 2 and isinstance(descr[1], tuple):
        item, objects = measure(descr[0], depth + 1)
        return item * count_items(descr[1]), objects
    if not isinstance(descr, list):
        raise Unsafe("npy-header", "The array's type is neither a code nor a list of fields.")
    total, any_objects = 0, False
    for field in descr:
        if not isinstance(field, tuple) or len(field) not in {2, 3}:
            raise Unsafe("npy-header", "A field of the array's records is not a name and a type.")
        item, objects = measure(field[1], depth + 1)
        repeats = field[2] if len(field) == 3 else ()
        total += item * count_items(repeats if isinstance(repeats, tuple) else (repeats,))
        any_objects = any_objects or objects
    return total, any_objects
