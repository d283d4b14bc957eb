"""The scan command prints one JSON object per file, over files, folders, and names that are hard to print."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from governance.scanning import command
from governance.scanning.isolation import ROOT
from tests.governance.scanning.assemble import attack, safetensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "good.safetensors").write_bytes(safetensors({}))
    (tmp_path / "sub" / "bad.pkl").write_bytes(attack())
    (tmp_path / "sub" / "odd\n\udcff.txt").write_bytes(b"caf\xe9")
    return tmp_path


def scan_paths(*arguments: str) -> tuple[int, list[str]]:
    """Run the command in this process and return its status and lines."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    out = io.StringIO()
    status = command.run(parser.parse_args(arguments), out)
    return status, out.getvalue().splitlines()


def test_a_folder_gives_one_object_per_file(folder: Path) -> None:
    status, lines = scan_paths("--json", str(folder), str(folder / "missing.pkl"))
    found = [json.loads(line) for line in lines]
    assert status == 0
    assert [item["verdict"] for item in found] == ["pass", "rejected", "error", "error"]
    assert [Path(item["path"]).name for item in found][:2] == ["good.safetensors", "bad.pkl"]
    assert found[1]["reasons"][0]["code"] == "dangerous-global"
    assert found[3]["reasons"][0]["code"] == "unopened"


def test_the_whole_report_is_there_when_asked_for(folder: Path) -> None:
    _, lines = scan_paths("--json", "--full", str(folder / "good.safetensors"))
    report = json.loads(lines[0])
    assert {"sha256", "engines", "allowlist_digest", "isolation"} <= set(report)


def test_people_get_lines_that_they_can_read(folder: Path) -> None:
    status, lines = scan_paths("--strict", str(folder))
    assert status == 1
    assert lines[0].startswith("pass")
    assert "os.system" in lines[2]
    assert all(line.isprintable() for line in lines)


def test_it_runs_from_a_shell_without_any_settings(folder: Path) -> None:
    arguments = [sys.executable, "-m", "governance.scanning", str(folder / "sub" / "bad.pkl"), "--json", "--strict"]
    done = subprocess.run(arguments, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "rejected"
