"""How a witness asks a portal that cannot reach it: for the newest checkpoint, and the proof that the ledger only grew.

What it may sign is decided by `cosigning`. What comes over the network is bounded in size and time, and is believed for
nothing but its signatures and hashes; the token goes to the portal alone.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audit.exports.cosigning import MAX_REQUEST, No, Tree, Witness, read_request, read_tree, write

REFUSED, CANNOT = 1, 3
CHECKPOINT, CONSISTENCY = "/.well-known/countersign/checkpoint", "/api/v1/ledger/consistency"
LOCAL = {"localhost", "127.0.0.1", "::1"}
STEP, WHOLE = 15.0, 60.0
# What a portal answers that has no such proof; everything else is a question of network, token or address.
UNPROVED = {409, 422}


class Silence(Exception):
    """The portal gave no answer that can be used, which says nothing about its ledger."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, because the token would be sent to wherever it leads."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Return no request."""
        return


class Portal:
    """The two addresses of a portal that a witness asks."""

    def __init__(self, url: str, token: str) -> None:
        """Keep address and token."""
        self.url, self.token = url, token
        self.opener = urllib.request.build_opener(NoRedirects)

    def checkpoint(self) -> str:
        """Return the newest checkpoint, which is open to everybody. Raises Silence."""
        return self._read(CHECKPOINT)

    def consistency(self, old: int, new: int) -> str:
        """Return the proof that the ledger of `new` entries begins with that of `old` entries. Raises Silence."""
        if not (self.token and self.token.isascii() and self.token.isprintable()):
            raise Silence("COUNTERSIGN_TOKEN is empty or damaged; expected a token with the scope audit, read or gate.")
        return self._read(f"{CONSISTENCY}?old={old}&new={new}", self.token)

    def _read(self, path: str, token: str = "") -> str:
        """Return the text at a path, within bounds."""
        request = urllib.request.Request(self.url + path, headers={"Cache-Control": "no-cache"})  # noqa: S310 -- above
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with within(WHOLE), self.opener.open(request, timeout=STEP) as answer:
                body: bytes = answer.read(MAX_REQUEST + 1)
            text = body.decode("utf-8")
        except urllib.error.HTTPError as error:
            error.close()
            raise Unanswered(error.code, f"{self.url}{path} answered HTTP {error.code}.") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            raise Silence(f"{self.url}{path} gave no answer: {cause or type(cause).__name__}.") from None
        if len(body) > MAX_REQUEST:
            raise Silence(f"{self.url}{path} answered with more than {MAX_REQUEST} bytes.")
        return text


def address(text: str) -> str:
    """Return the address of a portal for a command line; only on this machine may it be without TLS."""
    parts = urllib.parse.urlsplit(text)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)
    if not is_safe or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise argparse.ArgumentTypeError(f"{text!r} is no address of a portal: https://portal.example")
    return text.rstrip("/")


class Unanswered(Silence):
    """The portal answered with an error of HTTP."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError when a block takes longer: the time of a socket begins anew with every byte."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"it took longer than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def poll_once(witness: Witness, portal: Portal, copies: Path | None) -> str:
    """Cosign a portal's newest checkpoint if it continues what was cosigned last, and say so in a sentence.

    Raises No when it does not or is not signed by a key of the log, Silence when the portal cannot be asked, ValueError
    and OSError when what was seen cannot be read or written.
    """
    note = portal.checkpoint()
    try:
        tree, signatures = read_tree(note)
    except ValueError as error:
        raise Silence(f"{portal.url}{CHECKPOINT} is no checkpoint: {error}.") from error
    if tree.origin not in witness.logs:
        raise No(404, f"The portal shows the log {tree.origin}, which is not one of --log.")
    witness.expect_signed(tree, signatures)
    seen = witness.store.latest(tree.origin)
    if (tree.size, tree.root) == (seen.size, seen.root):
        says = "Nothing new since"
    else:
        cosign(witness, portal, seen, tree, note)
        says = "Cosigned"
    return f"{says}: {tree.size} entries of {tree.origin}, in {kept(witness, tree, copies)}"


def cosign(witness: Witness, portal: Portal, seen: Tree, tree: Tree, note: str) -> None:
    """Cosign a checkpoint after asking for the proof. Raises No with a sentence about what it means."""
    if tree.size < seen.size:
        raise No(
            409,
            f"The ledger was cut off, or something on the way answered with an old checkpoint: it has {tree.size}"
            f" entries, and this witness has cosigned {seen.size}.",
        )
    grew = 0 < seen.size < tree.size
    evidence = f"what {tree.origin} signed is kept in {witness.store.folder / 'evidence'}"
    try:
        lines = portal.consistency(seen.size, tree.size).partition("\n")[2] if grew else ""
    except Unanswered as error:
        if error.status not in UNPROVED:
            raise
        witness.store.accuse(tree, f"old {seen.size}\n\n{note}".encode(), is_sure=False)
        says = f"The portal has no proof that its {tree.size} entries begin with the {seen.size} cosigned before"
        raise No(422, f"{says}; {evidence}. {error}") from None
    body = f"old {seen.size}\n{lines}\n{note}".encode()
    try:
        read_request(body)
    except No as no:
        raise Silence(f"{portal.url}{CONSISTENCY} is no proof: {no.says}") from None
    try:
        witness.add_checkpoint(body)
    except No as no:
        if not no.keep:
            raise
        says = f"The ledger was written anew: its {tree.size} entries do not begin with the {seen.size} cosigned before"
        raise No(no.status, f"{says}; {evidence}.", keep=True) from None


def kept(witness: Witness, tree: Tree, copies: Path | None) -> Path:
    """Return the file with the cosigned checkpoint, after copying it into the folder of copies if there is one.

    The state is written first and is the whole note, so a copy that a crash prevented is made by the next poll.
    """
    state = witness.store.path(tree.origin)
    if copies is None:
        return state
    # As the portal's own copies are called, so that it finds the newest by itself where it can read the folder.
    digits = f"{tree.size:012d}"
    path = copies / digits[:3] / digits[3:6] / digits[6:9] / f"{digits}.checkpoint"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, state.read_bytes())
    return path
