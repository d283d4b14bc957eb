"""Judges the configuration of Keras models: every object must come from Keras itself and hold no code and no paths.

Source: keras/src/saving (format version 3), tf_keras (versions 1 and 2). Known attacks: CVE-2025-1550, 8747, 9905,
9906, 12058, 12060, 49655. The names that pass are data: vocabulary.json.
"""

from __future__ import annotations

import builtins
import json
import re
import sys
from functools import cache

from governance.scanning import saved_ops
from governance.scanning.allowlist import Kind
from governance.scanning.documents import read_json
from governance.scanning.limits import Unreadable
from governance.scanning.scene import Piece, Scene
from governance.scanning.vocabulary import read_vocabulary

ROOTS = frozenset({"keras", "tf_keras"})
# What stands between the package and the kind of object in the paths of its versions.
INNER = frozenset({"src", "api", "_v1", "_v2", "_tf_keras", "keras"})
LAYERS = "activations applications constraints dtype_policies engine initializers layers legacy losses metrics"
KINDS = frozenset(f"{LAYERS} mixed_precision models optimizers quantizers random regularizers".split())
BUILT_INS = frozenset({"__tuple__", "__numpy__", "__tensor__", "__slice__", "__ellipsis__", "__bytes__"})
OLD_BUILT_INS = frozenset({"TensorShape", "__tuple__", "__ellipsis__", "CompositeTensor", "Tensor"})
CALLS = frozenset({"TFOpLambda", "SlicingOpLambda"})
PATHS = frozenset({"vocabulary", "vocabulary_file", "filepath", "saved_model_path", "file_path"})
ADDRESS = re.compile(r"(https?|ftp|file|gs|s3|hdfs|viewfs|smb)://|\\\\|~/|/[\w.-]+/|(.*/)?\.\./", re.IGNORECASE)
# How marshal's code objects look in base64: 0xe3 or 0x63, the count of arguments, zeros.
BYTE_CODE = re.compile(r"\s*(4w|Yw)[A-Za-z0-9+/]{2}AA[A-Za-z0-9+/=\s]{40}")
OPERATOR = re.compile(r'"op"\s*:\s*"([^"]{1,200})"')
DEEPEST = 200


def looks_like(config: object) -> bool:
    """Return whether a JSON value is the configuration of a Keras object."""
    return isinstance(config, dict) and isinstance(config.get("class_name"), str) and "config" in config


def judge_text(piece: Piece, scene: Scene, text: str | bytes, lenient: bool = False) -> None:
    """Judge a configuration written as JSON. Raises Unreadable when it is none."""
    judge(piece, scene, read_json(piece, scene, text), lenient)


def judge(piece: Piece, scene: Scene, config: object, lenient: bool = False) -> None:
    """Judge a configuration and everything inside it. Raises Unreadable when it is nested too deep.

    A lenient judge lets unknown names pass: a SavedModel brings its own graph for layers that Keras does not know.
    """
    waiting: list[tuple[str, object, int]] = [("", config, 0)]
    while waiting:
        key, value, depth = waiting.pop()
        scene.budget.spend_steps(1)
        if depth > DEEPEST:
            raise Unreadable("too-deep", f"The configuration is nested more than {DEEPEST} deep.")
        if isinstance(value, dict):
            _judge_members(piece, scene, value)
            if "class_name" in value:
                _Judge(piece, scene, lenient).judge_object(value)
            waiting += [(str(name), part, depth + 1) for name, part in value.items()]
        elif isinstance(value, list):
            waiting += [(key, part, depth + 1) for part in value]
        elif isinstance(value, str):
            _judge_string(piece, scene, key, value)


def _judge_members(piece: Piece, scene: Scene, value: dict[str, object]) -> None:
    """Judge the members of an object that name files."""
    for key in sorted(PATHS & set(value)):
        if isinstance(value[key], str) and value[key]:
            scene.reject(piece, "keras-path", f"The configuration reads a file of the loading machine ({key}).")
    if {"origin", "fname"} <= set(value):
        scene.reject(piece, "keras-path", "The configuration downloads a file when it is loaded.")


def _judge_string(piece: Piece, scene: Scene, key: str, value: str) -> None:
    """Judge a text anywhere in the configuration."""
    if BYTE_CODE.match(value):
        scene.reject(piece, "keras-code", "The configuration holds compiled Python code.")
    elif key != "name" and ADDRESS.match(value[:300]):
        scene.hold(piece, "keras-path", f"The configuration names a place outside of it: {value[:80]!r} ({key[:40]}).")


