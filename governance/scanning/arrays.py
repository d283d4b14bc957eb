"""Arrays as numpy and joblib describe them: item sizes of dtypes, and raw array bytes between a pickle's opcodes.

joblib writes a wrapper object, then the array's bytes, then goes on with opcodes (joblib/numpy_pickle.py). Skipping too
much or too little would hide code, so everything the length depends on must be literal and consistent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.values import Made, Map, Name, Value

if TYPE_CHECKING:
    from governance.scanning.machine import Machine

CODE = re.compile(r"[<>|=]?([biufcSUVOMm])(\d{1,9})", re.ASCII)
SIZES = {
    "b": {1},
    "i": {1, 2, 4, 8},
    "u": {1, 2, 4, 8},
    "f": {2, 4, 8, 12, 16},
    "c": {8, 16, 24, 32},
    "M": {8},
    "m": {8},
    "O": {4, 8},
}
FLEXIBLE = {"S", "U", "V"}
WRAPPERS = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"),
}
HAS_OBJECTS = 1  # numpy's NPY_ITEM_REFCOUNT, the first bit of a dtype's flags
MOST_DIMENSIONS = 64


def read_code(code: str) -> tuple[str, int] | None:
    """Return kind and item size in bytes of a dtype code such as `<f8`, or None for any other text."""
    match = CODE.fullmatch(code)
    if match is None:
        return ("O", 8) if code in {"O", "|O"} else None
    kind, number = match[1], int(match[2])
    if kind in SIZES and number not in SIZES[kind]:
        return None
    return kind, number * 4 if kind == "U" else number


def count_items(shape: tuple[object, ...]) -> int:
    """Return the number of items in a shape. Raises Unsafe when a dimension is not a whole number from 0 on."""
    count = 1
    if len(shape) > MOST_DIMENSIONS:
        raise Unsafe("array-shape", f"An array has {len(shape)} dimensions.")
    for length in shape:
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise Unsafe("array-shape", "An array's shape is not made of whole numbers from 0 on.")
        count *= length
    return count


def make_dtype(machine: Machine, callee: Name, args: tuple[Value, ...]) -> Value:
    """Return the symbolic result of numpy.dtype(code, align, copy)."""
    made = Made(callee, args[:1])
    known = read_code(args[0]) if args and isinstance(args[0], str) else None
    if known is not None:
        kind, made.size = known
        made.objects = kind == "O"
    return made


def set_dtype_state(machine: Machine, made: Made, state: Value) -> None:
    """Follow dtype.__setstate__: (version, order, subarray, names, fields, size, alignment, flags[, metadata]).

    numpy believes the flags: objects that they deny would be made from raw bytes, as pointers of the attacker's choice.
    """
    code = made.args[0] if isinstance(made.args, tuple) and made.args else None
    known = read_code(code) if isinstance(code, str) else None
    if isinstance(code, Name) and code.name == "record" and isinstance(state, tuple) and len(state) > 5:
        # Records of numpy.rec are described by their class; only the state knows their size.
        known = ("V", state[5]) if isinstance(state[5], int) and state[5] >= 0 else None
    made.size = made.objects = None
    if known is None or not isinstance(state, tuple) or len(state) < 7:
        machine.hold("dtype-unclear", "A dtype is not written as numpy writes it.")
        return
    kind, size = known
    subarray, names, fields, announced = state[2], state[3], state[4], state[5]
    objects = _any_objects(kind, subarray, names, fields)
    flags = state[7] if len(state) > 7 else None
    if announced != size and not (announced == -1 and kind not in FLEXIBLE):
        machine.reject("dtype-lie", f"A dtype {code!r} announces items of {announced!r} bytes.")
    elif objects is None or (flags is not None and not isinstance(flags, int)):
        machine.hold("dtype-unclear", "A record dtype has more fields, or other ones, than can be followed.")
    elif isinstance(flags, int) and bool(flags & HAS_OBJECTS) != objects:
        machine.reject("dtype-lie", f"A dtype {code!r} lies about whether it holds objects.")
    elif not _fits(subarray, fields, size):
        machine.reject("dtype-lie", f"A dtype {code!r} has parts that lie outside of its items.")
    else:
        made.size, made.objects = size, objects


def _any_objects(kind: str, subarray: Value, names: Value, fields: Value) -> bool | None:
    """Return whether items of a dtype hold objects, or None when that cannot be seen."""
    if subarray is not None:
        base = subarray[0] if isinstance(subarray, tuple) and subarray else None
        return base.objects if isinstance(base, Made) else None
    if names is None:
        return kind == "O"
    if not isinstance(fields, Map) or fields.crowded:
        return None
    dtypes = [field[0] if isinstance(field, tuple) and field else None for field in fields.named.values()]
    found = [dtype.objects if isinstance(dtype, Made) else None for dtype in dtypes]
    return None if None in found else any(found)


def _fits(subarray: Value, fields: Value, size: int) -> bool:
    """Return whether the parts of a dtype lie inside an item: numpy would read what is behind it."""
    parts: list[tuple[Value, int, int]] = []
    if isinstance(subarray, tuple) and len(subarray) == 2:
        shape = subarray[1] if isinstance(subarray[1], tuple) else (subarray[1],)
        parts.append((subarray[0], 0, count_items(shape)))
    for field in fields.named.values() if isinstance(fields, Map) else ():
        if not (isinstance(field, tuple) and len(field) > 1 and isinstance(field[1], int) and field[1] >= 0):
            return False
        parts.append((field[0], field[1], 1))
    known = [(made.size, start, count) for made, start, count in parts if isinstance(made, Made)]
    return all(each is None or start + each * count <= size for each, start, count in known)


def is_wrapper(made: Made) -> bool:
    """Return whether a BUILD on this object makes joblib read an array."""
    return made.maker is not None and made.maker.key in WRAPPERS


def read_array(machine: Machine, wrapper: Made, state: Value) -> Value:
    """Step over the array that follows a joblib wrapper, or follow it when it is a nested pickle of objects."""
    dtype, shape = wrapper.state.get("dtype"), wrapper.state.get("shape")
    if not isinstance(state, Map) or state.crowded or not isinstance(dtype, Made) or not isinstance(shape, tuple):
        raise Unsafe("array-wrapper", "A joblib array does not say its shape and dtype as joblib writes them.")
    if dtype.size is None or dtype.objects is None:
        raise Unreadable("array-dtype", "A joblib array has a dtype whose size cannot be known without loading it.")
    start = machine.stream.tell()
    # joblib's reader holds a whole frame in memory and reads the array from behind it.
    if start < machine.frame_end:
        raise Unsafe("array-in-frame", "A joblib array begins inside a frame, where loaders disagree about its place.")
    if dtype.objects:
        return _follow_objects(machine, start)
    end = start
    if wrapper.state.get("numpy_array_alignment_bytes") is not None:
        padding = machine.stream.read(1)
        end += 1 + (padding[0] if padding else 0)
    end += count_items(shape) * dtype.size
    if end > machine.stream.raw.size:  # type: ignore[attr-defined]
        raise Unreadable("truncated", "A joblib array is longer than the file.")
    machine.stream.seek(end)
    machine.arrays.append((start, end))
    return Made(None)


def _follow_objects(machine: Machine, start: int) -> Value:
    """Follow the pickle of an array of objects that stands in the middle of a joblib file."""
    inner = type(machine)(machine.piece, machine.scene, machine.stream, machine.persistent)
    # joblib reads it with a plain unpickler, which knows nothing of array wrappers.
    inner.follow_arrays = False
    inner.run()
    place = (start, machine.stream.tell())
    machine.arrays.append(place)
    machine.nested.append(place)
    return Made(None)
