"""Builds files byte by byte for the scanner's tests. Attacks are only ever assembled here, never loaded or run."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable

COMMAND = "touch /tmp/countersign-scanner-test-ran"


def text(value: str) -> bytes:
    """Return SHORT_BINUNICODE or BINUNICODE of a text."""
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    """Return BININT of a number."""
    return b"J" + struct.pack("<i", value)


def blob(data: bytes) -> bytes:
    """Return BINBYTES of bytes."""
    return b"B" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    """Return GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    """Return two texts and STACK_GLOBAL."""
    return text(module) + text(attribute) + b"\x93"


def pack(*items: bytes) -> bytes:
    """Return a tuple of values."""
    return b"(" + b"".join(items) + b"t"


def call(callee: bytes, *args: bytes) -> bytes:
    """Return REDUCE of a callable with arguments."""
    return callee + pack(*args) + b"R"


def mapping(**pairs: bytes) -> bytes:
    """Return a dictionary with text keys."""
    return b"}(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u"


def pickle(body: bytes, protocol: int = 4) -> bytes:
    """Return a whole pickle; protocols 0 and 1 have no mark in front."""
    return (b"\x80" + bytes([protocol]) if protocol >= 2 else b"") + body + b"."


def framed(body: bytes) -> bytes:
    """Return a pickle of protocol 4 in one correct frame."""
    return b"\x80\x04\x95" + struct.pack("<Q", len(body) + 1) + body + b"."


def attack(module: str = "os", attribute: str = "system", argument: str = COMMAND) -> bytes:
    """Return the classic: a call of a dangerous global."""
    return pickle(call(stack_name(module, attribute), text(argument)))


def dtype(code: str, objects: bool = False) -> bytes:
    """Return numpy.dtype(code, False, True) with the state that numpy gives it."""
    made = call(name("numpy", "dtype"), text(code), b"\x89", b"\x88")
    flags = 63 if objects else 0
    order = text("|") if objects else text("<")
    return made + pack(number(3), order, b"N", b"N", b"N", number(-1), number(-1), number(flags)) + b"b"


def wrapper(code: str, shape: tuple[int, ...], *, aligned: bool = True, objects: bool = False) -> bytes:
    """Return joblib's NumpyArrayWrapper with its state; the array's bytes belong right behind it."""
    state = mapping(
        subclass=name("numpy", "ndarray"),
        shape=pack(*(number(length) for length in shape)),
        order=text("C"),
        dtype=dtype(code, objects),
        allow_mmap=b"\x88",
        **({"numpy_array_alignment_bytes": number(16)} if aligned else {}),
    )
    return name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81" + state + b"b"


