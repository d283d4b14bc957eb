"""manage.py scan: judges files and folders from the command line. The judging itself is governance.scanning."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from django.core.management.base import BaseCommand

from governance.scanning import Report, Verdict, scan_in_child


class Command(BaseCommand):
    """Scan files, and all files in folders, without ever loading one."""

    help = "Judge whether files are safe to load: pass, held, rejected or error, with the reasons. Nothing is loaded."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command's arguments."""
        parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a file, or a folder with files")
        parser.add_argument("--json", action="store_true", help="print one JSON object per file, one per line")
        parser.add_argument(
            "--full", action="store_true", help="with --json: the whole report, digests and engines too"
        )
        parser.add_argument("--strict", action="store_true", help="exit with status 1 unless every file passes")

    def handle(self, *args: object, **options: object) -> None:
        """Scan every path and print what was found."""
        paths = options["paths"]
        assert isinstance(paths, list)
        green = True
        for path in find_files(paths):
            report = scan_in_child(path)
            green = green and report.verdict is Verdict.PASS
            if options["json"]:
                self.stdout.write(json.dumps(describe(path, report, bool(options["full"]))))
            else:
                self.stdout.write(f"{report.verdict.value:9}{printable(path)}")
                for reason in report.reasons:
                    where = f" (in {reason.member})" if reason.member else ""
                    self.stdout.write(
                        f"         {reason.code}: {reason.says}{where}".encode("utf-8", "replace").decode()
                    )
            self.stdout.flush()
        if options["strict"] and not green:
            raise SystemExit(1)


def find_files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files among the paths and all files inside the folders, sorted; folders are not followed by links."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(names))


def describe(path: Path, report: Report, full: bool) -> dict[str, object]:
    """Return the JSON object for one file: path, verdict, format, reasons; with `full` the whole report."""
    short = {"path": printable(path), "verdict": report.verdict.value, "format": report.format}
    reasons = {"reasons": [vars(reason) | {"verdict": reason.verdict.value} for reason in report.reasons]}
    return {**short, **reasons, **(report.as_dict() if full else {})}


def printable(path: Path) -> str:
    """Return a path as text that can be printed even when its name is not UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()
