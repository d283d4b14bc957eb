"""Attacks inside one pickle: dangerous and unknown names, tricks with opcodes, broken streams, arrays of joblib."""

from __future__ import annotations

import struct

from tests.governance.scanning.assemble import (
    COMMAND,
    attack,
    blob,
    call,
    dtype,
    framed,
    mapping,
    name,
    number,
    pack,
    pickle,
    stack_name,
    text,
    wrapper,
)
from tests.governance.scanning.corpus_names import DANGEROUS, UNKNOWN

Entry = tuple[str, str, bytes]

SUFFIXES = (".pkl", ".bin", ".pt", ".joblib", ".ckpt", ".dat", ".pth", ".pickle")

SYSTEM, ARGUMENT = stack_name("os", "system"), text(COMMAND)
QUOTED = b"S'" + COMMAND.encode() + b"'\n"
ROT = call(name("_codecs", "encode"), text("bf"), text("rot13"))
MADE = call(name("_codecs", "encode"), text("os"), text("latin1"))
RUN = pack(ARGUMENT) + b"R"
NAMED = text("system") + b"\x93" + RUN
ORDINARY = name("sklearn.linear_model._base", "LinearRegression") + b")\x81"
RUN_STATE = mapping(_parse_arg_template=text("import os"))
FLAGLESS = pack(number(3), text("|"), b"N", b"N", b"N", number(-1), number(-1), number(0)) + b"b"
FIELDS = mapping(a=pack(dtype("O8", objects=True), number(0)))
RECORD = pack(number(3), text("|"), b"N", pack(text("a")), FIELDS, number(8), number(1), number(16))
BODIES: dict[str, bytes] = {
    "inst": b"(" + ARGUMENT + b"ios\nsystem\n",
    "obj": b"(" + SYSTEM + ARGUMENT + b"o",
    "newobj": name("os", "system") + pack(ARGUMENT) + b"\x81",
    "newobj-ex": name("os", "system") + pack(ARGUMENT) + b"}\x92",
    "build": name("os", "environ") + mapping(PATH=text("/tmp")) + b"b",
    "computed-rot13": ROT + NAMED,
    "computed-latin1": MADE + NAMED,
    "computed-from-list": b"](" + text("os") + b"e" + NAMED,
    "memo-shadow": text("os") + b"q\x05" + text("json") + b"\x94" + b"h\x05" + NAMED,
    "memo-memoize": text("collections") + b"\x940" + text("os") + b"\x940h\x01" + NAMED,
    "memo-overwrite": text("os") + b"q\x000" + text("x") + b"q\x010" + text("os") + b"q\x01h\x01" + NAMED,
    "dup-name": text("os") + b"2" + b"0" + NAMED,
    "binstring-name": b"U\x02osU\x06system\x93" + RUN,
    "ext1": b"\x82\x01" + RUN,
    "ext2": b"\x83\x01\x00" + RUN,
    "ext4": b"\x84\x01\x00\x00\x00" + RUN,
    "dotted": stack_name("pathlib", "os.system") + RUN,
    "dotted-numpy": stack_name("numpy", "f2py.os.system") + RUN,
    "dotted-allowed": stack_name("sklearn.linear_model._base", "LinearRegression.fit") + RUN,
    "module-in-module": stack_name("numpy.os", "system") + RUN,
    "hidden-name": stack_name("collections", "__builtins__") + b"",
    "hidden-class": stack_name("builtins", "__build_class__"),
    "odd-name": stack_name("os ", "system") + RUN,
    "empty-name": stack_name("", "system") + RUN,
    "sys-modules": name("sys", "modules") + text("os") + b"Ns",
    "environ-item": name("os", "environ") + text("LD_PRELOAD") + text("/tmp/x.so") + b"s",
    "append-to-global": name("numpy", "ndarray") + b"Na",
    "setitem-on-global": name("numpy", "ndarray") + text("__array__") + b"Ns",
    "build-on-global": name("numpy", "ndarray") + mapping(x=b"N") + b"b",
    "build-on-class": name("sklearn.linear_model._base", "LinearRegression") + mapping(fit=b"N") + b"b",
    "computed-call": call(name("collections", "OrderedDict")) + RUN,
    "call-text": text("system") + RUN,
    "call-class": name("sklearn.linear_model._base", "LinearRegression") + RUN,
    "hidden-state": ORDINARY + mapping(__class__=name("numpy", "ndarray")) + b"b",
    "hidden-reduce": ORDINARY + mapping(__reduce__=name("numpy", "log1p")) + b"b",
    "handed-function": call(name("collections", "defaultdict"), name("numpy", "log1p")),
    "random-door": call(name("numpy.random._pickle", "__generator_ctor"), ARGUMENT, name("builtins", "bytearray")),
    "reconstructor": call(name("copyreg", "_reconstructor"), *(name("xgboost.core", "Booster"),) * 2, ARGUMENT),
    "copyreg-extension": call(name("copyreg", "add_extension"), text("os"), text("system"), number(1)),
    "rebuild-type": call(name("torch._tensor", "_rebuild_from_type_v2"), SYSTEM, SYSTEM, pack(ARGUMENT), b"N"),
    "load-nested": call(name("torch.storage", "_load_from_bytes"), blob(attack())),
    "load-nested-text": call(name("torch.storage", "_load_from_bytes"), text("x")),
    "memmap": name("numpy", "memmap")
    + pack(text("/tmp/x"), text("u1"), text("w+"), number(0), pack(number(9)))
    + b"\x81",
    "persistent": pack(text("module"), SYSTEM) + b"Q",
    "late-protocol": b"N0\x80\x02" + SYSTEM + RUN,
    "unicode-opcode": b"Vos\nVsystem\n\x93" + RUN,
    "escaped": b"V\\u006fs\nVsystem\n\x93" + RUN,
    "string-opcodes": b"S'os'\nS'sys\\x74em'\n\x93" + RUN,
    "in-set": b"\x8f(" + call(SYSTEM, ARGUMENT) + b"\x90",
    "as-dict-key": b"}" + call(SYSTEM, ARGUMENT) + b"Ns",
    # Real gadget: scipy's distributions run a text of their state when they are unpickled.
    "state-is-run": name("scipy.stats._continuous_distns", "norm_gen") + b")\x81" + RUN_STATE + b"b",
    # numpy believes these flags and would take raw bytes for pointers.
    "object-flags": call(name("numpy", "dtype"), text("O8")) + FLAGLESS,
    "hidden-objects": call(name("numpy", "dtype"), text("V8")) + RECORD + FLAGLESS[-1:],
    "partial": call(name("functools", "partial"), SYSTEM, ARGUMENT),
}

