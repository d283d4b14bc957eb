#!/usr/bin/env python3
"""A witness for transparency logs: cosigns a log's checkpoints, each only if it continues the one it saw before.

It speaks C2SP tlog-witness and cosignature/v1, and belongs on another host with another owner than the log. It needs
Python 3.11 or newer and the package `cryptography`. Where nobody may connect to it, `poll` asks a Countersign portal
(token in COUNTERSIGN_TOKEN). Exit codes: 0 cosigned, or nothing new; 1 refused, somebody has to look; 2 wrong usage;
3 the portal gives no answer.

    witness.py keygen --name witness.example/w1 --key w1.key --state w1.state
    witness.py serve --key w1.key --state w1.state --log portal.example/ledger+1a2b3c4d+AbCd… --listen 0.0.0.0:8010
    witness.py poll --key w1.key --state w1.state --log portal.example/ledger+1a2b3c4d+AbCd… --portal https://…
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from audit.exports.cosigning import (
    COSIGNER_KEY,
    MAX_REQUEST,
    TEXT_TYPE,
    No,
    Store,
    Witness,
    decode,
    expect,
    vkey,
    write,
)
from audit.exports.polling import CANNOT, REFUSED, Portal, Silence, address, poll_once

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
except ImportError:
    sys.exit("This witness needs the Python package cryptography: python3 -m pip install cryptography")

MAX_AT_ONCE = 32
SECONDS = 30.0


class Door(BaseHTTPRequestHandler):
    """HTTP, bounded in size; the server bounds time and number of connections."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Take a checkpoint."""
        length = self.headers.get("Content-Length", "")
        if not self.path.endswith("/add-checkpoint"):
            return self.answer(404, "There is nothing here; POST to /add-checkpoint.")
        if not length.isdigit() or int(length) > MAX_REQUEST or "Transfer-Encoding" in self.headers:
            return self.answer(400, f"Send at most {MAX_REQUEST} bytes and their Content-Length.")
        body = self.rfile.read(int(length))
        try:
            line = self.server.witness.add_checkpoint(body)
        except No as no:
            return self.answer(no.status, no.says, no.media_type)
        except (OSError, ValueError) as error:
            self.log_message("nothing is signed: %r", error)
            return self.answer(500, "The state of this witness cannot be read or written; nothing was signed.")
        return self.answer(200, line.removesuffix("\n"))

    def do_GET(self) -> None:
        """Show what was cosigned last of a log: GET /<hex sha256 of the origin>/checkpoint."""
        for path in map(self.server.witness.store.path, self.server.witness.logs):
            if self.path.endswith(f"/{path.stem}/checkpoint") and path.is_file():
                return self.answer(200, path.read_text(encoding="utf-8").removesuffix("\n"))
        return self.answer(404, "There is no such checkpoint.")

    def answer(self, status: int, line: str, media_type: str = TEXT_TYPE) -> None:
        """Send an answer, and close the connection unless it is a yes."""
        body = f"{line}\n".encode()
        self.close_connection = self.close_connection or status != 200
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *values: Any) -> None:
        """Say what happened on standard error, in one line."""
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {ascii(form % values)[1:-1]}\n")


class Server(ThreadingHTTPServer):
    """A server of one witness, with a limit on connections, and on the time that each of them may take."""

    def __init__(self, listen: tuple[str, int], witness: Witness) -> None:
        super().__init__(listen, Door)
        self.witness = witness
        self.seats = threading.BoundedSemaphore(MAX_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for a free place; whoever keeps one for too long loses it."""
        self.seats.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, and shut it when its time is over."""
        over = threading.Timer(SECONDS, hang_up, [request])
        over.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            over.cancel()
            self.seats.release()


def hang_up(connection: socket.socket) -> None:
    """End a connection, whatever waits for it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def load(path: Path) -> tuple[str, Ed25519PrivateKey]:
    """Return name and key of a key file. Ends the program when it is none."""
    try:
        name, _, encoded = path.read_text().strip().removeprefix("PRIVATE+KEY+").split("+", 2)
        raw = decode(encoded)
        expect(raw[:1] == COSIGNER_KEY, "it is another kind of key")
        return name, Ed25519PrivateKey.from_private_bytes(raw[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"{path} is no key of a witness: {error}")


def keygen(options: argparse.Namespace) -> None:
    """Make a key and the empty state that belongs to it, and print the verifier key."""
    name, private = options.name, Ed25519PrivateKey.generate()
    if not name or "+" in name or any(each.isspace() for each in name):
        sys.exit("A name has neither spaces nor plus signs, such as witness.example/w1.")
    if options.key.exists() or (options.state / "witness").exists():
        sys.exit(f"{options.key} or {options.state} is there already, and is not overwritten.")
    line = vkey(name, COSIGNER_KEY, private.public_key().public_bytes_raw())
    secret = base64.b64encode(COSIGNER_KEY + private.private_bytes_raw()).decode()
    write(options.key, f"PRIVATE+KEY+{name}+{line.split('+')[1]}+{secret}\n".encode(), 0o600)
    options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(options.state / "witness", f"{line}\n".encode())
    sys.stdout.write(f"{line}\n")


def opened(options: argparse.Namespace) -> Witness:
    """Return the witness of a key and its state. Ends the program where either is not right."""
    name, private = load(options.key)
    line = vkey(name, COSIGNER_KEY, private.public_key().public_bytes_raw())
    try:
        return Witness(name, private, options.log, Store(options.state, line))
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")


def serve(options: argparse.Namespace) -> None:
    """Answer requests until stopped."""
    witness = opened(options)
    host, _, port = options.listen.rpartition(":")
    try:
        server = Server((host.strip("[]"), int(port)), witness)
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    line = vkey(witness.name, COSIGNER_KEY, witness.private.public_key().public_bytes_raw())
    sys.stderr.write(f"{line}\nlistens on {host}:{server.server_port}\n")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def poll(options: argparse.Namespace) -> int:
    """Ask a portal for its newest checkpoint and cosign it, once; run it from a timer."""
    witness, portal = opened(options), Portal(options.portal, os.environ.get("COUNTERSIGN_TOKEN", ""))
    try:
        with contextlib.closing(witness.store):
            says = poll_once(witness, portal, options.copies)
    except No as no:
        sys.stderr.write(f"REFUSED: {no.says}\n")
        return REFUSED
    except Silence as silence:
        sys.stderr.write(f"Nothing was cosigned: {silence}\n")
        return CANNOT
    except (OSError, ValueError) as error:
        sys.stderr.write(f"The state or the folder of copies cannot be read or written: {error}\n")
        return REFUSED
    sys.stdout.write(f"{says}\n")
    return 0


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser("witness.py", None, __doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True, metavar="keygen|serve|poll")
    for run in (keygen, serve, poll):
        part = parts.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        part.set_defaults(run=run)
        part.add_argument("--key", type=Path, required=True, metavar="FILE", help="the file of the private key")
        part.add_argument("--state", type=Path, required=True, metavar="DIR", help="the folder with what was seen")
        if run is keygen:
            part.add_argument("--name", required=True, help="what it is called, such as witness.example/w1")
            continue
        part.add_argument("--log", action="append", required=True, metavar="VKEY", help="a log's key; repeatable")
        if run is serve:
            part.add_argument("--listen", default="127.0.0.1:8010", metavar="HOST:PORT", help="by default %(default)s")
        else:
            part.add_argument("--portal", required=True, type=address, metavar="URL", help="https://portal.example")
            part.add_argument("--copies", type=Path, metavar="DIR", help="keep every cosigned checkpoint here")
    options = parser.parse_args(arguments)
    return options.run(options) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
