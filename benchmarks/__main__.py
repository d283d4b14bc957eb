"""Run with `make bench`, or `make bench ARGS="ledger gate --full"` for some parts at the sizes the design names."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command


def main() -> None:
    """Prepare an empty database, take the figures, and say what the machine was."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    os.environ.setdefault("ALLOWED_HOSTS", "testserver")
    django.setup()
    call_command("migrate", verbosity=0)
    from benchmarks.figures import run  # noqa: PLC0415 -- models can be imported only after setup
    from benchmarks.measure import machine  # noqa: PLC0415 -- next to what prints it

    print(f"machine: {machine()}")
    run([word for word in sys.argv[1:] if word != "--full"], full="--full" in sys.argv)


if __name__ == "__main__":
    main()
