"""The whole corpus: no attack passes, none is run, and none makes the scanner itself fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance.scanning import Report, Verdict, scan
from tests.governance.scanning.assemble import COMMAND
from tests.governance.scanning.corpus import malicious

ENTRIES = malicious()
NEVER_HARMLESS = {"dangerous-call", "dangerous-dropped", "dangerous-mention", "old-protocol"}


def scan_bytes(folder: Path, name: str, data: bytes) -> Report:
    """Write a file and scan it."""
    path = folder / (name or "no-extension")
    path.write_bytes(data)
    return scan(path)


@pytest.mark.parametrize(
    ("kind", "name", "data"), ENTRIES, ids=[f"{number}-{entry[0]}-{entry[1]}" for number, entry in enumerate(ENTRIES)]
)
def test_an_attack_does_not_pass(kind: str, name: str, data: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, name, data)
    assert report.verdict is not Verdict.PASS
    assert report.reasons
    assert "scanner-failed" not in {reason.code for reason in report.reasons}
    if kind in NEVER_HARMLESS:
        assert report.verdict is Verdict.REJECTED


def test_no_attack_was_run() -> None:
    assert not Path(COMMAND.split()[1]).exists()


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(ENTRIES) > 700
    assert len({data for _, _, data in ENTRIES}) > 600
