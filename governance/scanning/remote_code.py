"""Finds where a configuration makes its loader run code that the configuration names: from its repository or a package.

Loaders: transformers (auto_map), diffusers (model_index.json), sentence-transformers (modules.json), PEFT
(adapter_config.json), MLflow (MLmodel). Such code is held: whether it may run is for a person to say.
"""

from __future__ import annotations

import re

from governance.scanning.allowlist import Kind
from governance.scanning.scene import Piece, Scene

ASKS = frozenset({"auto_map", "custom_pipelines", "trust_remote_code", "custom_pipeline"})
# What jsonpickle and other readers of JSON make objects and calls from.
PYTHON = "py/reduce py/object py/function py/object/new py/object/apply py/repr py/newargs py/newargsex py/initargs"
PYTHON_JSON = frozenset(f"{PYTHON} py/reducestate py/type py/module py/ref __reduce__".split())
# Pipelines that bring components under their own name.
PARTS = "stable_diffusion latent_diffusion kandinsky alt_diffusion paint_by_example deepfloyd_if unidiffuser audioldm2"
PIPELINES = frozenset(
    f"{PARTS} wuerstchen stable_cascade flux ltx semantic_stable_diffusion spectrogram_diffusion".split()
)
LIBRARIES = PIPELINES | {"diffusers", "transformers", "optimum", "onnxruntime", "peft", "tokenizers"}
LOADER_MODULE = re.compile(r"""^\s*["']?loader_module["']?\s*:\s*["']?([\w.]+)""", re.MULTILINE)
LOADER_CODE = re.compile(r"""^\s+["']?code["']?\s*:\s*["']?(?!null\b|~)([\w./-]+)""", re.MULTILINE)
YAML_ASKS = re.compile(
    r"""^\s*["']?(?:(?:auto_map|custom_pipelines?)["']?\s*:\s*[^#\s]
    |trust_remote_code["']?\s*:\s*(?i:true|yes|on)\b)""",
    re.MULTILINE | re.VERBOSE,
)


def judge_members(piece: Piece, scene: Scene, value: dict[str, object]) -> None:
    """Judge the members of one JSON object."""
    for key in sorted(ASKS & set(value)):
        asked = value[key]
        # The keys of a vocabulary are words, and their values numbers.
        if asked and not (isinstance(asked, int | float) and asked is not True):
            says = f"The configuration asks the loader to run code of its repository ({key})."
            scene.hold(piece, "remote-code", says)
    for key in sorted(PYTHON_JSON & set(value)):
        if not isinstance(value[key], int | float):
            says = f"The JSON makes Python objects or calls when jsonpickle reads it ({key})."
            scene.reject(piece, "json-python", says)
    _judge_chain(piece, scene, value)
    library = value.get("parent_library")
    if isinstance(library, str):
        _judge_module(piece, scene, library, ("transformers",), "parent_library")


def _judge_chain(piece: Piece, scene: Scene, value: dict[str, object]) -> None:
    """Judge what LangChain makes of an object: a class that it imports, a secret of its machine, a file."""
    names = value.get("id")
    if "lc" in value and value.get("type") in {"constructor", "secret", "not_implemented"} and isinstance(names, list):
        if value["type"] != "constructor":
            scene.hold(
                piece, "remote-code", "The JSON asks LangChain for a secret of the machine, or an unknown object."
            )
        elif not names or not str(names[0]).startswith("langchain"):
            _judge_module(piece, scene, ".".join(map(str, names)), (), "id")
    if isinstance(value.get("_type"), str):
        for key in sorted(value):
            if key.endswith("_path") and isinstance(value[key], str):
                scene.hold(piece, "config-path", f"The configuration of a chain reads another file ({key}).")


def judge_document(piece: Piece, scene: Scene, document: object) -> None:
    """Judge a whole JSON document for what particular loaders make of it."""
    if isinstance(document, dict) and ("_diffusers_version" in document or "_class_name" in document):
        _judge_pipeline(piece, scene, document)
    for module in document if isinstance(document, list) else ():
        if isinstance(module, dict) and {"idx", "type"} <= set(module) and isinstance(module["type"], str):
            _judge_module(piece, scene, module["type"], ("sentence_transformers",), "type")


def judge_yaml(piece: Piece, scene: Scene, text: str) -> None:
    """Judge a configuration in YAML without reading it as YAML."""
    if YAML_ASKS.search(text):
        scene.hold(piece, "remote-code", "The configuration asks the loader to run code of its repository.")
    for match in LOADER_MODULE.finditer(text):
        _judge_module(piece, scene, match[1], ("mlflow",), "loader_module")
        code = LOADER_CODE.search(text)
        if code:
            scene.hold(piece, "remote-code", f"MLflow loads code beside the model ({code[1][:80]}).")


def _judge_pipeline(piece: Piece, scene: Scene, index: dict[str, object]) -> None:
    """Judge the index of a diffusers pipeline: each part is a library and a class."""
    if isinstance(index.get("_class_name"), list):
        scene.hold(piece, "remote-code", "The pipeline's class is code of its repository.")
    for name, part in index.items():
        if name.startswith("_") or not (isinstance(part, list) and len(part) == 2 and isinstance(part[0], str)):
            continue
        if part[0].split(".")[0] not in LIBRARIES:
            _judge_module(piece, scene, f"{part[0]}.{part[1]}", (), name)


def _judge_module(piece: Piece, scene: Scene, whole: str, roots: tuple[str, ...], key: str) -> None:
    """Judge a class that a loader imports by its full name."""
    module, _, name = whole.rpartition(".")
    if whole.split(".", maxsplit=1)[0] in roots:
        return
    if scene.allowlist.judge(module, name) is Kind.DANGEROUS or scene.allowlist.judge(whole, "") is Kind.DANGEROUS:
        scene.reject(piece, "config-calls", f"The configuration makes its loader import {whole[:120]} ({key}).")
    else:
        scene.hold(piece, "remote-code", f"The configuration makes its loader import {whole[:120]} ({key}).")
