"""Runs the scan command: `python -m governance.scanning PATH… --json`."""

import sys

from governance.scanning.command import main

sys.exit(main(sys.argv[1:]))
