"""The commands that come before Django's settings: `demo`, `with_services`, `start`, and `scan`, which needs none.

`policy_test` is Django's, and is given what its settings ask for: it runs in the CI of a policy repository, which has
no database, no broker and no secret.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from governance.scanning import command
from portal.embedded import demo, processes
from portal.embedded.children import CannotStart
from portal.embedded.services import throwaway

# Asked for by the settings, and used by nothing that such a command does.
UNUSED = {"DATABASE_URL": "postgresql:///none", "REDIS_URL": "redis://none", "SECRET_KEY": "not used by this command"}
WITHOUT_SERVICES = {"policy_test"}
USAGE = "usage: manage.py with_services [--durable] -- COMMAND…"


def run(arguments: Sequence[str]) -> int | None:
    """Run one of our commands and return its exit code, or return None when the command is Django's."""
    commands = {"demo": run_demo, "with_services": run_with_services, "start": run_process, "scan": command.main}
    if arguments and arguments[0] in WITHOUT_SERVICES:
        os.environ.update({name: value for name, value in UNUSED.items() if not is_set(name)})
    if not arguments or arguments[0] not in commands:
        return None
    try:
        return commands[arguments[0]](arguments[1:])
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1


def is_set(name: str) -> bool:
    """Return whether a setting is given, as text or as the name of a file that holds it."""
    return name in os.environ or f"{name}_FILE" in os.environ


def run_demo(arguments: Sequence[str]) -> int:
    """Run the whole portal on this machine until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="manage.py demo", description=run_demo.__doc__)
    parser.add_argument("--until-ready", action="store_true", help="stop as soon as everything answers")
    port = os.environ.get("PORT", "8000")
    if not port.isdigit() or int(port) > 65535:
        raise CannotStart(f"PORT is {port!r}; expected a number up to 65535.")
    return demo.run(port=int(port), until_ready=parser.parse_args(arguments).until_ready)


def run_process(arguments: Sequence[str]) -> int:
    """Become the web, worker, clock or sealer process."""
    parser = argparse.ArgumentParser(prog="manage.py start", description=run_process.__doc__)
    parser.add_argument("process", choices=["web", "worker", "clock", "sealer"])
    processes.become(parser.parse_args(arguments).process)
    return 0


def run_with_services(arguments: Sequence[str]) -> int:
    """Run a command against a database and a broker that are thrown away afterwards, and return its exit code."""
    options, dashes, command = list(arguments), "--", []
    if dashes in options:
        cut = options.index(dashes)
        options, command = options[:cut], options[cut + 1 :]
    if not command or set(options) - {"--durable"}:
        print(USAGE, file=sys.stderr)
        return 2
    # Ctrl-C goes to the command as well, which knows best how to end; then our services follow.
    with throwaway(durable="--durable" in options) as (_, environ):
        process = subprocess.Popen(command, env={**os.environ, **environ})  # noqa: S603 - the caller's own command
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for passed_on in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(passed_on, lambda number, frame: process.send_signal(number))
        code = process.wait()
    return code if code >= 0 else 128 - code
