"""Where a build came from: one repository in many spellings, look-alikes, and the commit that everything agrees on."""

from __future__ import annotations

from typing import Any

import pytest

from governance.checks.sources import compare_source, repository
from portal.demo.walk import COMMIT
from registry.models import Asset, Version
from tests.governance.checks.attested import build, envelope, new_key, read

HOME = "https://git.example.com/ml/fraud-scorer"
VERSION = Version(
    asset=Asset(slug="fraud-scorer"), artifact_sha256="ab" * 32, source_repository=HOME, source_commit=COMMIT
)
KEY = new_key()


def faults(version: Version = VERSION, **changes: Any) -> list[str]:
    statement = read(envelope(build(VERSION, **changes), KEY))
    found = list(compare_source(statement, version))
    assert {code for code, _ in found} <= {"source_mismatch"}
    return [says for _, says in found]


@pytest.mark.parametrize(
    "spelling",
    [
        HOME,
        "git+https://GIT.example.com/ml/fraud-scorer.git",
        "git+https://git.example.com/ml/fraud-scorer@refs/heads/main",
        "git+https://bot@git.example.com/ml/fraud-scorer.git@refs/tags/v1",
        "https://oauth2:token@git.example.com/ml/fraud-scorer",
        "https://git.example.com/ml/fraud-scorer/#readme",
        "ssh://git@git.example.com/ml/fraud-scorer.git",
    ],
)
def test_spellings_of_one_repository_compare_equal(spelling: str) -> None:
    assert repository(spelling) == "git.example.com/ml/fraud-scorer"
    assert faults(sources={"source": spelling}) == []


@pytest.mark.parametrize(
    "other",
    [
        "https://evil.example/x@git.example.com/ml/fraud-scorer",
        "https://evil.example\\@git.example.com/ml/fraud-scorer",
        "https://evil.example?@git.example.com/ml/fraud-scorer",
        "https://evil.example @git.example.com/ml/fraud-scorer",
        "https://evil.example#@git.example.com/ml/fraud-scorer",
        "https://a@evil.example@git.example.com/ml/fraud-scorer",
        "https://git.example.com.evil.example/ml/fraud-scorer",
        "https://git.example.com:8443/ml/fraud-scorer",
        "https://git.example.com./ml/fraud-scorer",
        "https://git.exаmple.com/ml/fraud-scorer",
        "https://git.example.com/ml/fraud-scorer-evil",
        "https://git.example.com/ml/Fraud-Scorer",
        "https://git.example.com/ml/other/../fraud-scorer",
        "https://git.example.com/ml%2Ffraud-scorer",
        "https://git.example.com/ml/other",
        "https://git.example.com",
        "git.example.com",
        "git@git.example.com:ml/fraud-scorer.git",
    ],
)
def test_another_repository_never_compares_equal(other: str) -> None:
    assert repository(other) != "git.example.com/ml/fraud-scorer"
    assert faults(sources={"source": other})


def test_everything_that_says_what_was_built_has_to_agree() -> None:
    assert faults(sources={"workflow": {"repository": HOME, "ref": "refs/heads/main"}}) == []
    assert faults(sources={"source": HOME, "configSource": {"uri": "https://git.example.com/ci/recipes"}}) == []
    [said] = faults(sources={"source": HOME, "workflow": {"repository": "https://git.example.com/ml/other"}})
    assert said == f"It was built from https://git.example.com/ml/other, not from {HOME}."


def test_a_build_that_names_no_source_came_from_anywhere() -> None:
    assert faults(sources={}) == ["Its external parameters do not say which repository was built."]
    assert faults(sources={"configSource": HOME}) == ["Its external parameters do not say which repository was built."]


def test_the_commit_is_the_one_the_builder_resolved() -> None:
    """What the caller asked for is a wish; what the builder checked out stands among the dependencies."""
    asked = {"source": {"uri": HOME, "digest": {"gitCommit": COMMIT}}}
    assert faults(sources=asked, dependencies=[]) == [f"Its dependencies name no commit of {HOME}."]
    elsewhere = {"uri": "git+https://git.example.com/ml/other", "digest": {"gitCommit": COMMIT}}
    assert faults(sources=asked, dependencies=[elsewhere])
    other = {"uri": f"git+{HOME}", "digest": {"gitCommit": "f" * 40}}
    here = {"uri": f"git+{HOME}@refs/heads/main", "digest": {"gitCommit": COMMIT.upper()}}
    assert faults(sources=asked, dependencies=[here, elsewhere]) == []
    assert faults(sources=asked, dependencies=[here, other]) == [f"It was built at {'f' * 40}, not at {COMMIT}."]
    wish = {"source": {"uri": HOME, "digest": {"gitCommit": "f" * 40}}}
    assert faults(sources=wish, dependencies=[here]) == [f"It was built at {'f' * 40}, not at {COMMIT}."]


@pytest.mark.parametrize("missing", ["source_repository", "source_commit"])
def test_nothing_registered_is_equal_to_nothing(missing: str) -> None:
    told = {"source_repository": HOME, "source_commit": COMMIT, missing: ""}
    bare = Version(asset=VERSION.asset, artifact_sha256="ab" * 32, **told)
    assert faults(bare, sources={"source": ""}, dependencies=[{"uri": "", "digest": {}}]) != []
