"""`manage.py verify_ledger`: recompute the ledger and say in plain sentences what is wrong, or that nothing is.

It is held against the newest copy of a checkpoint outside, or against a file. It never leaves that out in silence.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import copies, cosignatures
from audit.notes import MAX_NOTE, parse_checkpoint
from audit.verifier import verify
from portal.errors import Invalid

BLIND = "So a ledger that was cut off or written anew would not show."


class Command(BaseCommand):
    """Verify the ledger, with a checkpoint that was kept outside of the database."""

    help = "Recompute the ledger and compare it with the newest copy of a checkpoint outside. Exits with 1 on faults."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add what to compare with, and where to write the newest checkpoint."""
        given = parser.add_mutually_exclusive_group()
        given.add_argument("--checkpoint", type=Path, metavar="FILE", help="a checkpoint to compare with, by hand")
        given.add_argument("--without-copy", action="store_true", help="compare with nothing that was kept outside")
        parser.add_argument("--export-checkpoint", type=Path, metavar="FILE", help="where to write the newest one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, report, and write the newest checkpoint when nothing is wrong."""
        trusted, compared, elsewhere = self._trusted(options["checkpoint"], without=options["without_copy"])
        report = verify(trusted)
        for sentence in elsewhere:
            report.fault(sentence)
        for fault in report.faults:
            self.stderr.write(fault)
        if report.further:
            self.stderr.write(f"And {report.further} more.")
        self.stdout.write(
            f"{report.entries} entries ({report.waiting} wait to be sealed), {report.leaves} leaves,"
            f" {report.checkpoints} checkpoints, {report.rows} rows of the record."
        )
        self.stdout.write(compared)
        if not report.is_sound:
            raise CommandError("The ledger does not verify.")
        self.stdout.write(self.style.SUCCESS("The ledger verifies."))
        if options["export_checkpoint"] is not None:
            self._write(options["export_checkpoint"])

    def _trusted(self, path: Path | None, *, without: bool) -> tuple[str | None, str, list[str]]:
        """Return the checkpoint to compare with, if there is one, the sentence about it, and what older copies show.

        Raises CommandError when places can be read and none of them gives a checkpoint: that is what an attacker would
        bring about.
        """
        if path is not None:
            text = self._read(path)
            return text, f"Compared with the checkpoint of {parse_checkpoint(text).size} entries in {path}.", []
        if without:
            return None, f"Compared with nothing outside, as asked by --without-copy. {BLIND}", []
        try:
            looked = copies.look()
        except Invalid as error:
            raise CommandError(f"The places outside cannot be read: {error}") from error
        for sentence in looked.unread:
            self.stderr.write(f"Not compared with {sentence}")
        if looked.newest is not None:
            found = looked.newest
            told = f"Compared with the checkpoint of {found.size} entries from {found.where}."
            return found.note, told, looked.contradictions()
        if looked.unread:
            hint = "Mend the places, give one with --checkpoint FILE, or say --without-copy."
            raise CommandError(f"No place outside gives a checkpoint, so nothing was verified. {hint}")
        return None, f"Compared with nothing outside: no place that can be read is in CHECKPOINT_PLACES. {BLIND}", []

    def _read(self, path: Path) -> str:
        """Return the text of the checkpoint to compare with."""
        try:
            if path.stat().st_size > MAX_NOTE:
                raise CommandError(f"{path} is too large to be a checkpoint.")
            text = path.read_text(encoding="utf-8")
            parse_checkpoint(text)
        except (OSError, UnicodeDecodeError, Invalid) as error:
            raise CommandError(f"{path}: {error}") from error
        return text

    def _write(self, path: Path) -> None:
        """Write the newest checkpoint, with the lines of its witnesses."""
        newest = cosignatures.best_over(0)
        if newest is None:
            raise CommandError("There is no checkpoint yet: nothing was sealed.")
        path.write_text(cosignatures.cosigned(newest), encoding="utf-8")
        self.stdout.write(f"Wrote the checkpoint of {newest.size} entries to {path}.")
