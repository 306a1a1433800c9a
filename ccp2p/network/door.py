"""Who may come in: so many at once, and so many from one host, lest one host takes all places.

A host is an IPv4 address, or the /64 of an IPv6 address: whoever has one address of it has all.
"""

import ipaddress
from collections import Counter

import trio


class Door:
    """Hands out places; `limit` and `of_host` bound how many."""

    def __init__(self, limit: int, of_host: int) -> None:
        self._limit = limit
        self._of_host = of_host
        self._hosts: Counter[str] = Counter()
        self.inside = 0
        self.refused = 0

    def take(self, host: str) -> "Place | None":
        """A place, if there is one for this host."""
        if self.inside >= self._limit or self._hosts.get(host, 0) >= self._of_host:
            self.refused += 1
            return None
        self.inside += 1
        self._hosts[host] += 1
        return Place(self, host)

    def left(self, host: str) -> None:
        """A place of this host is free again; see `Place.give_back`."""
        self.inside -= 1
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]


class Place:
    """A place behind a door, until it is given back."""

    def __init__(self, door: Door, host: str) -> None:
        self._door: Door | None = door
        self._host = host

    def give_back(self) -> None:
        """Leave; again is nothing."""
        if self._door is not None:
            self._door.left(self._host)
            self._door = None


def host_of(stream: trio.SocketStream) -> str:
    """Where a connection comes from; empty when it is gone already."""
    address = ip_of_peer(stream)
    if isinstance(address, ipaddress.IPv6Address):
        return f"6/{int(address) >> 64:x}"
    return str(address) if address else ""


def ip_of_peer(stream: trio.SocketStream) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a connection comes from; None when it is gone already."""
    try:
        address = ipaddress.ip_address(stream.socket.getpeername()[0].split("%")[0])
    except (OSError, ValueError):
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