def zip_member(
    path: str,
    data: bytes,
    *,
    deflate: bool = False,
    flags: int = 0,
    local_flags: int | None = None,
    crc: int | None = None,
    local_path: str | None = None,
    size: int | None = None,
    mode: int = 0,
    method: int | None = None,
    extra: bytes = b"",
) -> dict[str, bytes]:
    """Return local record and directory entry of a member, with any lie asked for."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = machine.compress(data) + machine.flush() if deflate else data
    method = method if method is not None else (8 if deflate else 0)
    crc = zlib.crc32(data) if crc is None else crc
    size = len(data) if size is None else size
    inner = (local_path or path).encode()
    shared = struct.pack("<HHLLL", 0, 0x21, crc, len(packed), size)
    local = b"PK\3\4" + struct.pack("<HHH", 20, flags if local_flags is None else local_flags, method) + shared
    local += struct.pack("<HH", len(inner), len(extra)) + inner + extra + packed
    central = b"PK\1\2" + struct.pack("<HHHH", 0x314, 20, flags, method) + shared
    central += struct.pack("<HHHHHL", len(path.encode()), 0, 0, 0, 0, mode << 16)
    return {"local": local, "central": central, "path": path.encode()}


def zip_file(members: Iterable[dict[str, bytes]], *, prefix: bytes = b"", suffix: bytes = b"", shift: int = 0) -> bytes:
    """Return a zip of members; `shift` moves the offsets, as honest self-extracting archives do."""
    body, directory, count = prefix, b"", 0
    for member in members:
        offset = len(body) - len(prefix) + shift
        body += member["local"]
        directory += member["central"] + struct.pack("<L", offset) + member["path"]
        count += 1
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body) - len(prefix) + shift, 0)
    return body + directory + end + suffix


def torch_file(data_pkl: bytes, storages: dict[str, bytes] | None = None, root: str = "archive") -> bytes:
    """Return a zip as PyTorch writes it."""
    storages = {"0": b"\0" * 16} if storages is None else storages
    members = [zip_member(f"{root}/data.pkl", data_pkl), zip_member(f"{root}/byteorder", b"little")]
    members += [zip_member(f"{root}/data/{key}", data) for key, data in storages.items()]
    return zip_file([*members, zip_member(f"{root}/version", b"3\n")])


def tensor(key: str = "0", count: int = 4) -> bytes:
    """Return torch._utils._rebuild_tensor_v2 of a storage."""
    pid = pack(text("storage"), name("torch", "FloatStorage"), text(key), text("cpu"), number(count)) + b"Q"
    shape, stride = pack(number(count)), pack(number(1))
    hooks = call(name("collections", "OrderedDict"))
    return call(name("torch._utils", "_rebuild_tensor_v2"), pid, number(0), shape, stride, b"\x89", hooks)


def torch_legacy(body: bytes, storages: dict[str, bytes], item: int = 4) -> bytes:
    """Return a file in PyTorch's older format: five pickles, then each storage with its count in front."""
    parts = [b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", pickle(b"M\xe9\x03", 2), pickle(b"}", 2), pickle(body, 2)]
    parts.append(pickle(b"](" + b"".join(text(key) for key in storages) + b"e", 2))
    return b"".join([*parts, *(struct.pack("<q", len(data) // item) + data for data in storages.values())])


def safetensors(header: object, data: bytes = b"", *, raw: bytes | None = None) -> bytes:
    """Return a safetensors file of a header and data."""
    encoded = json.dumps(header).encode() if raw is None else raw
    return struct.pack("<Q", len(encoded)) + encoded + data


def npy(descr: object, shape: tuple[int, ...], data: bytes, *, raw: str | None = None) -> bytes:
    """Return a .npy file of version 1.0."""
    header = raw or repr({"descr": descr, "fortran_order": False, "shape": shape})
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + data


def gguf(template: str | None = None, *, tensors: tuple[tuple[str, int, int], ...] = (), data: bytes = b"") -> bytes:
    """Return a GGUF file: an optional chat template, one-dimensional float tensors (name, count, offset)."""
    pairs = {"general.architecture": "llama"} | ({"tokenizer.chat_template": template} if template is not None else {})
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    for key, value in pairs.items():
        out += struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IQ", 8, len(value.encode())) + value.encode()
    for label, count, offset in tensors:
        out += struct.pack("<Q", len(label)) + label.encode() + struct.pack("<IQIQ", 1, count, 0, offset)
    return out + b"\0" * (-len(out) % 32) + data


def field(number_: int, data: bytes | int) -> bytes:
    """Return one protocol buffer field."""

    def varint(value: int) -> bytes:
        out = b""
        while value > 0x7F:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    if isinstance(data, int):
        return varint(number_ << 3) + varint(data)
    return varint(number_ << 3 | 2) + varint(len(data)) + data


def onnx(operator: str = "Relu", domain: str = "", location: str | None = None, extra: bytes = b"") -> bytes:
    """Return an ONNX model with one node and, when asked, weights in another file."""
    node = field(1, b"x") + field(2, b"y") + field(4, operator.encode()) + field(7, domain.encode()) + extra
    graph = field(1, node) + field(2, b"g")
    if location is not None:
        entry = field(1, b"location") + field(2, location.encode())
        graph += field(5, field(8, b"w") + field(13, entry) + field(14, 1))
    return field(1, 9) + field(7, graph) + field(8, field(1, b"") + field(2, 17))


def tar(path: str, data: bytes, *, kind: bytes = b"0", link: str = "", suffix: bytes = b"") -> bytes:
    """Return a tar with one member."""
    fields = (path.encode().ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0", b"%011o\0" % len(data))
    head = b"".join(fields) + b"00000000000\0" + b" " * 8 + kind + link.encode().ljust(100, b"\0") + b"ustar\x0000"
    head = head.ljust(512, b"\0")
    head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
    return head + data + b"\0" * (-len(data) % 512) + b"\0" * 1024 + suffix
