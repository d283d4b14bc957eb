"""A real web server that webhooks post to, and the receiver's side of their signature, written from the specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

FIVE_MINUTES = 300


class Posted(NamedTuple):
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """What came in, and what is answered: the statuses in turn, then 204. Nobody answers unless `free`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.posted: list[Posted] = []
        self.statuses: list[int] = []
        self.location = ""
        self.free = threading.Event()
        self.free.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?from=countersign"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve until the block ends."""
    receiver = Receiver(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found = {name.lower(): value for name, value in self.headers.items()}
            receiver.posted.append(Posted(self.path, found, body))
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            receiver.free.wait(60)
            try:
                self.send_response(status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()
            except OSError:
                return

        def do_GET(self) -> None:
            receiver.posted.append(Posted(self.path, {}, b""))

        def log_message(self, *told: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.free.set()
            server.shutdown()
            thread.join()


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, *, at: float) -> bool:
    """Return whether a receiver that holds the secret accepts a post at a Unix time."""
    identifier, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(at - int(timestamp)) > FIVE_MINUTES or "." in identifier:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    digest = hmac.new(key, b".".join([identifier.encode(), timestamp.encode(), body]), hashlib.sha256).digest()
    expected = base64.b64encode(digest).decode()
    given = [part.partition(",") for part in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(text, expected) for version, _, text in given)
