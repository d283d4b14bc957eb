"""The source of the house as data: its modules, their syntax trees, and what stands where in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("portal", "registry", "governance", "audit")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file of ours."""

    name: str
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def tree(self) -> ast.Module:
        return parse(self.path)

    def functions(self) -> Iterator[FunctionNode]:
        return (node for node in ast.walk(self.tree) if isinstance(node, FunctionNode))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Return the modules below some folders, by default those of the product; migrations are written by Django."""
    paths = [path for folder in folders or APPS for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(Module(name_of(path), path) for path in paths if "migrations" not in path.parts)


def doors() -> list[Module]:
    """Return the modules through which requests, bells and administrators come in."""
    return [
        module
        for module in modules()
        if ".web" in module.name or module.name.endswith((".tasks", ".admin", ".administration", "portal.api"))
    ]


def inside(tree: ast.Module) -> dict[ast.AST, str]:
    """Return the name of the innermost function around each node, empty at the top of the module."""
    found: dict[ast.AST, str] = {}

    def visit(node: ast.AST, around: str) -> None:
        found[node] = around
        name = node.name if isinstance(node, FunctionNode) else around
        for child in ast.iter_child_nodes(node):
            visit(child, name)

    visit(tree, "")
    return found


def called(node: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
