"""Multiaddresses of TCP listeners: `/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...`.

A node that is reached through a relay has the relay's address, then `/p2p-circuit/p2p/` and its id.

Pure, and light: reading an address must not load libp2p. Only Ed25519 identities exist here; their
peer id is the base58 form of the whole public key (libp2p peer-ids specification).
"""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ccp2p.model import limits
from ccp2p.model.errors import MemberFault
from ccp2p.model.subnets import subnet_of_host

# Multihash code "identity", 36 bytes, then a protobuf PublicKey: type Ed25519, 32 bytes of data.
_IDENTITY_PREFIX: Final = bytes.fromhex("002408011220")
_KEY_BYTES: Final = 32
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ANYWHERE: Final = 2
_HOST_CHARS: Final = 253  # of a name, and of each label in it (RFC 1035, section 2.3.4)
_LABEL_CHARS: Final = 63
_HOST_KINDS: Final = ("ip4", "ip6", "dns", "dns4", "dns6")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to dial, and whose key must answer (None: not said).

    With a `relay`, its key answers there, and `node` behind it.
    """

    host: str
    port: int
    node: bytes | None
    relay: bytes | None = None


def parse_address(text: str) -> Address:
    """Read a multiaddress; MemberFault (code `address`) says what is wrong with it."""
    if len(text) > limits.MAX_ADDRESS_CHARS:
        raise _bad(text, "it is too long")
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    parts = text.split("/")
    if len(parts) not in (5, 7, 10) or parts[0]:
        raise _bad(text, "expected /ip4/HOST/tcp/PORT, with or without /p2p/PEER")
    kind, host, transport, port_text = parts[1:5]
    if kind not in _HOST_KINDS or not _is_host(kind, host):
        raise _bad(text, f"{kind}/{host} is not a host")
    if transport != "tcp" or not port_text.isascii() or not port_text.isdigit():
        raise _bad(text, "only TCP is spoken here")
    port = int(port_text)
    if port > 65_535:
        raise _bad(text, "the port is out of range")
    if len(parts) == 5:
        return Address(host, port, None)
    if parts[5] not in ("p2p", "ipfs"):
        raise _bad(text, f"{parts[5]} is not p2p")
    node = node_of_peer_id(parts[6])
    if len(parts) == 7:
        return Address(host, port, node)
    if parts[7:9] != ["p2p-circuit", "p2p"]:
        raise _bad(text, "only p2p-circuit/p2p/PEER may follow a node")
    return Address(host, port, node_of_peer_id(parts[9]), node)


def ip_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a multiaddress dials; None for a name, or for what is no address."""
    try:
        return ip_of_host(parse_address(text).host)
    except MemberFault:
        return None


@lru_cache(maxsize=4096)
def ip_of_host(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is given by; None for a name, or for what is none."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def node_at(text: str) -> bytes | None:
    """The node that an address names which somebody told; None for none, or for what is none."""
    try:
        return parse_address(text).node
    except MemberFault:
        return None


def leads_to(text: str, node: bytes) -> bool:
    """Whether an address that somebody told can be dialled, and names this node."""
    return node_at(text) == node


def subnet_of(address: str) -> str:
    """The subnet that a multiaddress dials: see `model.subnets`. No address counts as a name."""
    return subnet_of_host(str(ip_of(address)))


def origin_of(address: str) -> str:
    """Whose share an address takes: its subnet, on a local network its host, empty on loopback.

    On a local network all have one subnet, and on one machine one host: no share is limited there.
    """
    host = ip_of(address)
    if host is None or host.is_global:
        return subnet_of(address)
    return "" if host.is_loopback else str(host)


def scope_of(address: str) -> int:
    """Where an address means something: 0 on its machine, 1 on its local network, 2 everywhere."""
    host = ip_of(address)
    if host is None or host.is_loopback:
        return 0
    return ANYWHERE if host.is_global else 1


def listen_address(host: str, port: int) -> str:
    """The multiaddress of an IP address and a port, which names no node."""
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"


def format_address(host: str, port: int, node: bytes) -> str:
    """The multiaddress of a listener on an IP address, with its `/p2p/` id."""
    return f"{listen_address(host, port)}/p2p/{peer_id_of_node(node)}"


def relayed_address(relay: str, node: bytes) -> str:
    """The multiaddress of a node that is reached through the relay at `relay`."""
    return f"{relay}/p2p-circuit/p2p/{peer_id_of_node(node)}"


def peer_id_of_node(node: bytes) -> str:
    """The libp2p peer id (`12D3KooW...`) of an Ed25519 public key of 32 bytes."""
    return _base58(_IDENTITY_PREFIX + node)


def node_of_peer_id(text: str) -> bytes:
    """The Ed25519 public key inside a peer id; MemberFault when it holds none."""
    number = 0
    for character in text[: limits.MAX_ADDRESS_CHARS]:
        digit = _ALPHABET.find(character)
        if digit < 0:
            raise _bad(text, "not a base58 peer id")
        number = number * 58 + digit
    # The leading zero byte of an identity multihash is the leading "1".
    size_bytes = len(_IDENTITY_PREFIX) + _KEY_BYTES
    if not text.startswith("1") or number.bit_length() > (size_bytes - 1) * 8:
        raise _bad(text, "not the peer id of an Ed25519 key")
    return node_of_identity(number.to_bytes(size_bytes, "big"))


def node_of_identity(identity: bytes) -> bytes:
    """The Ed25519 public key inside the bytes of a peer id; MemberFault when it holds none."""
    prefix, node = identity[: len(_IDENTITY_PREFIX)], identity[len(_IDENTITY_PREFIX) :]
    if prefix != _IDENTITY_PREFIX or len(node) != _KEY_BYTES:
        raise _bad("", "not the peer id of an Ed25519 key")
    return node


def _base58(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + digits


def _is_host(kind: str, host: str) -> bool:
    if kind.startswith("dns"):
        labels = host.replace("-", "x").split(".")
        is_short = len(host) <= _HOST_CHARS and all(len(one) <= _LABEL_CHARS for one in labels)
        return is_short and host.isascii() and all(label.isalnum() for label in labels)
    try:
        return ipaddress.ip_address(host).version == int(kind[2:])
    except ValueError:
        return False


def _bad(text: str, reason: str) -> MemberFault:
    return MemberFault("address", f"{text[:80]!r} is not a usable address: {reason}")
