"""A portal that answers as it is told, and remembers what it was asked. For what a real one cannot be made to do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DROP = "drop the connection"


@dataclass
class Script:
    """The answers still to be given, the last one for ever, and the calls that came."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def scripted(*answers: Any) -> Iterator[Script]:
    """Serve these answers on a free port: DROP, bytes for a 200, or (status, headers, JSON value)."""
    script = Script(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.calls.append((self.command, self.path, self.headers.get("Authorization", "")))
            told = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            if told is DROP:
                self.close_connection = True
                return
            status, headers, value = (200, {}, told) if isinstance(told, bytes) else told
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 -- the names are http.server's

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
