"""Posting to an address that was judged before: one bounded request, signed as the Standard Webhooks 1.0.0 say.

No redirect is followed and no more is read than is wanted. What is posted, and what an answer means, is not known here.
"""

from __future__ import annotations

import base64
import hmac
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple, TypeVar

from portal import targets
from portal.targets import Target

FIRST_ADDRESSES = 3.0
MAX_STATUS = 1024
STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
Got = TypeVar("Got")


class Answer(NamedTuple):
    """A whole answer; `status` is 0 for what is no HTTP/1.1 or longer than was wanted."""

    status: int
    media_type: str = ""
    body: bytes = b""


def signature_headers(key: bytes, identifier: str, body: bytes, *, seconds: int) -> dict[str, str]:
    """Return the three headers of a signed post; `seconds` is the Unix time of the attempt."""
    signed = hmac.digest(key, f"{identifier}.{seconds}.".encode() + body, sha256)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def secret_text(key: bytes) -> str:
    """Return a key as it is shown to whoever sets up the receiver: `whsec_` and base64."""
    return f"whsec_{base64.b64encode(key).decode()}"


def request_of(
    target: Target, more: Mapping[str, str], body: bytes, *, method: str = "POST", media_type: str = "application/json"
) -> bytes:
    """Return the bytes of the request (RFC 9112)."""
    lines = {
        "Host": target.authority,
        "User-Agent": "Countersign",
        "Content-Type": media_type,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **more,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target.path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def exchange(target: Target, request: bytes, seconds: float) -> int:
    """Send a request to an address that may be reached, and return the status of the answer, 0 when it has none.

    Raises TimeoutError when it takes longer, OSError when the connection fails, Refused when there is no such address.
    The standard library's client bounds each step, not the sum of them, and reads more than is wanted here.
    """
    return converse(target, request, seconds, talk)


def fetch(target: Target, request: bytes, seconds: float, most: int) -> Answer:
    """Send a request like `exchange`, and return the whole answer, if that has at most this many bytes."""

    def listen(connection: socket.socket, wanted: bytes, deadline: float) -> Answer:
        return whole(read(connection, wanted, deadline, most, lambda _: False), most)

    return converse(target, request, seconds, listen)


def converse(target: Target, request: bytes, seconds: float, use: Callable[[socket.socket, bytes, float], Got]) -> Got:
    """Connect within a time, with TLS where the address wants it, and use the connection."""
    deadline = time.monotonic() + seconds
    with connect(targets.resolve(target), target.port, deadline) as plain:
        if not target.is_secure:
            return use(plain, request, deadline)
        plain.settimeout(left(deadline))
        with ssl.create_default_context().wrap_socket(plain, server_hostname=target.host) as secured:
            return use(secured, request, deadline)


def connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    """Return a connection to the first of the addresses that takes one. Raises the OSError of the last."""
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout=min(left(deadline), FIRST_ADDRESSES))
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), timeout=left(deadline))


def talk(connection: socket.socket, request: bytes, deadline: float) -> int:
    """Send a request and return the status of its answer, 0 when that is none."""
    answer = read(connection, request, deadline, MAX_STATUS, lambda begun: b"\r\n" in begun)
    found = STATUS.match(answer)
    return int(found[1]) if found else 0


def read(
    connection: socket.socket, request: bytes, deadline: float, most: int, is_enough: Callable[[bytes], bool]
) -> bytes:
    """Send a request and return what comes back until it is enough, has this many bytes, or ends."""
    connection.settimeout(left(deadline))
    connection.sendall(request)
    answer = b""
    while not is_enough(answer) and len(answer) < most:
        connection.settimeout(left(deadline))
        more = connection.recv(most - len(answer))
        if not more:
            break
        answer += more
    return answer


class Heard:
    """What was read, in the shape in which the standard library parses answers."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def makefile(self, *_: Any) -> io.BytesIO:
        """Return the answer as a stream."""
        return io.BytesIO(self.answer)


def whole(answer: bytes, most: int) -> Answer:
    """Return an answer in parts; one that is cut off counts as none."""
    if len(answer) >= most or not STATUS.match(answer):
        return Answer(0)
    try:
        parsed = HTTPResponse(Heard(answer))  # type: ignore[arg-type]  # it asks for nothing but makefile()
        parsed.begin()
        return Answer(parsed.status, parsed.headers.get_content_type(), parsed.read())
    except (HTTPException, ValueError):
        return Answer(0)


def left(deadline: float) -> float:
    """Return how many seconds are left. Raises TimeoutError when none is."""
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError
    return rest
