"""Where a post may lead: https to public addresses, and whatever else the operator listed by name or configured.

The name is looked up once, and the connection goes to an address that was judged here: a name that answers another
address a moment later changes nothing.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from django.conf import settings

from portal.errors import Fault, Invalid, Refused

MAX_URL = 500
PRINTABLE = re.compile(r"[!-~]+")
# IPv6 addresses that lead to an IPv4 address, which could be a private one.
TUNNELS = tuple(IPv6Network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"))


@dataclass(frozen=True)
class Target:
    """A web address in parts. `authority` is what the Host header says, `is_configured` that it is a setting."""

    host: str
    port: int
    path: str
    is_secure: bool
    is_configured: bool = False

    @property
    def authority(self) -> str:
        """Return the host, in brackets where IPv6 needs them, and the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_secure else 80) else f"{host}:{self.port}"

    @property
    def is_listed(self) -> bool:
        """Return whether the operator vouches for this host, at this port or at all."""
        names = {self.host, f"{self.host}:{self.port}", self.authority}
        return self.is_configured or not settings.WEBHOOK_PRIVATE_HOSTS.isdisjoint(names)


def read_target(url: str, *, is_configured: bool = False) -> Target:
    """Return the parts of a web address. Raises Invalid for one that nothing may ever be posted to.

    What the operator has configured may be private and unencrypted; what administrators type may not, unless listed.
    The fault does not repeat the address: those of Slack and its likes are secrets.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise unfit("an address that cannot be read") from error
    if not PRINTABLE.fullmatch(url) or "\\" in url or len(url) > MAX_URL:
        raise unfit(f"{len(url)} characters, or spaces, or other than ASCII", f"at most {MAX_URL} characters of ASCII")
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise unfit(f"the scheme {parts.scheme[:20]!r}" if parts.hostname else "no host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise unfit("a user name, a password or a fragment", "an address without them")
    is_secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(parts.hostname.lower(), port or (443 if is_secure else 80), path, is_secure, is_configured)
    if not target.is_listed:
        expect_public(target)
    return target


def unfit(seen: str, expected: str = "https://host/path") -> Invalid:
    """Return the fault of an address."""
    return Invalid(Fault("url", seen, expected))


def expect_public(target: Target) -> None:
    """Raise Invalid for plain http, and for a private address that is written as such."""
    listed = "https to a public address, or a host that the operator lists in WEBHOOK_PRIVATE_HOSTS"
    if not target.is_secure:
        raise unfit("http without encryption", listed)
    try:
        address = ip_address(target.host)
    except ValueError:
        return
    if not is_public(address):
        raise unfit("a private address", listed)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is one of the public internet and no detour to another one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or any(address in tunnel for tunnel in TUNNELS):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def resolve(target: Target) -> list[str]:
    """Return the addresses that a target may be reached at, in the order of the resolver.

    Raises Refused when there is none: `private_address` when the name leads to private addresses alone. Raises OSError
    when the name cannot be looked up.
    """
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    allowed = [each for each in addresses if target.is_listed or is_public(ip_address(each.partition("%")[0]))]
    if not allowed:
        raise Refused("private_address", "The name leads to a private address, which the operator has not listed.")
    return allowed
