"""What notices say is written by us: no text that somebody typed, no address, no secret and no content gets into one.

Notices leave the portal by mail and by webhooks. So whatever stands in the subject or the text of a notice is followed
to where it comes from, through names, parameters and functions of its module.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.notices import Kind
from tests.architecture.house import FunctionNode, Module, inside, modules

# What a notice may never read: typed texts, addresses, secrets, and the content of evidence, prompts and policies.
NEVER = {
    *("reason", "note", "statement", "compensating_control", "comment", "message", "description", "risk_rationale"),
    *("email", "address", "url", "storage_uri", "password", "secret", "secret_sha256", "prefix", "public_pem", "token"),
    *("content", "text", "payload", "body", "facts", "data", "prompt", "model_card", "details", "envelope", "file"),
}
# What is read on the way and does not get into the notice: it is what a verb makes the row from that is then named.
MAKING = {("governance.proposals", "text")}
TELLING = "notices.tell"


def functions_of(module: Module) -> dict[str, FunctionNode]:
    return {function.name: function for function in module.functions()}


def calls(module: Module, words: str) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls of something by its written name, each with the function around it."""
    around = inside(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == words:
            yield node, around[node]


def argument(call: ast.Call, function: FunctionNode, name: str) -> ast.expr | None:
    """Return what a call passes for a parameter."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    names = [each.arg for each in function.args.args]
    position = names.index(name) if name in names else len(call.args)
    return call.args[position] if position < len(call.args) else None


class Trail:
    """Follows an expression to everything that its value can be made of, within one module."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.functions = functions_of(module)
        self.seen: set[tuple[str, str]] = set()

    def follow(self, expression: ast.expr, where: str) -> Iterator[ast.Attribute]:
        """Yield each attribute that is read on the way."""
        if (ast.unparse(expression), where) in self.seen:
            return
        self.seen.add((ast.unparse(expression), where))
        for node in parts(expression):
            if isinstance(node, ast.Attribute):
                yield node
            elif isinstance(node, ast.Name) and where in self.functions:
                yield from self.origins(node.id, self.functions[where])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.functions:
                yield from self.results(self.functions[node.func.id])

    def origins(self, name: str, function: FunctionNode) -> Iterator[ast.Attribute]:
        """Follow a name to what is assigned to it, and a parameter to what callers pass as a text."""
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(name in names(target) for target in node.targets):
                yield from self.follow(node.value, function.name)
        for call, where in calls(self.module, function.name):
            passed = argument(call, function, name)
            if passed is not None:
                yield from self.follow(passed, where)

    def results(self, function: FunctionNode) -> Iterator[ast.Attribute]:
        """Follow a function to what it returns."""
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from self.follow(node.value, function.name)


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what an expression is made of, except rows whose fields are read: the fields tell what comes of them."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Attribute) and isinstance(child, ast.Name)):
            yield from parts(child)


def names(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def told(module: Module) -> Iterator[tuple[int, str]]:
    """Yield (line, attribute) for whatever the notices of a module are made of."""
    for call, where in calls(module, TELLING):
        for keyword in call.keywords:
            if keyword.arg in {"subject", "text"}:
                for read in Trail(module).follow(keyword.value, where):
                    yield call.lineno, read.attr


def test_no_notice_is_made_of_what_must_not_leave() -> None:
    found = {(module.name, attr) for module in modules() for _, attr in told(module) if attr in NEVER}
    assert found - MAKING == set()


def test_every_notice_names_its_cause_and_is_told_by_keyword() -> None:
    found = [
        f"{module.name}:{call.lineno}"
        for module in modules()
        for call, _ in calls(module, TELLING)
        if not {"cause", "to", "subject", "text"} <= {keyword.arg for keyword in call.keywords} or len(call.args) != 1
    ]
    assert found == []


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.TEST])
def test_every_kind_is_told_somewhere(kind: Kind) -> None:
    assert any(f"Kind.{kind.name}" in module.text for module in modules() if "governance.notices" not in module.name)


LEAKS = """
def refuse(waiver, actor):
    words = f"It was refused: {waiver.reason}"
    speak(waiver, words)

def speak(waiver, words):
    notices.tell(Kind.X, cause="c", to=[], subject="Refused", text=words)
"""


def test_the_trail_would_notice(tmp_path: Path) -> None:
    path = tmp_path / "leaks.py"
    path.write_text(LEAKS, encoding="utf-8")
    assert (7, "reason") in set(told(Module("leaks", path)))
