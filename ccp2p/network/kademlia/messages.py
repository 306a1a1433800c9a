"""What nodes of the overlay say to each other: two requests, two answers, one a frame. Pure."""

from typing import Annotated, ClassVar

from msgspec import Meta

from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import PeerFault
from ccp2p.network.kademlia.contacts import Contact
from ccp2p.network.kademlia.records import SignedRecord

Place = Annotated[bytes, Meta(min_length=32, max_length=32)]
Port = Annotated[int, Meta(ge=0, le=65_535)]


class Find(Wire, frozen=True):
    """Who is near this place, and what is kept there? `port`: where the asker listens, or 0."""

    kind: ClassVar[str] = "find"
    target: Place
    port: Port = 0


class Found(Wire, frozen=True):
    """The nearest contacts that whoever answers knows, and the records under exactly this key."""

    kind: ClassVar[str] = "found"
    contacts: Annotated[tuple[Contact, ...], Meta(max_length=limits.NEAREST)]
    records: Annotated[tuple[SignedRecord, ...], Meta(max_length=limits.RECORDS_OF_KEY)]


class Store(Wire, frozen=True):
    """Keep this record of mine."""

    kind: ClassVar[str] = "store"
    record: SignedRecord


class Stored(Wire, frozen=True):
    """It is kept, or, in a word, why not."""

    kind: ClassVar[str] = "stored"
    refusal: Annotated[str, Meta(max_length=32)]


Request = Find | Store
Answer = Found | Stored

_REQUESTS: dict[str, type[Wire]] = {kind.kind: kind for kind in (Find, Store)}
_ANSWERS: dict[str, type[Wire]] = {kind.kind: kind for kind in (Found, Stored)}


def encode_message(message: Request | Answer) -> bytes:
    """The frame of a message."""
    return codec.wrap(message.kind, codec.encode(message))


def decode_request(frame: bytes) -> Request:
    """Read a request; PeerFault names what is wrong with it."""
    return _decode(frame, _REQUESTS)  # type: ignore[return-value]


def decode_answer(frame: bytes) -> Answer:
    """Read an answer; PeerFault names what is wrong with it."""
    return _decode(frame, _ANSWERS)  # type: ignore[return-value]


def _decode(frame: bytes, kinds: dict[str, type[Wire]]) -> Wire:
    outer = codec.decode(frame, codec.Outer, limits.MAX_KADEMLIA_BYTES)
    kind = kinds.get(outer.type)
    if kind is None:
        raise PeerFault("wrong-type", f"unknown message {outer.type[:32]!r}")
    if outer.version != 1:
        raise PeerFault("unknown-version", f"{outer.type} version {outer.version} is not known")
    return codec.decode(bytes(outer.body), kind, limits.MAX_KADEMLIA_BYTES)
