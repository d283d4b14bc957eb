"""The scan command: judges files and folders from a shell. It needs neither Django's settings nor a database."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from governance.scanning.isolation import scan_in_child
from governance.scanning.report import Report, Verdict, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a file, or a folder with files")
    parser.add_argument("--json", action="store_true", help="print one JSON object per file, one per line")
    parser.add_argument("--full", action="store_true", help="with --json: the whole report, digests and engines too")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 unless every file passes")


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Scan every path, print what was found, and return the exit status."""
    green = True
    for path in find_files(options.paths):
        report = scan_in_child(path)
        green = green and report.verdict is Verdict.PASS
        out.write(f"{describe_json(path, report, options.full) if options.json else describe(path, report)}\n")
        out.flush()
    return 0 if green or not options.strict else 1


def main(arguments: Sequence[str]) -> int:
    """Run the command with the arguments of a shell and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="scan", description="Judge whether files are safe to load. Nothing is loaded."
    )
    add_arguments(parser)
    return run(parser.parse_args(arguments), sys.stdout)


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files among the paths and all files inside the folders, sorted; links to folders are not followed."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(names))


def describe(path: Path, report: Report) -> str:
    """Return verdict, path and reasons as lines for people."""
    lines = [f"{report.verdict.value:9}{printable(str(path))}"]
    for reason in report.reasons:
        where = f" (in {reason.member})" if reason.member else ""
        lines.append(printable(f"         {reason.code}: {reason.says}{where}"))
    return "\n".join(lines)


def describe_json(path: Path, report: Report, full: bool) -> str:
    """Return path, verdict, format and reasons as one line of JSON; with `full` the whole report."""
    whole = report.as_dict()
    kept = whole if full else {key: whole[key] for key in ("verdict", "format", "reasons")}
    return json.dumps({"path": printable(str(path)), **kept})
