"""`manage.py keyset draft|sign|publish|show`: which keys of this portal are believed; runbooks in docs/operating.md."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit import rotation, seal
from audit.copies.configured import read_witness
from audit.cosignatures import parse_witness_key
from audit.exports import roots
from audit.models import Keyset
from governance import portal_keys
from portal.errors import Invalid, Refused
from registry.models import User


def pair(text: str) -> tuple[str, str]:
    """Return the two sides of an argument such as name=value."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError(text)
    return name, value


class Command(BaseCommand):
    """Draft the next keyset, sign one with a root key, publish a signed one, or show what is published."""

    help = "Draft, sign, publish or show the keyset: which keys of this portal are believed for what and when."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the four things that can be done."""
        does = parser.add_subparsers(dest="what", required=True)
        draft = does.add_parser("draft", help="write the next keyset, unsigned, to standard output")
        draft.add_argument("--root", action="append", default=[], type=Path, metavar="PUBLIC.PEM", help="a root's key")
        draft.add_argument(
            "--witness", action="append", default=[], metavar="VKEY", help="one more than WITNESSES names"
        )
        draft.add_argument("--compromised", action="append", default=[], type=pair, metavar="KEYID=INSTANT")
        draft.add_argument("--days", type=int, default=365, help="how long gates believe it")
        sign = does.add_parser("sign", help="sign it; asks no database, like audit/exports/roots.py")
        sign.add_argument("file", type=Path)
        sign.add_argument("--key", type=Path, required=True, help="a private root key; its password in ROOT_PASSWORD")
        publish = does.add_parser("publish", help="check a signed keyset and make it the one that counts")
        publish.add_argument("file", type=Path)
        does.add_parser("show", help="print the published keyset")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what is wrong in a sentence."""
        try:
            getattr(self, options["what"])(options)
        except (Invalid, Refused, ImproperlyConfigured, OSError, ValueError, TypeError, LookupError) as error:
            raise CommandError(str(error)) from error

    def draft(self, options: dict[str, Any]) -> None:
        """Print the next keyset as a document that people can read and change before it is signed."""
        document = rotation.draft(
            at=timezone.now(),
            days=options["days"],
            roots=[path.read_text(encoding="ascii") for path in options["root"]],
            witnesses=[
                *map(parse_witness_key, options["witness"]),
                *(read_witness(text).key for text in settings.WITNESSES),
            ],
            compromised={keyid: moment(text) for keyid, text in options["compromised"]},
        )
        self.stdout.write(json.dumps(document.as_json(), indent=2))

    def sign(self, options: dict[str, Any]) -> None:
        """Add the signature of one root key to a keyset."""
        password = os.environ.get("ROOT_PASSWORD", "").encode() or None
        envelope = roots.sign(roots.read(options["file"]), roots.load(options["key"].read_bytes(), password))
        roots.write(options["file"], envelope)
        self.stdout.write(roots.told(envelope))

    def publish(self, options: dict[str, Any]) -> None:
        """Publish a signed keyset, and say what it ended."""
        document, ended = portal_keys.publish(roots.read(options["file"]), actor=User.objects.system("keys"))
        self.stdout.write(f"Keyset {document.version} is published; it expires {seal.instant(document.expires_at)}.")
        for revocation in ended:
            self.stdout.write(f"Revoked, because nothing proves that it is older: {revocation.revokes}")

    def show(self, options: dict[str, Any]) -> None:
        """Print the published keyset in words."""
        row = Keyset.objects.first()
        if row is None:
            raise CommandError("No keyset is published yet: `manage.py keyset draft` begins one.")
        self.stdout.write(roots.told(row.envelope))


def moment(text: str) -> datetime:
    """Return an aware instant. Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone; write 2026-11-23T09:00:00Z.")
    return found
