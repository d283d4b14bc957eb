"""The vocabulary of the ledger is used: every event is told somewhere, and only events are told."""

from __future__ import annotations

import ast

import pytest

from audit.events import Event
from tests.architecture.house import FunctionNode, modules

TOLD = {
    node.attr
    for module in modules()
    if module.name != "audit.events"
    for node in ast.walk(module.tree)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Event"
}


@pytest.mark.parametrize("event", Event)
def test_every_event_is_told_somewhere_and_has_a_sentence(event: Event) -> None:
    assert event.name in TOLD
    assert event.sentence.endswith(".")


def test_every_record_names_an_actor() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "log.record"
        and "actor" not in [keyword.arg for keyword in node.keywords]
    ]
    assert found == []


def tells(function: FunctionNode) -> bool:
    """Return whether a function opens a record itself."""
    return any(isinstance(node, ast.Call) and ast.unparse(node.func) == "log.record" for node in ast.walk(function))


def test_a_verb_is_told_its_actor_by_name_and_always() -> None:
    """`actor` is never positional and has no default: no actor, no act."""
    found = [
        f"{module.name}.{function.name}"
        for module in modules()
        for function in module.functions()
        if tells(function)
        and (
            any(argument.arg == "actor" for argument in function.args.args)
            or any(
                argument.arg == "actor" and default is not None
                for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            )
        )
    ]
    assert found == []


def test_records_are_opened_by_with() -> None:
    opened = [
        (module.name, node.lineno)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "log.record"
    ]
    within = [
        (module.name, item.context_expr.lineno)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.With)
        for item in node.items
        if isinstance(item.context_expr, ast.Call) and ast.unparse(item.context_expr.func) == "log.record"
    ]
    assert len(opened) > 30
    assert set(opened) == set(within)