class _Judge:
    """Judges serialised objects for one piece."""

    def __init__(self, piece: Piece, scene: Scene, lenient: bool) -> None:
        self.piece = piece
        self.scene = scene
        self.lenient = lenient
        self.names = read_vocabulary().keras

    def judge_object(self, value: dict[str, object]) -> None:
        """Judge one serialised object by its class, its module and the name it is registered under."""
        name, module = value["class_name"], value.get("module")
        if not isinstance(name, str) or not isinstance(module, str | None):
            self.hold(str(name))
        elif name == "function":
            self.judge_function(value.get("config"), module)
        elif name == "__typespec__":
            self.judge_class(str(value.get("spec_name")), module)
        elif not self.is_built_in(value, name, module):
            self.judge_class(name, module)
            self.judge_registered(value, name)
            self.judge_inside(value.get("config"), name)

    def judge_registered(self, value: dict[str, object], name: str) -> None:
        """Hold an object that is registered under another name, which says which class is really made."""
        registered = value.get("registered_name")
        if registered and registered != name:
            self.hold(f"{name}, registered as {str(registered)[:80]}")

    def is_built_in(self, value: dict[str, object], name: str, module: str | None) -> bool:
        """Return whether an object is one of the values that Keras writes for what JSON cannot."""
        if module == "builtins" and name in BUILT_INS:
            return True
        if name == "__keras_tensor__" or (module == "builtins" and name == "slice"):
            return True
        return "module" not in value and name in OLD_BUILT_INS and "registered_name" not in value

    def judge_function(self, name: object, module: str | None) -> None:
        """Judge a function that is named, not carried."""
        if not isinstance(name, str):
            self.reject("function")
        elif name in self.names["functions"] and (module in {None, "builtins"} or _kind_of(str(module)) in KINDS):
            return
        elif module == "builtins" and hasattr(builtins, name):
            self.reject(f"the function {name}")
        elif module in {None, "builtins"}:
            (self.reject if name in self.names["dangerous"] else self.hold)(f"the function {name}")
        else:
            self.judge_class(name, module)

    def judge_class(self, name: str, module: str | None) -> None:
        """Judge a class, or anything else, that is looked up in a module."""
        shown = f"{module}.{name}" if module else name
        plain = name.rsplit(">", 1)[-1]
        if plain in self.names["dangerous"] or ("lambda" in plain.lower() and plain not in CALLS):
            self.reject(shown)
        elif module is None:
            self.judge_nameless(name)
        elif module.split(".")[0] not in ROOTS:
            self.judge_foreign(name, module)
        elif not self.is_listed(name, module):
            kind = _kind_of(module)
            known = kind in KINDS or kind in {"ops", ""}
            (self.hold if known else self.reject)(shown)

    def judge_nameless(self, name: str) -> None:
        """Judge a class without a module, as Keras 1 and 2 write it. Version 2.11 registered its own optimizers."""
        known = name.removeprefix("Custom>") in self.names["classes"] or name in CALLS
        if not known and not any(name in group for group in read_vocabulary().operations.values()):
            self.hold(name)

    def judge_foreign(self, name: str, module: str) -> None:
        """Judge a class from another package: what runs code there is never part of a model."""
        dangerous = self.scene.allowlist.judge(module, name) is Kind.DANGEROUS
        if dangerous or module.split(".", maxsplit=1)[0] in sys.stdlib_module_names:
            shown = f"{module}.{name}"[:120]
            says = f"The model has {shown}, which is not part of Keras."
            self.scene.reject(self.piece, "keras-module", says)
        else:
            self.hold(f"{module}.{name}")

    def is_listed(self, name: str, module: str) -> bool:
        """Return whether Keras has this class in this module."""
        kind = _kind_of(module)
        if kind == "ops":
            return name in read_vocabulary().operations.get(".".join(module.split(".")[-2:]), ())
        return (kind in KINDS or not kind) and (name in self.names["classes"] or name in CALLS)

    def judge_inside(self, config: object, name: str) -> None:
        """Judge what layers call that wrap a single function of TensorFlow."""
        if not isinstance(config, dict):
            return
        if name in CALLS:
            self.judge_symbol(str(config.get("function", "__operators__.getitem")))
        elif name == "TensorFlowOpLayer":
            node = config.get("node_def")
            text = node if isinstance(node, str) else json.dumps(node)
            found = OPERATOR.findall(text)
            if not found:
                self.hold("a TensorFlow operator without a name")
            for operator in found:
                saved_ops.judge(self.piece, self.scene, operator)

    def judge_symbol(self, symbol: str) -> None:
        """Judge a function of TensorFlow by its public name, such as math.multiply."""
        plain = symbol.removeprefix("compat.v1.").removeprefix("compat.v2.").removeprefix("keras.backend.")
        first = plain.split(".")[0]
        if first in self.names["dangerous_symbols"] or not all(part.isidentifier() for part in plain.split(".")):
            self.reject(f"the function tf.{symbol}")
        elif plain not in self.names["symbols"] and not (first in self.names["namespaces"] and plain.count(".") == 1):
            self.hold(f"the function tf.{symbol}")

    def hold(self, shown: str) -> None:
        """Note a name that Keras does not have."""
        if not self.lenient:
            self.scene.hold(self.piece, "keras-custom", f"The model has {shown[:160]}, which is not from Keras.")

    def reject(self, shown: str) -> None:
        """Note a name that carries code or loads it."""
        self.scene.reject(self.piece, "keras-code", f"The model has {shown[:160]}, which carries code or loads it.")


@cache
def _kind_of(module: str) -> str:
    """Return which kind of object a module of Keras holds, as `layers` in keras.src.layers.core.dense."""
    parts = module.split(".")
    while parts and (parts[0] in ROOTS or parts[0] in INNER):
        parts = parts[1:]
    return parts[0] if parts else ""
