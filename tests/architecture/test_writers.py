"""Who writes: one function for a version's state, verbs alone for rows, and explicit calls instead of signals."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.house import Module, called, doors, inside, modules

# Every place that assigns a `.state`: the one writer of each kind of row.
WRITERS = {
    ("governance.lifecycle", "write"): "a version",
    ("governance.submissions", "close"): "a submission",
    ("governance.proposals", "answer"): "a proposal: published, declined or withdrawn",
    ("governance.waivers", "decide"): "a waiver: granted or refused",
    ("governance.waivers", "revoke"): "a waiver: revoked",
    ("governance.violations.answering", "answer"): "a violation: answered",
    ("audit.exports.builder", "claim"): "an export, which is a job: running",
    ("audit.exports.builder", "finish"): "an export: done",
    # The machine that reads pickles remembers what an object was built from; no row is involved.
    ("governance.scanning.machine", "on_build"): "an object on the pickle machine's stack",
}
WRITING = {"save", "create", "update", "delete", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}
# A plain dictionary has an `update`, too.
DICTIONARIES = {("audit.web.present", "made.update(parameters)")}
MAKING = {"Version", "create", "update", "bulk_create", "get_or_create", "update_or_create"}


def assigned(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a statement assigns to."""
    if isinstance(node, ast.Assign):
        yield from node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        yield node.target


def state_writers(module: Module) -> Iterator[tuple[str, str]]:
    around = inside(module.tree)
    for node in ast.walk(module.tree):
        for target in assigned(node):
            for part in ast.walk(target):
                if isinstance(part, ast.Attribute) and part.attr == "state" and isinstance(part.ctx, ast.Store):
                    yield module.name, around[node]


def test_each_state_has_one_writer() -> None:
    assert {where for module in modules() for where in state_writers(module)} == set(WRITERS)


def test_nobody_gives_a_version_its_state_while_making_or_updating_it() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and called(node) in MAKING
        and any(keyword.arg == "state" for keyword in node.keywords)
        and "ExportState" not in ast.unparse(node)
    ]
    assert found == []


def test_nobody_names_the_state_of_a_row_by_text() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and called(node) == "setattr"
        and isinstance(node.args[1], ast.Constant)
        and node.args[1].value == "state"
    ]
    assert found == []


def test_a_state_cannot_be_edited_as_a_field() -> None:
    from registry.drafts import EDITABLE  # noqa: PLC0415 -- the rest of this file reads source and needs no Django

    assert "state" not in EDITABLE


def test_no_door_writes_rows() -> None:
    found = [
        f"{module.name}:{node.lineno}: {ast.unparse(node)}"
        for module in doors()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (called(node) in WRITING or called(node).startswith("bulk_"))
        and (module.name, ast.unparse(node)) not in DICTIONARIES
    ]
    assert found == []


def test_there_are_doors_to_look_at() -> None:
    names = {module.name for module in doors()}
    assert {"registry.web.pages", "governance.tasks", "audit.admin", "portal.administration"} <= names


def test_nothing_hangs_on_signals() -> None:
    """The one receiver refuses fixtures, and Celery tells that the clock has started; see docs/decisions."""
    found = set()
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(("signals", "dispatch")):
                found.add((module.name, node.module))
    assert found == {
        ("audit.models.bases", "django.db.models.signals"),
        ("audit.models.bases", "django.dispatch"),
        ("portal.tasks", "celery.signals"),
    }
