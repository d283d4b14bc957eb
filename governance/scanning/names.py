"""Names of members in archives: one rule for all kinds, because whoever unpacks one may unpack all of them."""

from __future__ import annotations

import stat

from governance.scanning.limits import Unsafe

SHOWN = 120


class Names:
    """The names of one archive, in the order of its directory; `kind` begins the codes of what is refused."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.seen: set[str] = set()

    def add(self, name: str, mode: int = 0) -> None:
        """Take a member's name and its Unix mode, 0 when unknown. Raises Unsafe for what leads out or hides.

        Case does not count: PyTorch and some file systems ignore it.
        """
        plain = name.rstrip("/")
        parts = plain.split("/")
        if "\\" in name or ":" in parts[0] or name.startswith("/") or ".." in parts or not parts[-1]:
            raise Unsafe(f"{self.kind}-path", f"A name in the {self.kind} leads outside of it: {name[:SHOWN]!r}.")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
            raise Unsafe(f"{self.kind}-path", f"A name in the {self.kind} holds control characters: {name[:SHOWN]!r}.")
        if plain.casefold() in self.seen:
            raise Unsafe(f"{self.kind}-duplicate", f"The {self.kind} has two members named {name[:SHOWN]!r}.")
        if mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise Unsafe(f"{self.kind}-link", f"{name[:SHOWN]} is a link or a device, not a file.")
        self.seen.add(plain.casefold())
