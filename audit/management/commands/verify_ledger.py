"""`manage.py verify_ledger`: recompute the ledger and say in plain sentences what is wrong, or that nothing is."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.models import Checkpoint
from audit.notes import MAX_NOTE, parse_checkpoint
from audit.verifier import verify
from portal.errors import Invalid


class Command(BaseCommand):
    """Verify the ledger, best with an older checkpoint that was kept outside of the database."""

    help = "Recompute the ledger and compare it with an older checkpoint kept elsewhere. Exits with 1 on faults."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the two files."""
        parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="an older checkpoint to compare with")
        parser.add_argument("--export-checkpoint", type=Path, metavar="FILE", help="where to write the newest one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, report, and write the newest checkpoint when nothing is wrong."""
        report = verify(self._read(options["checkpoint"]))
        for fault in report.faults:
            self.stderr.write(fault)
        if report.further:
            self.stderr.write(f"And {report.further} more.")
        self.stdout.write(
            f"{report.entries} entries ({report.waiting} wait to be sealed), {report.leaves} leaves,"
            f" {report.checkpoints} checkpoints, {report.rows} rows of the record."
        )
        if not report.is_sound:
            raise CommandError("The ledger does not verify.")
        if options["checkpoint"] is None:
            self.stdout.write("Without --checkpoint, a ledger that was cut off or written anew would not show.")
        self.stdout.write(self.style.SUCCESS("The ledger verifies."))
        if options["export_checkpoint"] is not None:
            self._write(options["export_checkpoint"])

    def _read(self, path: Path | None) -> str | None:
        """Return the text of the checkpoint to compare with."""
        if path is None:
            return None
        try:
            if path.stat().st_size > MAX_NOTE:
                raise CommandError(f"{path} is too large to be a checkpoint.")
            text = path.read_text(encoding="utf-8")
            parse_checkpoint(text)
        except (OSError, UnicodeDecodeError, Invalid) as error:
            raise CommandError(f"{path}: {error}") from error
        return text

    def _write(self, path: Path) -> None:
        """Write the newest checkpoint."""
        newest = Checkpoint.objects.first()
        if newest is None:
            raise CommandError("There is no checkpoint yet: nothing was sealed.")
        path.write_text(newest.note, encoding="utf-8")
        self.stdout.write(f"Wrote the checkpoint of {newest.size} entries to {path}.")
