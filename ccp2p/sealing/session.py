"""One member's session: a key agreed with the network for one epoch, and what derives from it.

Both ends use this module: the client seals events and opens outcomes, TEEs do the reverse. Keys
are separate for each direction. The tag of an envelope is a PRF of the event's sequence number, so
hosts cannot link a member's events.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ccp2p.crypto import aead, hpke
from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.envelope import TAG_BYTES, Envelope, Event, pad
from ccp2p.model.errors import Fault, MemberFault

KEY_BYTES = 32
_INFO = b"ccp2p session"


class Opening(Wire, frozen=True):
    """What HPKE carries: the session's key, and the invite of whoever is not a member yet."""

    key: bytes
    invite: bytes


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """Everything that derives from a session key; 32 bytes each."""

    tag: bytes
    up: bytes
    down: bytes

    @classmethod
    def derive(cls, key: bytes) -> "SessionKeys":
        """The keys of the session whose key is `key`."""
        parts = (hashing.keyed(hashing.SESSION, key, name) for name in (b"tag", b"up", b"down"))
        return cls(*parts)

    def tag_of(self, sequence: int) -> bytes:
        """The wire tag of the event with this sequence number."""
        return hashing.keyed(hashing.ENVELOPE, self.tag, sequence.to_bytes(8, "big"))[:TAG_BYTES]


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What every seal of a session is bound to. `aead` is the network's algorithm."""

    network: bytes
    epoch: int
    aead: str

    def associated(self, purpose: bytes, name: bytes) -> bytes:
        """Associated data: purpose, network, epoch and the tag or session id."""
        return purpose + self.network + self.epoch.to_bytes(8, "big") + name


def session_id(opening: bytes) -> bytes:
    """A session's id: opening is idempotent by the HPKE encapsulation in front of it."""
    return hashing.digest(hashing.SESSION, opening[: hpke.ENCAPSULATION_BYTES])[:TAG_BYTES]


def seal_opening(context: SessionContext, epoch_key: bytes, key: bytes, invite: bytes) -> bytes:
    """The `opening` field of an envelope: `key` sealed to the epoch key."""
    plaintext = codec.encode(Opening(key, invite))
    return hpke.seal(epoch_key, _INFO, plaintext, context.associated(b"open", b""))


def open_opening(context: SessionContext, epoch_key: hpke.PrivateKey, opening: bytes) -> Opening:
    """The inside of `seal_opening`; MemberFault when it does not open."""
    plaintext = epoch_key.open(opening, _INFO, context.associated(b"open", b""))
    if plaintext is None:
        raise MemberFault("opening", "a session opening is not sealed to this epoch's key")
    parsed = codec.decode(plaintext, Opening, 256, MemberFault)
    if len(parsed.key) != KEY_BYTES:
        raise MemberFault("opening", "a session key has 32 bytes")
    return parsed


def seal_event(
    context: SessionContext, keys: SessionKeys, event: Event, opening: bytes = b""
) -> Envelope:
    """The envelope of a signed event."""
    tag = keys.tag_of(event.sequence)
    sealed = aead.seal(
        context.aead, keys.up, pad(codec.encode(event)), context.associated(b"event", tag)
    )
    return Envelope(context.epoch, tag, opening, sealed)


def seal_outcomes(
    context: SessionContext,
    keys: Sequence[SessionKeys],
    tags: Sequence[bytes],
    outcomes: Sequence[bytes],
) -> list[bytes]:
    """Each outcome for the eyes of the member with these keys, all in one call."""
    prefix = context.associated(b"outcome", b"")
    arena = aead.seal_many(
        context.aead, [each.down for each in keys], [prefix + tag for tag in tags], outcomes
    )
    return [
        arena.buffer[offset : offset + length]
        for offset, length in zip(arena.offsets, arena.lengths, strict=True)
    ]


def open_outcome(
    context: SessionContext, keys: SessionKeys, tag: bytes, sealed: bytes, fault: type[Fault]
) -> bytes:
    """The inside of `seal_outcome`, or `fault`."""
    opened = aead.open_one(context.aead, keys.down, sealed, context.associated(b"outcome", tag))
    if opened is None:
        raise fault("outcome", "an outcome is not sealed to this session")
    return opened


def seal_query(
    context: SessionContext, keys: SessionKeys, session: bytes, number: int, query: bytes
) -> bytes:
    """A read request. `number` ties the reply to it."""
    return aead.seal(context.aead, keys.up, pad(query), _query(context, b"query", session, number))


def open_query(
    context: SessionContext, keys: SessionKeys, session: bytes, number: int, sealed: bytes
) -> bytes | None:
    """The padded query inside, or None."""
    return aead.open_one(context.aead, keys.up, sealed, _query(context, b"query", session, number))


def seal_reply(
    context: SessionContext, keys: SessionKeys, session: bytes, number: int, reply: bytes
) -> bytes:
    """The answer to query `number`."""
    return aead.seal(context.aead, keys.down, reply, _query(context, b"reply", session, number))


def open_reply(
    context: SessionContext, keys: SessionKeys, session: bytes, number: int, sealed: bytes
) -> bytes | None:
    """The inside of `seal_reply`, or None."""
    if len(sealed) > limits.MAX_QUERY_REPLY_BYTES + 1024:
        return None
    return aead.open_one(
        context.aead, keys.down, sealed, _query(context, b"reply", session, number)
    )


def _query(context: SessionContext, purpose: bytes, session: bytes, number: int) -> bytes:
    return context.associated(purpose, session + number.to_bytes(8, "big"))
