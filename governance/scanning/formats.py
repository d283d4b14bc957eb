"""Says what a file is by its content, and whether its name agrees. Reading it is the format modules' business."""

from __future__ import annotations

import zlib
from pathlib import PurePosixPath

from governance.scanning import (
    bundle,
    compressed,
    coreml,
    images,
    msgpacks,
    onnx,
    pickles,
    safetensors,
    saved_model,
    sentencepiece,
    tars,
    tflite,
    ubjson,
)
from governance.scanning.limits import Unreadable
from governance.scanning.machine import NEWEST_PROTOCOL
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene
from governance.scanning.torches import MAGIC_PICKLE

HEAD = 1024
LOOK = 1 << 16
MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "zip"),
    (b"\x93NUMPY", "npy"),
    (b"GGUF", "gguf"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"]\0\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x7fELF", "executable"),
    (b"\xfe\xed\xfa\xce", "executable"),
    (b"\xfe\xed\xfa\xcf", "executable"),
    (b"\xce\xfa\xed\xfe", "executable"),
    (b"\xcf\xfa\xed\xfe", "executable"),
    (b"\xca\xfe\xba\xbe", "executable"),
    (b"\0asm", "executable"),
)
OPAQUE = frozenset({"rar"})
COMPRESSED = frozenset({"zlib", "gzip", "bzip2", "xz", "lz4", "zstandard"})
PICKLE_NAMES = ".pkl .pickle .pck .pcl .p .joblib .jbl .bin .pt .pth .ckpt .dat .data .model .sav .mdl .clf .est"
TORCH_NAMES = ".pt .pth .bin .ckpt .pkl .model .torch .tar .jit .pyt .th .t7 .mar"
PROSE_NAMES = ".txt .md .rst .license .log .csv .tsv .json .jsonl .yaml .yml .toml .ini .cfg .conf .xml .html .htm .css"
PROMPT_NAMES = ".prompt .jinja .jinja2 .j2 .tmpl .template .mustache"
MODEL_TEXT_NAMES = ".vocab .merges .model .pmml .lst .names .labels .bpe .tokens .pbtxt .prototxt .params"
REPOSITORY_NAMES = ".svg .sha256 .gitattributes .gitignore"
PICKLES = frozenset(PICKLE_NAMES.split())
TORCH = frozenset(TORCH_NAMES.split())
TEXTS = frozenset(f"{PROSE_NAMES} {PROMPT_NAMES} {MODEL_TEXT_NAMES} {REPOSITORY_NAMES}".split())
EXTENSIONS: dict[str, frozenset[str]] = {
    "pickle": PICKLES,
    "joblib": PICKLES,
    "torch-legacy": TORCH,
    "torch": TORCH | {".zip"},
    "torchscript": TORCH | {".zip", ".ptl"},
    "zip": frozenset({".zip", ".nemo", ".mar", ".task", ".eval"}),
    "npz": frozenset({".npz"}),
    "keras": frozenset({".keras"}),
    "npy": frozenset({".npy"}),
    "npy-objects": frozenset({".npy"}),
    "safetensors": frozenset({".safetensors"}),
    "onnx": frozenset({".onnx"}),
    "gguf": frozenset({".gguf"}),
    "sentencepiece": frozenset({".model", ".spm", ".vocab"}),
    "tar": frozenset({".tar", ".nemo"}),
    "7z": frozenset({".7z"}),
    "hdf5": frozenset({".h5", ".hdf5", ".hdf", ".he5", ".h5ad", ".loom", ".nc", ".keras"}),
    "saved-model": frozenset({".pb"}),
    "meta-graph": frozenset({".meta", ".pb"}),
    "frozen-graph": frozenset({".pb"}),
    "keras-metadata": frozenset({".pb"}),
    "fingerprint": frozenset({".pb"}),
    "tensor-index": frozenset({".index"}),
    "tflite": frozenset({".tflite", ".lite"}),
    "coreml": frozenset({".mlmodel"}),
    "skops": frozenset({".skops"}),
    "image": frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"}),
    "msgpack": frozenset({".msgpack"}),
    "ubjson": frozenset({".ubj", ".ubjson"}),
    "text": TEXTS,
    "json": TEXTS,
    "executable": frozenset({".so", ".dll", ".dylib", ".exe"}),
}
EXTENSIONS |= dict.fromkeys(COMPRESSED, PICKLES | compressed.SUFFIXES)
KNOWN = frozenset().union(*EXTENSIONS.values())
RUNNING = frozenset(
    {"pickle", "joblib", "torch", "torch-legacy", "torchscript", "npy-objects", "zip", "keras", "hdf5", "tar", "7z"}
)
NAMELESS = frozenset({"text", "json", "code"})
# How the messages of TensorFlow may begin.
TENSORFLOW = frozenset({b"\x08", b"\x09", b"\n", b"\x12"})
# What bare numbers may look like by chance.
CHANCES = frozenset({"unknown", "text", "pickle", "zlib", "xz", "bzip2", "onnx", "tensorflow", "sentencepiece", "tar"})