CALLED = call(stack_name("os", "system"), text(COMMAND))
CLEAN = pickle(b"]")
STREAMS: dict[str, bytes] = {
    "no-stop": b"\x80\x04" + CALLED,
    "nullifai": b"\x80\x04" + CALLED + b"\xff\xff\xffbroken",
    "nullifai-text": b"cos\nsystem\n(S'id'\ntRgarbage",
    "cut-argument": b"\x80\x04" + CALLED + b"X\xff\xff\xff\x00abc",
    "second-pickle": CLEAN + attack(),
    "second-after-junk": CLEAN + b"\0" * 64 + attack(),
    "junk-behind": CLEAN + b"junk",
    "junk-before": b"\0\0\0\0" + attack(),
    "frame-too-long": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + CALLED + b".",
    "frame-too-short": b"\x80\x04\x95" + struct.pack("<Q", 3) + CALLED + b".",
    "frame-in-frame": b"\x80\x04\x95" + struct.pack("<Q", 60) + b"\x95" + struct.pack("<Q", 2) + CALLED + b".",
    "left-on-stack": b"\x80\x04N" + CALLED + b"N.",
    "memo-missing": b"\x80\x04h\x07" + CALLED + b".",
    "huge-memo": b"\x80\x04Nr\xff\xff\xff\xff" + CALLED + b".",
    "newest-protocol": b"\x80\x06" + CALLED + b".",
    "pop-too-much": b"\x80\x04" + CALLED + b"000000.",
}

