"""What a node of a mesh says of itself on the local network, as the TXT record of a DNS-SD service.

Pure. Anybody on the network can say anything here, so what is read is a hint and nothing more: it
names a network and addresses to ask, and whoever answers there has to prove itself. A private group
is never announced.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from ccp2p.model import limits
from ccp2p.model.errors import MemberFault, PeerFault
from ccp2p.network.addresses import Address, parse_address

SERVICE: Final = "_ccp2p._tcp.local."
_VERSION: Final = b"1"
_TEES: Final = {b"simulated": True, b"hardware": False}
_APP: Final = re.compile(rb"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Announcement:
    """One node of a mesh. Its key is in every address; `clients` and `peers` are its listeners."""

    network: bytes
    name: str
    app: str
    simulated: bool
    clients: tuple[str, ...]
    peers: tuple[str, ...]

    @property
    def node(self) -> bytes:
        """The key that has to answer at these addresses."""
        return parse_address(self.clients[0]).node or b""


def encode_announcement(announcement: Announcement) -> bytes:
    """The TXT record's data (RFC 6763, section 6)."""
    pairs = [
        (b"v", _VERSION),
        (b"id", announcement.network.hex().encode()),
        (b"name", announcement.name.encode()),
        (b"app", announcement.app.encode()),
        (b"tee", b"simulated" if announcement.simulated else b"hardware"),
        *_numbered(b"c", announcement.clients),
        *_numbered(b"n", announcement.peers),
    ]
    strings = [key + b"=" + value for key, value in pairs]
    return b"".join(bytes([len(string)]) + string for string in strings)


def parse_announcement(data: bytes) -> Announcement:
    """Read a TXT record of others; PeerFault (`announcement`) when it is not one of ours."""
    pairs = _pairs(data)
    if pairs.get(b"v") != _VERSION:
        raise _bad("an unknown version")
    app, tee = pairs.get(b"app", b""), pairs.get(b"tee", b"")
    if not _APP.fullmatch(app) or tee not in _TEES:
        raise _bad("no app, or no kind of TEE")
    clients, peers = _addresses(pairs, b"c"), _addresses(pairs, b"n")
    if not clients or not peers or len({address.node for address in (*clients, *peers)}) != 1:
        raise _bad("the addresses are not those of one node")
    return Announcement(
        _network(pairs.get(b"id", b"")),
        _name(pairs.get(b"name", b"")),
        app.decode(),
        _TEES[tee],
        tuple(clients.values()),
        tuple(peers.values()),
    )


def _numbered(prefix: bytes, addresses: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    kept = addresses[: limits.OWN_ADDRESSES]
    return [(prefix + b"%d" % number, text.encode()) for number, text in enumerate(kept)]


def _pairs(data: bytes) -> dict[bytes, bytes]:
    """Keys and values; of a key that comes twice the first counts (RFC 6763, section 6.4)."""
    if len(data) > limits.MAX_ANNOUNCEMENT_BYTES:
        raise _bad("too long")
    pairs: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        stop = start + 1 + data[start]
        if stop > len(data):
            raise _bad("a string that is cut short")
        key, _, value = data[start + 1 : stop].partition(b"=")
        pairs.setdefault(key.lower(), value)
        start = stop
    return pairs


def _network(text: bytes) -> bytes:
    try:
        network = bytes.fromhex(text.decode())
    except ValueError:
        network = b""
    if len(network) != 32:
        raise _bad("no network id")
    return network


def _name(data: bytes) -> str:
    try:
        name = data.decode()
    except UnicodeDecodeError:
        name = ""
    if not 1 <= len(name) <= limits.MAX_NAME_CHARS or not name.isprintable():
        raise _bad("no name that can be shown")
    return name


def _addresses(pairs: dict[bytes, bytes], prefix: bytes) -> dict[Address, str]:
    """The listeners under one prefix: IP addresses only, so that nobody makes us look names up."""
    found: dict[Address, str] = {}
    for number in range(limits.OWN_ADDRESSES):
        text = pairs.get(prefix + b"%d" % number)
        if text is None:
            break
        try:
            address = parse_address(text.decode())
            host = ipaddress.ip_address(address.host)
        except (ValueError, MemberFault):
            raise _bad("an address that is none") from None
        if address.node is None or not address.port or host.is_multicast or host.is_unspecified:
            raise _bad("an address that nobody can have")
        found[address] = text.decode()
    return found


def _bad(reason: str) -> PeerFault:
    return PeerFault("announcement", f"an announcement on the local network holds {reason}")
