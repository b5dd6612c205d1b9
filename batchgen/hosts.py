"""What the host of a URL is, and where an address leads: this machine, a private network, or the world. Pure.

One parser and one judgement for everything that asks: what a check lets pass is what is called.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from yarl import URL

#: Addresses of version 4 written as ones of version 6, for networks without version 4.
_TRANSLATED = IPv6Network("64:ff9b::/96")
#: The same within one network (where its addresses lie in it is the network's own affair), and the forms of old.
_NOWHERE = (IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
_NAME = re.compile(
    r"(?!.{254})(?![^.]{64})(?!.*\.[^.]{64})[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)
_FORM = "Write it as https://host/path."


class Reach(Enum):
    """Where an address leads."""

    PUBLIC = auto()
    LOOPBACK = auto()  # this machine
    PRIVATE = auto()  # a network of its own, a link, a group, or nothing that is assigned


@lru_cache(1_024)  # every link of a batch is looked at, and most lead to one host
def reach_of(address: str) -> Reach:
    """Where an IP address leads; one that holds another leads where that does.

    Raises:
        ValueError: it is none.
    """
    ip = ip_address(address)
    inner = _held_in(ip) if isinstance(ip, IPv6Address) else None
    if inner is not None:
        return reach_of(str(inner))
    if ip.is_loopback:
        return Reach.LOOPBACK
    is_public = ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOWHERE)
    return Reach.PUBLIC if is_public else Reach.PRIVATE


def _held_in(ip: IPv6Address) -> IPv4Address | None:
    if ip in _TRANSLATED:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def is_this_machine(host: str) -> bool:
    """Whether a host's name, or address, is this machine's."""
    try:
        return host == "localhost" or reach_of(host) is Reach.LOOPBACK
    except ValueError:
        return False


def is_oddly_spelled(host: str) -> bool:
    """Whether it is an address that not all programs read alike: `127.1`, `0177.0.0.1`, `2130706433`."""
    return _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None and not _is_address(host)


def base_url_of(text: str) -> URL:
    """The base URL of an API, its host in lower case and ASCII; no slash at the end of its text.

    Raises:
        ValueError: it cannot be one; says why.
    """
    try:
        url = URL(text.strip())
    except ValueError as error:
        raise ValueError(f"{text!r} is not a URL ({error}). {_FORM}") from error
    host = url.raw_host or ""
    is_host = _is_address(host) or (_NAME.fullmatch(host) is not None and not is_oddly_spelled(host))
    more = url.query_string or url.fragment or url.user is not None or url.password is not None
    if url.scheme not in ("http", "https") or not is_host or not url.port or more:
        raise ValueError(f"{text!r} cannot be used. {_FORM}")
    return URL(str(url).rstrip("/"))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