EIGHT = struct.pack("<d", 1.5)
PADDING = b"\x01\xff"
HONEST = pack(number(3), text("<"), b"N", b"N", b"N", number(-1), number(-1), number(0)) + b"b"
LYING = pack(number(3), text("<"), b"N", b"N", b"N", number(64), number(1), number(0)) + b"b"
ROOM = (len(CALLED) // 8 + 2) * 8
HIDDEN = b"\x80\x04" + wrapper("f8", (ROOM // 8,), aligned=False) + (CALLED + b"N.").ljust(ROOM, b"\0") + b"."
INSIDE = wrapper("f8", (1,), aligned=False)
FRAME = b"\x95" + struct.pack("<Q", len(INSIDE) + len(CALLED) + 1) + INSIDE + CALLED + b"." + EIGHT
OLD_WRAPPER = name("joblib.numpy_pickle", "NDArrayWrapper") + b")\x81" + mapping(filename=text("/etc/x")) + b"b"
ARRAYS: dict[str, bytes] = {
    "objects": b"\x80\x04" + wrapper("O8", (1,), objects=True) + attack() + b".",
    "after-array": b"\x80\x04" + wrapper("f8", (1,)) + PADDING + EIGHT + CALLED + b".",
    "before-array": b"\x80\x04" + CALLED + b"0" + wrapper("f8", (1,)) + PADDING + EIGHT + b".",
    "shape-lie": b"\x80\x04" + wrapper("f8", (-1,)) + PADDING + CALLED + b".",
    "too-long": b"\x80\x04" + wrapper("f8", (1 << 30,)) + PADDING + CALLED + b".",
    "dtype-lie": b"\x80\x04" + wrapper("f8", (1,)).replace(HONEST, LYING) + PADDING + EIGHT + CALLED + b".",
    "hidden-in-array": HIDDEN,
    "array-in-frame": b"\x80\x04" + FRAME,
    "old-wrapper": pickle(OLD_WRAPPER),
}


def by_name() -> list[Entry]:
    """Return every listed global called, called and dropped, and merely named."""
    entries = []
    for place, full in enumerate(DANGEROUS):
        module, attribute = full.rsplit(".", 1)
        suffix = SUFFIXES[place % len(SUFFIXES)]
        dropped = pickle(name(module, attribute) + pack(text(COMMAND)) + b"R0N", 2)
        entries.append(("dangerous-call", f"call{place}{suffix}", attack(module, attribute)))
        entries.append(("dangerous-dropped", f"dropped{place}{suffix}", dropped))
        entries.append(("dangerous-mention", f"mention{place}{suffix}", pickle(stack_name(module, attribute))))
    for place, full in enumerate(UNKNOWN):
        module, attribute = full.rsplit(".", 1)
        entries.append(("unknown-global", f"unknown{place}.pkl", attack(module, attribute)))
        entries.append(("unknown-global", f"instance{place}.pkl", pickle(stack_name(module, attribute) + b")\x81}b")))
    return entries


def by_trick() -> list[Entry]:
    """Return every trick with opcodes, streams, old protocols and arrays."""
    entries = [("opcode-trick", f"{label}.pkl", pickle(body)) for label, body in BODIES.items()]
    entries += [("opcode-trick", f"{label}.joblib", framed(body)) for label, body in BODIES.items()]
    entries += [("broken-stream", f"{label}.pkl", data) for label, data in STREAMS.items()]
    entries += [("broken-stream", f"{label}.bin", data) for label, data in STREAMS.items()]
    entries += [("joblib", f"{label}.joblib", data) for label, data in ARRAYS.items()]
    for suffix in (".bin", ".pkl", ".pt", ".txt", ".json", ".md", ".safetensors", ".onnx", ".gguf", ".npy", ""):
        entries.append(("old-protocol", f"zero{suffix}", b"cos\nsystem\n(" + QUOTED + b"tR."))
        entries.append(("old-protocol", f"inst{suffix}", b"(" + QUOTED + b"ios\nsystem\n."))
        entries.append(("old-protocol", f"one{suffix}", b"cposix\nsystem\nq\x00(U\x02idq\x01tq\x02Rq\x03."))
    return entries
