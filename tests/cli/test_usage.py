"""The command on its own: wrong usage, a portal in trouble, and what it must never print or send."""

from __future__ import annotations

import ast
import hashlib
import json
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.cli.command import COMMAND, run
from tests.cli.scripted import DROP, scripted

SECRET = "csn_abcdefgh_" + "S" * 43
INVALID, UNREACHABLE = 2, 3
GATE = ("gate", "0" * 64, "--consumer", "billing")
NO: dict[str, Any] = {
    "allow": False,
    "version": None,
    "state": "unregistered",
    "reasons": [],
    "decision": None,
    "expires_at": None,
}
BUSY: tuple[int, dict[str, str], Any] = (503, {}, {"error": "busy", "says": "Later.", "reasons": []})


def test_it_is_one_file_that_python_3_9_reads_and_that_needs_only_the_standard_library() -> None:
    tree = ast.parse(COMMAND.read_text(), feature_version=(3, 9))
    imports = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imports |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imports} <= sys.stdlib_module_names
    assert COMMAND.stat().st_mode & stat.S_IXUSR
    assert COMMAND.read_text().startswith("#!/usr/bin/env python3\n")


def test_the_portal_hands_it_out_to_whoever_reaches_it(db: None) -> None:
    answer: Any = Client().get("/cli/countersign")
    assert answer.status_code == 200
    served = b"".join(answer.streaming_content)
    assert hashlib.sha256(served).digest() == hashlib.sha256(COMMAND.read_bytes()).digest()


def test_every_command_explains_itself() -> None:
    code, out, _ = run("http://localhost", SECRET, "--help")
    assert code == 0
    names = ("register", "attach", "nominate", "submit", "wait", "gate", "promote", "serve-report", "show", "findings")
    for name in names:
        assert f"    {name} " in out
        assert run("http://localhost", SECRET, name, "--help")[0] == 0


WRONG: list[tuple[tuple[str, ...], str]] = [
    ((), "required"),
    (("dance",), "invalid choice"),
    (("show", "fraud-scorer"), "expected ASSET@NUMBER"),
    (("attach", "a@1.0.0", "sbom.json"), "expected KIND=PATH"),
    (("attach", "a@1.0.0", "sbom=/nowhere/sbom.json"), "/nowhere/sbom.json cannot be read: No such file"),
    (("register", "/nowhere.json"), "cannot be read"),
    (("gate", "--consumer", "billing"), "either a digest or --artifact"),
    (("gate", "0" * 64), "--consumer"),
    (("serve-report", "/nowhere.jsonl"), "cannot be read"),
    (("wait", "a@1.0.0", "famous"), "invalid choice"),
]


def test_wrong_usage_is_2_before_anything_is_sent(subtests: pytest.Subtests) -> None:
    with scripted(b"{}") as portal:
        for arguments, words in WRONG:
            with subtests.test(arguments=arguments):
                code, _, err = run(portal.url, SECRET, *arguments)
                assert (code, words in err) == (INVALID, True), err
        assert portal.calls == []


@pytest.mark.parametrize(
    "text",
    [
        '{"asset": 1, "asset": 2}',
        "{",
        "[]",
        '{"version": 7}',
        '{"version": {"artifact": "x"}}',
        '{"evidence": {}}',
        "\ud800",
    ],
)
def test_a_registration_that_is_none_is_2_before_anything_is_sent(tmp_path: Path, text: str) -> None:
    path = tmp_path / "version.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with scripted(b"{}") as portal:
        code, _, err = run(portal.url, SECRET, "register", str(path))
        assert (code, str(path) in err, portal.calls) == (INVALID, True, [])


def test_a_registration_that_contradicts_the_artifact_is_2(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"model")
    (tmp_path / "version.json").write_text(json.dumps({"version": {"artifact": {"sha256": "0" * 64}}}))
    with scripted(b"{}") as portal:
        arguments = ("register", str(tmp_path / "version.json"), "--artifact", str(tmp_path / "model.bin"))
        code, _, err = run(portal.url, SECRET, *arguments)
        assert (code, portal.calls) == (INVALID, [])
    assert hashlib.sha256(b"model").hexdigest() in err


