"""What is committed: generated pages that fit the code, one migration an app, pinned requirements that name no host."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from portal import handbook
from tests.architecture.house import ROOT

TEXTS = sorted(
    path
    for pattern in ("requirements/*", "docs/**/*.md", "*.md", "*.toml", "Makefile", ".ci/*")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
REGISTRIES = re.compile(r"\b(?:pypi|pythonhosted|npmjs|crates|rubygems|proxy\.golang)\.(?:org|com|io)\b", re.IGNORECASE)


def test_generated_docs_are_committed() -> None:
    assert handbook.drifted() == []
    call_command("docs", "--check", stdout=StringIO())


def test_a_drifted_page_fails_the_check_and_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handbook, "FOLDER", tmp_path)
    (tmp_path / "events.md").write_text("# Something else\n", encoding="utf-8")
    with pytest.raises(CommandError, match=r"events\.md"):
        call_command("docs", "--check")
    call_command("docs", stdout=StringIO())
    assert {path.name for path in tmp_path.iterdir()} == set(handbook.PAGES)
    call_command("docs", "--check")


@pytest.mark.django_db
def test_the_models_have_no_change_without_a_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run", stdout=StringIO())


def test_each_app_has_one_migration_until_the_first_release() -> None:
    found = {str(path.relative_to(ROOT)) for path in ROOT.glob("[a-z]*/migrations/0*.py")}
    assert found == {f"{app}/migrations/0001_initial.py" for app in ("registry", "governance", "audit")}


def test_nothing_committed_names_a_package_registry() -> None:
    assert len(TEXTS) > 15
    found = [str(path.relative_to(ROOT)) for path in TEXTS if REGISTRIES.search(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("name", ["base.txt", "dev.txt"])
def test_requirements_are_pinned_with_hashes_and_name_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    wanted = [block for block in re.split(r"\n(?=\S)", text.strip()) if not block.startswith("#")]
    assert len(wanted) > 40
    assert [block for block in wanted if "==" not in block or "--hash=sha256:" not in block] == []


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in TEXTS
        if re.search(r"(?<![\w.])/(?:home|Users|root|work)/", path.read_text(encoding="utf-8"))
    ]
    assert found == []
