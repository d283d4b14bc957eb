"""Proportion: no file over 400 lines, no function over 40, no door over 15 statements, nothing imported in passing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

from tests.architecture.house import FunctionNode, Module, inside, modules

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
LONGEST_VIEW = 15
EVERYTHING = ("portal", "registry", "governance", "audit", "tests", "benchmarks")


def length(function: FunctionNode) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_no_file_is_too_long() -> None:
    found = {module.name: len(module.lines) for module in modules(*EVERYTHING) if len(module.lines) > LONGEST_FILE}
    assert found == {}


def test_no_function_is_too_long() -> None:
    found = {
        f"{module.name}.{function.name}": length(function)
        for module in modules(*EVERYTHING)
        for function in module.functions()
        if length(function) > LONGEST_FUNCTION
    }
    assert found == {}


def views(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    """Yield the dotted names of our views."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns)
        else:
            view = pattern.callback
            yield f"{view.__module__}.{getattr(view, '__name__', '')}"


def statements(function: FunctionNode) -> int:
    """Return how many statements a function has below its docstring; the formatter breaks one over many lines."""
    inner = sum(isinstance(node, ast.stmt | ast.ExceptHandler) for node in ast.walk(function)) - 1
    return inner - bool(ast.get_docstring(function))


def test_no_view_is_too_long() -> None:
    addressed = set(views(get_resolver().url_patterns))
    found = {
        f"{module.name}.{function.name}": statements(function)
        for module in modules()
        if ".web" in module.name
        for function in module.functions()
        if f"{module.name}.{function.name}" in addressed and statements(function) > LONGEST_VIEW
    }
    assert found == {}


def says_why(module: Module, number: int) -> bool:
    """Return whether an import inside a function has its reason beside it, or in the comment above it."""
    line, above = module.lines[number - 1], module.lines[number - 2].strip()
    return bool(re.search(r"# noqa: [^-]*PLC0415 -+ \w+", line)) or ("PLC0415" in line and above.startswith("# "))


def test_an_import_inside_a_function_says_why() -> None:
    found = []
    for module in modules(*EVERYTHING):
        around = inside(module.tree)
        found += [
            f"{module.name}:{node.lineno}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Import | ast.ImportFrom) and around[node] and not says_why(module, node.lineno)
        ]
    assert found == []


def test_every_module_says_what_lives_there() -> None:
    empty = [m.name for m in modules() if m.text.strip() and not ast.get_docstring(m.tree)]
    assert empty == []
