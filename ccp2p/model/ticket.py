"""Tickets: one pasteable string to join a network."""

import base64
import binascii
from typing import Literal

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import MemberFault

PREFIX = "ccp2p1"
_CHECK_BYTES = 4


class Ticket(Wire, frozen=True):
    """What a newcomer needs: which network, where, and the right to ask.

    `record` is the digest of the newest epoch record known to the issuer, or empty before there
    is one. `addresses` are multiaddresses of listeners for members, which newcomers of both kinds
    ask first. `secret` is the invite, empty where none is needed; `expires_ms` is the ledger time
    (Unix) at which it ends, 0 for never: a hint, the network decides. A `mesh` is open to all.
    """

    network: bytes
    name: str
    role: Literal["member", "node"]
    simulated: bool
    record: bytes
    addresses: tuple[str, ...]
    secret: bytes
    expires_ms: int = 0
    kind: Literal["group", "mesh"] = "group"


def format_ticket(ticket: Ticket) -> str:
    """The string form: a prefix, then base32 of the ticket and a checksum, in lower case."""
    body = codec.encode(ticket)
    check = hashing.digest(hashing.TICKET, body)[:_CHECK_BYTES]
    return PREFIX + base64.b32encode(body + check).decode().rstrip("=").lower()


def parse_ticket(text: str) -> Ticket:
    """Read a ticket string; MemberFault (code `ticket`) says what is wrong with it."""
    compact = "".join(text.split()).lower()
    if len(compact) > limits.MAX_TICKET_CHARS:
        raise MemberFault("ticket", "this is too long for a ticket")
    if not compact.startswith(PREFIX):
        raise MemberFault("ticket", f"a ticket starts with {PREFIX}; copy the whole string")
    encoded = compact[len(PREFIX) :].upper()
    try:
        data = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
    except (binascii.Error, ValueError):
        raise MemberFault("ticket", "the ticket holds characters that no ticket has") from None
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if hashing.digest(hashing.TICKET, body)[:_CHECK_BYTES] != check:
        raise MemberFault("ticket", "the ticket is cut short or altered: its checksum is wrong")
    ticket = codec.decode_canonical(body, Ticket, limits.MAX_TICKET_CHARS, MemberFault)
    if (
        len(ticket.network) != hashing.DIGEST_BYTES
        or len(ticket.addresses) > limits.MAX_ADDRESSES
        or not 0 <= ticket.expires_ms <= limits.MAX_TIMESTAMP_MS
    ):
        raise MemberFault("ticket", "the ticket's fields are out of bounds")
    return ticket
