"""Reads texts: prompts, configurations, vocabularies, templates. Nothing is rendered or loaded by a YAML library.

A text is harmless by itself; it is judged for what programs are known to do with it.
"""

from __future__ import annotations

import json
import re

from governance.scanning import keras, remote_code, saved_ops, templates
from governance.scanning.allowlist import Kind
from governance.scanning.documents import read_json
from governance.scanning.formats import suffix_of
from governance.scanning.limits import Unreadable
from governance.scanning.scene import Piece, Scene

JSON_SUFFIXES = frozenset({".json", ".ipynb"})
YAML_SUFFIXES = frozenset({".yaml", ".yml", ""})
GRAPH_SUFFIXES = frozenset({".pbtxt", ".prototxt"})
MARKUP_SUFFIXES = frozenset({".xml", ".pmml"})
TEMPLATE_SUFFIXES = frozenset({".jinja", ".jinja2", ".j2"})
PROMPT_SUFFIXES = TEMPLATE_SUFFIXES | {".txt", ".md", ".prompt", ".mustache", ".tmpl"}
SCRIPTS = ".py .pyw .pyx .ipynb .sh .bash .zsh .bat .cmd .ps1 .js .mjs .ts .rb .pl .lua .php .r .jl .service .desktop"
COMPILED = ".c .cc .cpp .cu .h .rs .go .java"
CODE_SUFFIXES = frozenset(f"{SCRIPTS} {COMPILED}".split())
CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
PYTHON_YAML = re.compile(r"!!?python/|tag:yaml\.org,2002:python/|!<[^>]{0,200}python/|%TAG\s[^\n]{0,200}python")
OTHER_YAML = re.compile(r"!!?(?:js/(?:function|regexp|undefined)|ruby/|perl/|(?:javax?|com|org|net|sun)\.\w+\.)")
TARGET = re.compile(r"""\b_target_["']?\s{0,20}[:=]\s{0,20}["']?([A-Za-z_][\w.]{0,200})""")
# An entity that is read from elsewhere; any other one; a description of the document that is read from elsewhere.
FOREIGN_ENTITY = re.compile(r"<!ENTITY\s+(?:%\s+)?[^\s>]{1,200}\s+(?:SYSTEM|PUBLIC)\b", re.IGNORECASE)
FOREIGN_TYPE = re.compile(r"<!DOCTYPE\s+[^\s>\[]{1,200}\s+(?:SYSTEM|PUBLIC)\b", re.IGNORECASE)
INCLUDED = re.compile(r"<[\w.-]{0,40}:?include\s[^>]{0,400}\bhref\s*=", re.IGNORECASE)
DEEPEST = 500


def read(piece: Piece, scene: Scene) -> str:
    """Judge a text and return which kind it is. Raises Unreadable."""
    if piece.window.size > scene.limits.text_bytes:
        raise Unreadable(
            "too-large", f"A text of {piece.window.size:,} bytes; {scene.limits.text_bytes:,} is the most."
        )
    text = decode(piece.window.head(piece.window.size))
    suffix = suffix_of(piece.name)
    # JSON has rules of its own for them, and vocabularies hold every character there is.
    found = None if suffix in JSON_SUFFIXES else CONTROLS.search(text)
    if found:
        scene.hold(piece, "control-character", f"The text holds the control character U+{ord(found[0]):04X}.")
    if suffix in CODE_SUFFIXES or text.startswith("#!"):
        scene.hold(piece, "source-code", "This is program code, which a loader may run.")
        return "code"
    _judge_targets(piece, scene, text)
    if suffix in JSON_SUFFIXES or (not suffix and _is_json(text)):
        judge_json(piece, scene, text)
        return "json"
    _judge_kinds(piece, scene, text, suffix)
    if templates.has_blocks(text):
        templates.judge(piece, scene, text, strict=suffix in TEMPLATE_SUFFIXES)
    return "text"


