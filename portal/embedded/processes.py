"""The portal's kinds of process and how each is started, here and in production."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from portal.embedded.children import CannotStart


@dataclass(frozen=True)
class Process:
    """One kind of process: its module and arguments, the environment it needs besides the portal's own, and its end.

    `death_signal` ends it with all its children when database and broker have gone before it.
    """

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    death_signal: signal.Signals = signal.SIGKILL

    def arguments(self) -> list[str]:
        """Return the whole command line, run by the Python that runs us."""
        return [sys.executable, "-m", *self.command]


def processes(host: str, port: int) -> dict[str, Process]:
    """Return web, worker and clock by name; the web process listens on this host and port.

    The worker also seals the ledger, unless SEALER_DATABASE_URL says that a process of its own does, with rights of
    its own: then that one is here as well, and needs the ledger's key, which the others do not.
    """
    sealing = os.environ.get("SEALER_DATABASE_URL", "")
    # Backpressure counts connections that browsers keep open and idle as well, so a small number would lock people out.
    web = (
        "granian --interface wsgi --workers 1 --blocking-threads 4 --backpressure 1024 --no-ws "
        f"--workers-kill-timeout 5 --host {host} --port {port} portal.wsgi:application"
    )
    worker = "celery -A portal worker --pool prefork --without-mingle --without-gossip --loglevel INFO"
    here = f"{worker} --concurrency 2 --queues {'celery' if sealing else 'celery,seal'}"
    sealer = f"{worker} --concurrency 1 --queues seal"
    clock = "celery -A portal beat --loglevel WARNING"
    return {
        # Threads share a few database connections; without the pool each request would open its own.
        # Killed outright, its main process would leave the serving one behind.
        "web": Process(tuple(web.split()), {"DATABASE_POOL": "true"}, death_signal=signal.SIGTERM),
        # Any other signal makes it wait for its broker; after a kill the pool's children end by themselves.
        "worker": Process(tuple(here.split())),
        "clock": Process(tuple(clock.split())),
        **({"sealer": Process(tuple(sealer.split()), {"DATABASE_URL": sealing})} if sealing else {}),
    }


def become(name: str) -> None:
    """Replace this program by one of the portal's processes, for `manage.py start web` in a container or by hand."""
    host, port = os.environ.get("BIND", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    known = processes(host, port)
    if name not in known:
        raise CannotStart("Set SEALER_DATABASE_URL for the sealer; without one, the worker seals.")
    process = known[name]
    # A host that stops does not wait for a long job: the worker puts it back after its soft shutdown's seconds.
    environ = {"REMAP_SIGTERM": "SIGQUIT", **os.environ, **process.environ}
    os.execve(sys.executable, process.arguments(), environ)  # noqa: S606
