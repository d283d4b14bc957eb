"""Reads Core ML models: which kinds of models and layers they have. Custom ones need code of the application.

Source: coremltools/mlmodel/format/{Model,NeuralNetwork,Pipeline}.proto.
"""

from __future__ import annotations

from governance.scanning.limits import Budget, Unreadable
from governance.scanning.protobuf import BYTES, VARINT, Field, Message
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

VERSION, DESCRIPTION, UPDATABLE = 1, 2, 10
PIPELINES = {200: True, 201: True, 202: False}  # Whether the pipeline stands one message deeper.
NETWORKS = frozenset({303, 403, 500})
CUSTOM_MODEL, LINKED_MODEL, SERIALIZED = 555, 556, 3000
CUSTOM_LAYER = 500
MODELS = "300 301 302 303 304 400 401 402 403 404 500 501 502 560 600 601 602 603 604 606 607 609 610 900"
KINDS = frozenset(map(int, f"200 201 202 {MODELS} 2000 2001 2002 2003 2004 2005 2006".split()))
LAYOUT = {VERSION: VARINT, DESCRIPTION: BYTES, UPDATABLE: VARINT}
LAYOUT |= dict.fromkeys(KINDS | {CUSTOM_MODEL, LINKED_MODEL, SERIALIZED}, BYTES)
DEEPEST = 16


def looks_like(window: Window) -> bool:
    """Return whether the top level is a Core ML model: a version, a description, one kind of model."""
    seen = Message(window, Budget(window.budget.limits)).fits(0, window.size, LAYOUT)
    return seen is not None and {VERSION, DESCRIPTION} <= seen and max(seen) >= 200


def read(piece: Piece, scene: Scene) -> None:
    """Judge a Core ML piece. Raises Unreadable."""
    message = Message(piece.window, scene.budget)
    _read_model(piece, scene, message, Field(0, BYTES, 0, 0, piece.window.size), 0)


def _read_model(piece: Piece, scene: Scene, message: Message, model: Field, depth: int) -> None:
    """Judge a model, and the models inside a pipeline."""
    if depth > DEEPEST:
        raise Unreadable("too-deep", f"Models are nested more than {DEEPEST} deep.")
    for item in message.inside(model):
        if item.number in {CUSTOM_MODEL, LINKED_MODEL, SERIALIZED}:
            scene.hold(piece, "custom-model", "The model needs code of an application, or is kept in another file.")
        elif item.number in PIPELINES:
            parts = list(message.inside(item, 1))
            if PIPELINES[item.number]:
                parts = [model for part in parts for model in message.inside(part, 1)]
            for part in parts:
                _read_model(piece, scene, message, part, depth + 1)
        elif item.number in NETWORKS:
            _read_network(piece, scene, message, item)


def _read_network(piece: Piece, scene: Scene, message: Message, network: Field) -> None:
    """Judge the layers (1) of a neural network."""
    for layer in message.inside(network, 1):
        for _ in message.inside(layer, CUSTOM_LAYER):
            scene.hold(piece, "custom-operator", "The model has a layer that needs code of an application.")
