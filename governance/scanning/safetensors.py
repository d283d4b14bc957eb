"""Reads safetensors files: the header only, more strictly than the format's own reader, which accepts duplicate keys.

Source: the safetensors format description, version 0.4 and later (README.md of huggingface/safetensors).
"""

from __future__ import annotations

import json

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.scene import Piece, Scene

BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
LENGTH = 8
METADATA = "__metadata__"
FIELDS = {"dtype", "shape", "data_offsets"}


def looks_like(head: bytes, size: int) -> bool:
    """Return whether the first bytes announce a JSON header that fits into the file."""
    announced = int.from_bytes(head[:LENGTH], "little")
    return len(head) > LENGTH and head[LENGTH : LENGTH + 1] == b"{" and 2 <= announced <= size - LENGTH


def read(piece: Piece, scene: Scene) -> None:
    """Judge a safetensors piece. Raises Unreadable or Unsafe."""
    window = piece.window
    size = int.from_bytes(window.at(0, LENGTH), "little")
    if size > scene.limits.header_bytes:
        raise Unreadable("too-large", f"The header has {size:,} bytes; {scene.limits.header_bytes:,} is the most.")
    header = _read_header(window.at(LENGTH, size))
    data_size = window.size - LENGTH - size
    spans = []
    for name, tensor in header.items():
        scene.budget.spend_steps(1)
        if name == METADATA:
            _check_metadata(tensor)
        else:
            spans.append(_read_span(name, tensor))
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            problem = "overlaps another one" if begin < position else "leaves a hole before it"
            raise Unsafe("tensor-layout", f"The tensor {name[:80]!r} {problem}.")
        position = end
    if position > data_size:
        raise Unreadable("truncated", f"The tensors need {position:,} bytes; the file has {data_size:,}.")
    if position < data_size:
        raise Unsafe("trailing-bytes", f"{data_size - position:,} bytes follow the last tensor.")


def _read_header(data: bytes) -> dict[str, object]:
    """Return the header as a dictionary without duplicate keys."""
    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable("bad-header", f"The header is not UTF-8 JSON: {str(error)[:80]}.") from error
    if not isinstance(header, dict):
        raise Unreadable("bad-header", "The header is not a JSON object.")
    return header


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object's members, refusing a key that appears twice: which one counts depends on the reader."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unsafe("duplicate-key", "The header has the same key twice.")
    return members


def _refuse_constant(name: str) -> object:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _check_metadata(metadata: object) -> None:
    """Refuse metadata that is more than texts."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Unsafe("bad-metadata", "The metadata holds something else than texts.")


def _read_span(name: str, tensor: object) -> tuple[int, int, str]:
    """Return begin, end and name of a tensor whose length fits its type and shape."""
    if not isinstance(tensor, dict) or set(tensor) != FIELDS:
        raise Unsafe("bad-tensor", f"The tensor {name[:80]!r} does not have exactly dtype, shape and data_offsets.")
    bits = BITS.get(str(tensor["dtype"]))
    if bits is None:
        raise Unreadable("bad-tensor", f"The tensor {name[:80]!r} has the unknown type {str(tensor['dtype'])[:40]!r}.")
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    numbers = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) else [-1]
    if len(numbers) - len(shape) != 2 or not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
        raise Unsafe("bad-tensor", f"The tensor {name[:80]!r} has a shape or offsets that are not whole numbers.")
    count = 0 if 0 in shape else bits
    for length in shape if count else ():
        count *= length
        if count.bit_length() > 128:
            raise Unsafe("bad-tensor", f"The tensor {name[:80]!r} is larger than any computer.")
    begin, end = offsets
    if count % 8 or end - begin != count // 8:
        raise Unsafe("bad-tensor", f"The tensor {name[:80]!r} has {end - begin:,} bytes, not what its shape needs.")
    return begin, end, name
