"""The bytes of the demo's artifacts: two kinds of committed files, and formats simple enough to write here."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

FILES = Path(__file__).parent / "files"


def scorer(seed: int) -> bytes:
    """Return a scikit-learn pipeline as joblib wrote it; seeds 1 to 5."""
    return (FILES / f"scorer-{seed}.joblib").read_bytes()


def embedder(seed: int) -> bytes:
    """Return a small ONNX graph; seeds 1 and 2."""
    return (FILES / f"embedder-{seed}.onnx").read_bytes()


def safetensors(shapes: dict[str, tuple[int, int]], seed: int, **metadata: str) -> bytes:
    """Return a safetensors file with random float32 tensors of the given shapes."""
    numbers = random.Random(seed)  # noqa: S311 -- weights of a demo, not a secret
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    body = bytearray()
    for name, (rows, columns) in shapes.items():
        start = len(body)
        body += struct.pack(f"<{rows * columns}f", *(numbers.gauss(0, 0.02) for _ in range(rows * columns)))
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [start, len(body)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


def language_model(seed: int) -> bytes:
    """Return a very small language model's weights as safetensors."""
    return safetensors({"embed.weight": (64, 16), "layers.0.attn.q.weight": (16, 16), "head.weight": (64, 16)}, seed)


def lora(seed: int) -> bytes:
    """Return a LoRA adapter of rank 4 as safetensors."""
    key = "base_model.model.layers.0.attn.q"
    shapes = {f"{key}.lora_A.weight": (4, 16), f"{key}.lora_B.weight": (16, 4)}
    return safetensors(shapes, seed, format="pt", peft_type="LORA", r="4")


def prompt(text: str) -> bytes:
    """Return a prompt as a text file."""
    return text.encode()


def harmful_pickle() -> bytes:
    """Return a pickle that would call a system function if anybody loaded it. The portal only reads it."""
    return b"\x80\x04\x95\x15\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06getcwd\x94\x93)R."


def unknown_pickle() -> bytes:
    """Return a pickle that would make an instance of a class which the scanner does not know, as detectors do."""
    return b"\x80\x02cultralytics.nn.tasks\nDetectionModel\n)\x81}b."