def suffix_of(name: str) -> str:
    """Return the last suffix of a file name in lower case, with its dot."""
    return PurePosixPath(name.rstrip(". ")).suffix.lower()


def identify(piece: Piece, scene: Scene) -> str:
    """Return the format of a piece by its content, or `unknown`. Raises Unreadable for an empty one."""
    window = piece.window
    if window.size == 0:
        # Archives keep empty files as place holders; an empty artifact is a mistake.
        if piece.depth:
            return "empty"
        raise Unreadable("empty", "The file is empty.")
    head = window.head(HEAD)
    found = next((known for magic, known in MAGICS if head.startswith(magic)), None)
    if found is None and head[:1] == b"\x80" and len(head) > 1 and head[1] <= NEWEST_PROTOCOL:
        found = "torch-legacy" if head[2:].startswith(MAGIC_PICKLE) else "pickle"
    if found is None:
        marks = {
            "safetensors": safetensors.looks_like(head, window.size),
            "tar": tars.looks_like(head),
            "tflite": tflite.looks_like(head),
            "tensor-index": bundle.looks_like(window),
            "image": images.looks_like(head),
            "msgpack": suffix_of(piece.name) == ".msgpack" and msgpacks.looks_like(head),
            "ubjson": ubjson.looks_like(head),
            "zlib": _is_zlib(head),
            "executable": _is_windows_program(head, window),
        }
        found = next((known for known, fits in marks.items() if fits), None)
    found = found or _identify_unmarked(piece, scene)
    if bundle.is_shard(piece.name) and found in CHANCES and not pickles.looks_like_pickle(window, scene):
        return "numbers"
    return found


def check_extension(piece: Piece, found: str, scene: Scene) -> None:
    """Note a name that claims to be something else than the content is: a disguise when the content can run code."""
    suffix = suffix_of(piece.name)
    allowed = EXTENSIONS.get(found)
    if allowed is None or suffix in allowed or (not suffix and (found in NAMELESS or piece.depth)):
        return
    shown = f"The content is {found}, but the name ends in {suffix}."
    if found in NAMELESS and suffix not in KNOWN - TEXTS:
        return
    if found in RUNNING and suffix in KNOWN:
        scene.reject(piece, "disguised", shown)
    else:
        scene.hold(piece, "wrong-extension", shown)


def _identify_unmarked(piece: Piece, scene: Scene) -> str:
    """Return the format of content that begins with no mark of its own."""
    window, suffix = piece.window, suffix_of(piece.name)
    found = "unknown"
    if pickles.looks_like_pickle(window, scene) or (suffix in PICKLES and pickles.is_whole_pickle(window, scene)):
        found = "pickle"
    elif window.head(1) == b"\x08" and onnx.looks_like(window):
        found = "onnx"
    elif (window.head(1) in TENSORFLOW or suffix in {".pb", ".meta"}) and saved_model.looks_like(window):
        found = "tensorflow"
    elif coreml.looks_like(window):
        found = "coreml"
    elif window.head(1) == b"\n" and sentencepiece.looks_like(window):
        found = "sentencepiece"
    # What is named like a text is read as one, so that the report says where it is not.
    elif _is_text(window) or suffix in TEXTS - PICKLES:
        found = "text"
    elif suffix == ".safetensors":
        found = "safetensors"
    return found


def _is_zlib(head: bytes) -> bool:
    """Return whether the first bytes are a zlib stream; two letters of prose can look like its mark."""
    if head[0] & 0x0F != 8 or len(head) < 6 or int.from_bytes(head[:2], "big") % 31:
        return False
    try:
        zlib.decompressobj().decompress(head, HEAD)
    except zlib.error:
        return False
    return True


def _is_windows_program(head: bytes, window: Window) -> bool:
    """Return whether this is a PE file: MZ, and a PE mark where it points."""
    if not head.startswith(b"MZ") or len(head) < 64:
        return False
    offset = int.from_bytes(head[60:64], "little")
    return offset + 4 <= window.size and window.at(offset, 4) == b"PE\0\0"


def _is_text(window: Window) -> bool:
    """Return whether the beginning reads as UTF-8 without zero bytes."""
    data = window.head(LOOK)
    if b"\0" in data:
        return False
    # A character may be cut in two at the end of what is looked at.
    for cut in range(4 if window.size > LOOK else 1):
        try:
            data[: len(data) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return True
    return False
