"""Judges TensorFlow operators by their names, wherever they are written: graphs, texts, Keras layers, TFLite.

Which operators pass is data: vocabulary.json. Those that read or write files by a name are judged by graph_paths.py,
which knows where the name comes from; where nothing else is known of the graph, they are held.
"""

from __future__ import annotations

import re

from governance.scanning.scene import Piece, Scene
from governance.scanning.vocabulary import read_vocabulary

OPERATOR = re.compile(r"""\bop\s*:\s*["']([^"'\n]{0,200})["'](?!\s*["'])""")
MENTION = re.compile(r"\bop\s*[:#]")
SIGNATURE = re.compile(r"""\bsignature\s*\{\s*name\s*:\s*["']([^"'\n]{1,200})["']""")
TEXT_VALUE = re.compile(r"""\b(?:string_val|s)\s*:\s*["']([^"'\n]{1,400})["']""")
FUNCTION_CALL = re.compile(r"""\bfunc\s*\{\s*name\s*:\s*["']([^"'\n]{1,200})["']""")
# What Keras 2 keeps for each layer beside its graph.
METADATA = re.compile(r"""\b(?:metadata|identifier)\s*:\s*["'].{0,200}\\?["']class_name""")
OUTSIDE = re.compile(r"/(?!part$)[\w.~-]|[A-Za-z][\w+.-]*://|(.*/)?\.\./|~/|\\\\")


def judge(piece: Piece, scene: Scene, operator: str) -> None:
    """Judge an operator of which only the name is known."""
    names = read_vocabulary().tensorflow
    shown = operator[:80]
    if operator in names["dangerous"]:
        scene.reject(
            piece, "tensorflow-operator", f"The operator {shown} runs code, reaches files or reaches the network."
        )
    elif operator in names["files"]:
        scene.hold(piece, "tensorflow-files", f"The operator {shown} reads or writes files.")
    elif operator not in names["allowed"]:
        scene.hold(piece, "tensorflow-unknown", f"The operator {shown} is not on the list of known ones.")


def judge_text(piece: Piece, scene: Scene, text: str) -> None:
    """Judge a graph written as text (.pbtxt), which TensorFlow loads like the binary form."""
    names = read_vocabulary().tensorflow
    functions = set(SIGNATURE.findall(text))
    operators = set(OPERATOR.findall(text)) | set(FUNCTION_CALL.findall(text))
    scene.budget.spend_steps(1 + len(operators))
    if len(MENTION.findall(text)) != len(OPERATOR.findall(text)):
        scene.hold(piece, "tensorflow-unread", "The graph as text has an operator whose name cannot be read.")
    saves = False
    for operator in sorted(operators):
        saves = saves or operator in names["files"]
        if operator not in names["files"] and (operator not in functions or operator in names["dangerous"]):
            judge(piece, scene, operator)
    outside = next((found for found in TEXT_VALUE.findall(text) if OUTSIDE.match(found)), None)
    if saves and outside is not None:
        says = f"A graph that reads or writes files names {outside[:80]!r}, outside of the model."
        scene.reject(piece, "tensorflow-path", says)
    if METADATA.search(text):
        scene.hold(piece, "keras-unseen", "The graph as text holds layers of Keras, which are only judged in binary.")
