"""The whole corpus: no attack passes, none is run, and none makes the scanner itself fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance.scanning import Report, Verdict, scan
from tests.governance.scanning.assemble import COMMAND
from tests.governance.scanning.corpus import malicious

ENTRIES = malicious()
KINDS = sorted({kind for kind, _, _ in ENTRIES})
NEVER_HARMLESS = {"dangerous-call", "dangerous-dropped", "dangerous-mention", "old-protocol", "reaching"}


def scan_bytes(folder: Path, name: str, data: bytes) -> Report:
    """Write a file and scan it."""
    path = folder / (name or "no-extension")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return scan(path)


def is_answered(kind: str, report: Report) -> bool:
    """Return whether an attack got the answer that its kind deserves, with a reason that is not a fault of ours."""
    codes = {reason.code for reason in report.reasons}
    stopped = report.verdict is Verdict.REJECTED or (report.verdict is not Verdict.PASS and kind not in NEVER_HARMLESS)
    return stopped and bool(codes) and "scanner-failed" not in codes


@pytest.mark.parametrize("kind", KINDS)
def test_no_attack_of_a_kind_passes(kind: str, tmp_path: Path) -> None:
    # One test for each kind, because thousands of tests cost more than what they test.
    mine = [(name, data) for wanted, name, data in ENTRIES if wanted == kind]
    reports = {
        f"{number}: {name}": scan_bytes(tmp_path / str(number), name, data) for number, (name, data) in enumerate(mine)
    }
    assert {label: report for label, report in reports.items() if not is_answered(kind, report)} == {}


def test_no_attack_was_run() -> None:
    assert not Path(COMMAND.split()[1]).exists()


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(ENTRIES) > 1300
    assert len({data for _, _, data in ENTRIES}) > 1200
