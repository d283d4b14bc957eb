"""Reads the configuration of Keras models: every layer must come from Keras itself and hold no code and no paths.

Source: keras/src/saving (format version 3). Known attacks: CVE-2025-1550, 8747, 9905, 9906, 12058, 49655.
"""

from __future__ import annotations

from governance.scanning.limits import Unreadable
from governance.scanning.scene import Piece, Scene

MODULES = (
    "keras.activations",
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.layers",
    "keras.losses",
    "keras.metrics",
    "keras.models",
    "keras.optimizers",
    "keras.random",
    "keras.regularizers",
    "keras.src.activations",
    "keras.src.constraints",
    "keras.src.dtype_policies",
    "keras.src.initializers",
    "keras.src.layers",
    "keras.src.losses",
    "keras.src.metrics",
    "keras.src.models",
    "keras.src.optimizers",
    "keras.src.random",
    "keras.src.regularizers",
)
RUNS_CODE = frozenset(
    {"Lambda", "LambdaWrapper", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "__lambda__"}
)
RUNS_CODE |= {"function", "get_file", "_load_model", "deserialize_keras_object"}
BUILT_INS = frozenset({"__tuple__", "__numpy__", "__tensor__", "__slice__", "slice", "__ellipsis__", "__bytes__"})
PATHS = frozenset({"vocabulary", "vocabulary_file", "filepath", "saved_model_path", "file_path"})
DEEPEST = 200


def looks_like(config: object) -> bool:
    """Return whether a JSON value is the configuration of a Keras model."""
    return isinstance(config, dict) and "class_name" in config and "config" in config


def judge(piece: Piece, scene: Scene, config: object) -> None:
    """Judge a configuration and everything inside it. Raises Unreadable when it is nested too deep."""
    waiting: list[tuple[object, int]] = [(config, 0)]
    while waiting:
        value, depth = waiting.pop()
        scene.budget.spend_steps(1)
        if depth > DEEPEST:
            raise Unreadable("too-deep", f"The configuration is nested more than {DEEPEST} deep.")
        if isinstance(value, dict):
            _judge_object(piece, scene, value)
            waiting += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]


def _judge_object(piece: Piece, scene: Scene, value: dict[str, object]) -> None:
    """Judge one serialised object."""
    for key in PATHS & set(value):
        if isinstance(value[key], str) and value[key]:
            scene.reject(piece, "keras-path", f"The configuration reads a file of the loading machine ({key}).")
    if "class_name" not in value:
        return
    name = str(value["class_name"])
    module, registered = value.get("module"), str(value.get("registered_name") or name)
    shown = f"{module}.{name}" if module else name
    if name.rsplit(">", 1)[-1] in RUNS_CODE or "lambda" in name.lower():
        scene.reject(piece, "keras-code", f"The model has {shown[:120]}, which carries code or loads it.")
    elif module == "builtins" and name in BUILT_INS:
        return
    elif module is None:
        # Configurations of Keras 2 name no modules; in newer ones only objects from elsewhere lack one.
        if "module" in value or ">" in name:
            scene.hold(piece, "keras-custom", f"The model has {shown[:120]}, a layer that is not from Keras.")
    elif module != "keras" and not any(module == known or str(module).startswith(known + ".") for known in MODULES):
        scene.reject(piece, "keras-module", f"The model has {shown[:120]}, which is not part of Keras' layers.")
    elif ">" in registered:
        scene.hold(piece, "keras-custom", f"The model has {shown[:120]}, registered as {registered[:80]}.")
