"""Who may open the page and its line: pure checks of what a browser sends.

A foreign web page in the same browser may try to reach the monitor. It is told apart by ``Origin``,
which a page cannot forge; and a name that was turned to this machine (DNS rebinding) by ``Host``.
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

__all__ = ["host_allowed", "is_loopback", "origin_allowed", "token_right"]


def is_loopback(host: str) -> bool:
    """Only programs of this machine can reach it."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def host_allowed(header: str, bound: str) -> bool:
    """``Host``: an address, ``localhost``, or the very name that was bound; no other name."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    return name in ("localhost", bound.lower()) or _address(name) is not None


def origin_allowed(origin: str | None, header: str) -> bool:
    """``Origin``: the page's own, or none (a program, which could forge it anyway)."""
    return origin is None or origin == f"http://{header}"


def token_right(given: object, wanted: str) -> bool:
    """In a time that says nothing of how much of it is right; any token where none is wanted."""
    if not wanted:
        return True
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