def _is_json(text: str) -> bool:
    """Return whether a text without a suffix is a JSON object, as caches name files by their digest."""
    if text[:4096].lstrip()[:1] != "{":
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _judge_kinds(piece: Piece, scene: Scene, text: str, suffix: str) -> None:
    """Judge a text for what readers of YAML, XML and graphs do with it, and for what people do not see in it."""
    if PYTHON_YAML.search(text):
        scene.reject(piece, "yaml-python", "The text has a YAML tag that makes Python objects or calls.")
    if OTHER_YAML.search(text):
        scene.hold(piece, "yaml-objects", "The text has a YAML tag that makes objects of a program.")
    if suffix in YAML_SUFFIXES:
        remote_code.judge_yaml(piece, scene, text)
    if suffix in GRAPH_SUFFIXES:
        saved_ops.judge_text(piece, scene, text)
    if suffix in MARKUP_SUFFIXES or text[:200].lstrip().lower().startswith(("<?xml", "<!doctype", "<!entity")):
        _judge_markup(piece, scene, text, suffix)
    if suffix in PROMPT_SUFFIXES - TEMPLATE_SUFFIXES and templates.TAGS.search(templates.FLAGS.sub("", text)):
        scene.hold(
            piece, "hidden-text", "The text holds invisible tag characters, which models read and people do not."
        )


def _judge_markup(piece: Piece, scene: Scene, text: str, suffix: str) -> None:
    """Judge XML for what its readers fetch or expand."""
    if FOREIGN_ENTITY.search(text):
        scene.reject(piece, "xml-entity", "The XML defines an entity that is read from another file or address.")
    elif "<!ENTITY" in text:
        scene.hold(piece, "xml-entity", "The XML defines entities, which may grow without bounds.")
    if suffix in MARKUP_SUFFIXES and (FOREIGN_TYPE.search(text) or INCLUDED.search(text)):
        scene.hold(piece, "xml-include", "The XML reads a description or a part of itself from another file.")


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
    document = read_json(piece, scene, text)
    remote_code.judge_document(piece, scene, document)
    waiting: list[tuple[object, int, bool]] = [(document, 0, False)]
    while waiting:
        value, depth, inside = waiting.pop()
        if depth > DEEPEST:
            raise Unreadable("too-deep", f"The JSON is nested more than {DEEPEST} deep.")
        if isinstance(value, dict):
            if not inside and keras.looks_like(value):
                # It judges everything inside too.
                keras.judge(piece, scene, value)
                inside = True
            remote_code.judge_members(piece, scene, value)
            _judge_members(piece, scene, value)
            waiting += [(part, depth + 1, inside) for part in value.values() if _holds(part)]
        elif isinstance(value, list):
            waiting += [(part, depth + 1, inside) for part in value if _holds(part)]
        elif isinstance(value, str) and templates.has_blocks(value):
            templates.judge(piece, scene, value, strict=False)


def _holds(value: object) -> bool:
    """Return whether a value can hold something to judge; most values of a vocabulary cannot."""
    return isinstance(value, dict | list) or (isinstance(value, str) and "{" in value)


def _judge_members(piece: Piece, scene: Scene, value: dict[str, object]) -> None:
    """Judge the templates and graphs among the members of one JSON object."""
    for key in value.keys() & {"chat_template", "chat_templates"}:
        template = value[key]
        choices = list(template.values()) if isinstance(template, dict) else template
        for choice in choices if isinstance(choices, list) else [choices]:
            says = choice.get("template") if isinstance(choice, dict) else choice
            if isinstance(says, str):
                templates.judge(piece, scene, says)
    nodes = value.get("node")
    if isinstance(nodes, list) and {"node", "versions"} <= set(value):
        # TensorFlow.js keeps graphs as JSON.
        for node in nodes:
            if isinstance(node, dict) and isinstance(node.get("op"), str):
                saved_ops.judge(piece, scene, str(node["op"]))
