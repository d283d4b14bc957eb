"""`manage.py import_advisories ZIP --ecosystem PyPI --actor alma` takes over an OSV archive and prints the counts."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from governance import advisories
from portal.errors import Invalid, Refused
from registry.models import User


class Command(BaseCommand):
    """Imports the advisories of one ecosystem from an OSV archive (google.github.io/osv.dev/data)."""

    help = "Import the advisories of one ecosystem from an OSV archive (all.zip)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("archive", type=Path, metavar="ZIP", help="the archive, for example PyPI/all.zip")
        parser.add_argument("--ecosystem", required=True, help="OSV's name for it, for example PyPI, npm or Debian")
        parser.add_argument("--actor", required=True, help="the user name under which the import is recorded")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and print the counts and the records that could not be read."""
        actor = User.objects.filter(username=options["actor"]).first()
        if actor is None:
            raise CommandError(f"There is no account {options['actor']!r}.")
        try:
            # The worker is rung when this block ends, and takes what it has matched out of the queue.
            with transaction.atomic():
                imported = advisories.import_zip(options["archive"], ecosystem=options["ecosystem"], actor=actor)
                packages, versions = imported.touched.count(), advisories.versions_touched(imported).count()
        except (Invalid, Refused, PermissionDenied) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(
            f"{imported.ecosystem}: {imported.read:,} read, {imported.changed:,} new or changed, "
            f"{imported.withdrawn:,} of them withdrawn, {imported.rejected:,} rejected; "
            f"{packages:,} packages touched, in the SBOMs of {versions:,} versions, which are matched again now."
        )
        for fault in imported.faults:
            kind = "" if fault["name"] == advisories.NOT_COVERED else "rejected "
            self.stderr.write(f"{kind}{fault['name']}: {fault['says']}")
