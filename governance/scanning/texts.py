"""Reads texts: prompts, configurations, vocabularies, templates. Nothing is rendered or loaded by a YAML library.

A text is harmless by itself; it is judged for what programs are known to do with it.
"""

from __future__ import annotations

import json
import re

from governance.scanning import keras, templates
from governance.scanning.allowlist import Kind
from governance.scanning.formats import suffix_of
from governance.scanning.limits import Unreadable
from governance.scanning.scene import Piece, Scene

JSON_SUFFIXES = frozenset({".json", ".ipynb"})
TEMPLATE_SUFFIXES = frozenset({".jinja", ".jinja2", ".j2"})
PROMPT_SUFFIXES = TEMPLATE_SUFFIXES | {".txt", ".md", ".prompt", ".mustache", ".tmpl"}
SCRIPTS = ".py .pyw .pyx .ipynb .sh .bash .zsh .bat .cmd .ps1 .js .mjs .ts .rb .pl .lua .php .r .jl .service .desktop"
COMPILED = ".c .cc .cpp .cu .h .rs .go .java"
CODE_SUFFIXES = frozenset(f"{SCRIPTS} {COMPILED}".split())
CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
TAGS = re.compile("[\U000e0000-\U000e007f]")
FLAGS = re.compile("\U0001f3f4[\U000e0020-\U000e007f]+")
PYTHON_YAML = re.compile(r"!!?python/|tag:yaml\.org,2002:python/|!<[^>]{0,200}python/")
TARGET = re.compile(r"""\b_target_["']?\s{0,20}[:=]\s{0,20}["']?([A-Za-z_][\w.]{0,200})""")
REMOTE_CODE = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"})
PYTHON_JSON = frozenset({"py/reduce", "py/object", "py/function", "py/object/new", "py/repr", "py/newargs"})
DEEPEST = 500


def read(piece: Piece, scene: Scene) -> str:
    """Judge a text and return which kind it is. Raises Unreadable."""
    if piece.window.size > scene.limits.text_bytes:
        raise Unreadable(
            "too-large", f"A text of {piece.window.size:,} bytes; {scene.limits.text_bytes:,} is the most."
        )
    text = decode(piece.window.head(piece.window.size))
    suffix = suffix_of(piece.name)
    found = CONTROLS.search(text)
    if found:
        scene.hold(piece, "control-character", f"The text holds the control character U+{ord(found[0]):04X}.")
    if suffix in CODE_SUFFIXES or text.startswith("#!"):
        scene.hold(piece, "source-code", "This is program code, which a loader may run.")
        return "code"
    _judge_targets(piece, scene, text)
    if suffix in JSON_SUFFIXES:
        judge_json(piece, scene, text)
        return "json"
    if PYTHON_YAML.search(text):
        scene.reject(piece, "yaml-python", "The text has a YAML tag that makes Python objects or calls.")
    if "<!ENTITY" in text and "<?xml" in text[:200].lower():
        scene.hold(piece, "xml-entity", "The XML defines entities, which may read other files.")
    if suffix in PROMPT_SUFFIXES and TAGS.search(FLAGS.sub("", text)):
        scene.hold(
            piece, "hidden-text", "The text holds invisible tag characters, which models read and people do not."
        )
    if templates.has_blocks(text):
        templates.judge(piece, scene, text, strict=suffix in TEMPLATE_SUFFIXES)
    return "text"


def _judge_targets(piece: Piece, scene: Scene, text: str) -> None:
    """Judge what a Hydra configuration tells its loader to call."""
    for match in TARGET.finditer(text):
        module, _, name = match[1].rpartition(".")
        if scene.allowlist.judge(module, name) is Kind.DANGEROUS:
            scene.reject(piece, "config-calls", f"The configuration makes its loader call {match[1]}.")
        else:
            scene.hold(piece, "config-calls", f"The configuration makes its loader call {match[1]}.")


def decode(data: bytes) -> str:
    """Return UTF-8 bytes as text. Raises Unreadable and says where it is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(
            "not-utf8", f"The text is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}."
        ) from error


def judge_json(piece: Piece, scene: Scene, text: str) -> None:
    """Judge a JSON text: remote code, chat templates, Keras models. Raises Unreadable when it is not JSON."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable("not-json", f"The text is not JSON: {str(error)[:120]}.") from error
    if keras.looks_like(document):
        keras.judge(piece, scene, document)
    waiting: list[tuple[object, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise Unreadable("too-deep", f"The JSON is nested more than {DEEPEST} deep.")
        if isinstance(value, dict):
            _judge_members(piece, scene, value)
            waiting += [(part, depth + 1) for part in value.values() if isinstance(part, dict | list)]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value if isinstance(part, dict | list)]


def _judge_members(piece: Piece, scene: Scene, value: dict[str, object]) -> None:
    """Judge the members of one JSON object."""
    for key in sorted(REMOTE_CODE & set(value)):
        if value[key]:
            scene.hold(
                piece, "remote-code", f"The configuration asks the loader to run code of its repository ({key})."
            )
    for key in sorted(PYTHON_JSON & set(value)):
        scene.reject(piece, "json-python", f"The JSON makes Python objects or calls when jsonpickle reads it ({key}).")
    template = value.get("chat_template")
    choices = template if isinstance(template, list) else [template]
    for choice in choices:
        says = choice.get("template") if isinstance(choice, dict) else choice
        if isinstance(says, str):
            templates.judge(piece, scene, says)
