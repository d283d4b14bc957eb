"""Templates print: no script, style or handler inside them, no decision about people, nothing marked as safe."""

from __future__ import annotations

import re

import pytest

from tests.architecture.house import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
FORBIDDEN = {
    # A data block is no script: the browser does not run it, and the content security policy lets it stand.
    "an inline script": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*\btype=\"application/json\")", re.IGNORECASE),
    "an inline style": re.compile(r"<style\b|\sstyle\s*=", re.IGNORECASE),
    "an event handler": re.compile(r"\son[a-z]+\s*=", re.IGNORECASE),
    "a script address": re.compile(r"javascript:", re.IGNORECASE),
    "a decision about people": re.compile(r"\buser\.(is_|has_perm|groups|seats|kind)|\bperms\."),
    "unescaped text": re.compile(r"\|\s*safe\b|autoescape\s+off"),
    "something from elsewhere": re.compile(r"(?:src|href|action)\s*=\s*\"(?:https?:)?//", re.IGNORECASE),
}


def test_there_are_templates() -> None:
    assert len(TEMPLATES) > 50


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_template_holds(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in TEMPLATES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("an inline script", "<script>alert(1)</script>"),
        ("an inline script", '<script type="module">'),
        ("an inline style", '<p style="color: red">'),
        ("an event handler", '<a href="/" onclick="go()">'),
        ("a decision about people", "{% if user.is_staff %}"),
        ("unescaped text", "{{ note|safe }}"),
        ("something from elsewhere", '<script src="https://elsewhere.example/x.js">'),
    ],
)
def test_the_rules_would_notice(what: str, line: str) -> None:
    assert FORBIDDEN[what].search(line)


FORM = re.compile(r"<form\b[^>]*method=\"post\".*?</form>", re.IGNORECASE | re.DOTALL)
ELSEWHERE = re.compile(r"url\(['\"]?(?:https?:)?//|import\s+['\"]https?:")


def test_every_form_that_posts_carries_a_csrf_token() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for path in TEMPLATES
        for form in FORM.findall(path.read_text(encoding="utf-8"))
        if "csrf_token" not in form
    ]
    assert bare == []


def test_our_own_styles_and_scripts_name_no_other_host() -> None:
    files = [path for path in (ROOT / "static").rglob("*") if path.suffix in {".css", ".js"}]
    assert files
    assert [path.name for path in files if ELSEWHERE.search(path.read_text(encoding="utf-8"))] == []
