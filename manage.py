#!/usr/bin/env python
"""The command line. A few commands start a database first, so they come before Django reads its settings."""

import os
import sys

from django.core.management import execute_from_command_line

from portal.embedded import supervisor


def main() -> None:
    """Run one command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    code = supervisor.run(sys.argv[1:])
    if code is not None:
        sys.exit(code)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