def test_a_document_beyond_the_limit_is_2_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "sbom.json").write_bytes(b" " * 50_000_000)
    with scripted(b"{}") as portal:
        code, _, err = run(portal.url, SECRET, "attach", "a@1.0.0", f"sbom={tmp_path / 'sbom.json'}")
        assert (code, "at most 33,554,432" in err, portal.calls) == (INVALID, True, [])


@pytest.mark.parametrize("url", ["", "portal.example", "file:///etc/passwd", "https://"])
def test_an_address_that_is_none_is_2(url: str) -> None:
    code, _, err = run(url, SECRET, *GATE)
    assert (code, "COUNTERSIGN_URL" in err) == (INVALID, True)


@pytest.mark.parametrize("token", ["", "csn_a\nX-Evil: 1", "csn_ä"])
def test_a_token_that_is_none_is_2_and_is_not_printed(token: str) -> None:
    code, out, err = run("http://127.0.0.1:9", token, *GATE)
    assert (code, "COUNTERSIGN_TOKEN is empty or damaged" in err) == (INVALID, True)
    assert not token or token not in out + err


def test_a_portal_that_is_not_there_is_3() -> None:
    started = time.monotonic()
    code, _, err = run("http://127.0.0.1:9", SECRET, *GATE, "--attempts", "2")
    assert (code, "cannot be reached" in err) == (UNREACHABLE, True)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("trouble", [DROP, BUSY, (502, {}, b"<html>")])
def test_what_may_be_repeated_is_repeated_until_it_is_answered(trouble: Any) -> None:
    with scripted(trouble, trouble, (200, {}, NO)) as portal:
        code, _, err = run(portal.url, SECRET, *GATE)
        assert (code, len(portal.calls)) == (1, 3)
    assert err.count("trying again") == 2
    assert "NO: an unregistered digest in production for billing" in err


def test_a_submission_that_was_sent_is_not_sent_again() -> None:
    with scripted(DROP) as portal:
        code, _, err = run(portal.url, SECRET, "submit", "a@1.0.0", "production")
        assert (code, len(portal.calls)) == (UNREACHABLE, 1)
    assert "It may have been done all the same" in err


@pytest.mark.parametrize(
    "answer",
    [b"<html>hello</html>", b"[]", b"7", b"{}", (500, {}, b"<html>"), (500, {}, {"says": 7}), (404, {}, b"<html>")],
)
def test_what_is_no_portal_is_3(answer: Any) -> None:
    with scripted(answer) as portal:
        code, out, err = run(portal.url, SECRET, *GATE)
    assert (code, out) == (UNREACHABLE, "")
    assert "Traceback" not in err


def test_only_the_word_true_is_a_yes() -> None:
    for value in ("true", 1, "yes", None, [True]):
        with scripted((200, {}, {**NO, "allow": value})) as portal:
            assert run(portal.url, SECRET, *GATE)[0] == 1


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else() -> None:
    with scripted((200, {}, {**NO, "allow": True})) as elsewhere:
        with scripted((302, {"Location": f"{elsewhere.url}/gate"}, b"")) as portal:
            code, _, err = run(portal.url, SECRET, *GATE)
        assert (code, elsewhere.calls) == (UNREACHABLE, [])
    assert "HTTP 302" in err


def test_the_token_and_control_characters_are_never_printed() -> None:
    says = f"\x1b[2J\x1b]0;owned\x07 {SECRET} was sent"
    refusal = {"error": "x", "says": says, "reasons": [{"rule": "r", "says": says, "fix": says, "where": "/x"}]}
    with scripted((409, {}, refusal)) as portal:
        for more in ((), ("--json",)):
            code, out, err = run(portal.url, SECRET, "show", "a@1.0.0", *more)
            assert code == 1
            assert SECRET not in out + err
            assert "\x1b" not in out + err
        assert portal.calls[0][2] == f"Bearer {SECRET}"
