"""Contacts: nodes of the overlay, where they answer, and how far they are from a place. Pure."""

from ccp2p.model import hashing
from ccp2p.model.codec import Wire
from ccp2p.network.addresses import ip_of, leads_to, parse_address, scope_of

PLACE_BYTES = hashing.DIGEST_BYTES


class Contact(Wire, frozen=True):
    """A node, and the multiaddress of its listener for members, where it answers."""

    node: bytes
    address: str


def place_of(node: bytes) -> bytes:
    """Where a node is among the 2^256 places: nobody chooses a place but by trying keys."""
    return hashing.digest(hashing.KADEMLIA, node)


def distance(one: bytes, other: bytes) -> int:
    """Between two places: their exclusive or."""
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big")


def may_dial(contact: Contact, teller: str) -> bool:
    """Whether a contact can be dialled that somebody named who answers at the address `teller`.

    IP addresses only, so that nobody makes us look names up; and none that means less than the
    teller's own: what somebody far away calls loopback, or a local network, is ours and not theirs.
    """
    host = ip_of(contact.address)
    return not (
        host is None
        or host.is_multicast
        or host.is_unspecified
        or not leads_to(contact.address, contact.node)
        or not (address := parse_address(contact.address)).port
        or address.relay is not None
        or scope_of(contact.address) < scope_of(teller)
    )
