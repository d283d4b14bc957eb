"""One table decides: every name that is asked stands in it, and every name in it is asked."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from governance.lifecycle import TABLE
from governance.permissions import RULES, meaning
from registry.sharing import RIGHTS
from tests.architecture.house import Module, called, modules

# Which argument of a call is the name of the rule.
ASKING = {"require": 0, "has_perm": 0, "may": 1, "auditor": 1}


def asked(module: Module) -> Iterator[str]:
    """Yield the rules that a module asks by name, in calls and as defaults of parameters named `rule`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node) in ASKING and len(node.args) > ASKING[called(node)]:
            name = node.args[ASKING[called(node)]]
            # guardian's checker has a `has_perm` of its own, for grants; their names have no dot.
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and "." in name.value:
                yield name.value
        if isinstance(node, ast.keyword) and node.arg == "rule" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


ASKED = {name for module in modules() for name in asked(module)}
BY_TABLE = {move.rule for move in TABLE} | set(RIGHTS.values())


def test_every_rule_that_is_asked_stands_in_the_table() -> None:
    # A policy's rule goes by the same keyword; those have no dot.
    assert {name for name in ASKED if "." in name} | BY_TABLE <= set(RULES)


def test_every_rule_in_the_table_is_asked() -> None:
    assert set(RULES) - ASKED - BY_TABLE == set()


@pytest.mark.parametrize("name", RULES)
def test_every_rule_says_in_words_what_it_asks(name: str) -> None:
    words = meaning(RULES[name])
    assert words
    assert not words.startswith("Return")


def test_nobody_asks_who_is_a_superuser() -> None:
    """An account states it, so that raw SQL which sets it is found; nobody decides by it."""
    found = [
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "is_superuser"
    ]
    assert found == ["registry.models.people"]
