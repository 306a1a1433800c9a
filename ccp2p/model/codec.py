"""The one wire format: MessagePack, array-like structs, unknown fields refused.

At the outside every value is `[type, version, body]`; an unknown type or version is refused by
name. Inside, structs are bare arrays. What is hashed or signed is always the bytes received, and
headers must re-encode to the same bytes, so nothing has two encodings.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from ccp2p.model.errors import Fault, PeerFault

T = TypeVar("T")

# MessagePack's formats: the least items of an array whose length takes two bytes, or four.
_ARRAY16_FROM: Final = 1 << 4
_ARRAY32_FROM: Final = 1 << 16

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of everything that travels or is stored: an immutable array-like struct.

    Made of its parts and never changed, it cannot be in a cycle, so none is looked for.
    """


class Outer(Wire, frozen=True):
    """The outside of a message: what it is, which version, and its body still encoded."""

    type: str
    version: int
    body: msgspec.Raw


encode: Callable[[Any], bytes] = _encoder.encode
"""MessagePack bytes of a value: the encoder's own method, since every event passes here."""


def encode_each(items: Iterable[Any]) -> bytes:
    """What `encode(list(items))` gives, with one item in memory at a time."""
    encoded, count = bytearray(), 0
    for item in items:
        _encoder.encode_into(item, encoded, -1)
        count += 1
    if count < _ARRAY16_FROM:
        head = bytes([0x90 | count])
    elif count < _ARRAY32_FROM:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + encoded


def decode(data: bytes, kind: type[T], limit_bytes: int, fault: type[Fault] = PeerFault) -> T:
    """Decode `data` as `kind`, or raise `fault` (code `oversized` or `malformed`)."""
    if len(data) > limit_bytes:
        raise fault(
            "oversized", f"{kind.__name__} of {len(data)} bytes; the limit is {limit_bytes}"
        )
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # The library's message names types and positions, never values.
        raise fault("malformed", f"malformed {kind.__name__}: {error}") from None


def decode_canonical(
    data: bytes, kind: type[T], limit_bytes: int, fault: type[Fault] = PeerFault
) -> T:
    """As `decode`, and refuse (`not-canonical`) whatever does not re-encode to the same bytes."""
    value = decode(data, kind, limit_bytes, fault)
    if _encoder.encode(value) != data:
        raise fault("not-canonical", f"{kind.__name__} is not in its canonical encoding")
    return value


def wrap(kind: str, body: bytes, version: int = 1) -> bytes:
    """`[kind, version, body]` around an encoded body."""
    return _encoder.encode(Outer(kind, version, msgspec.Raw(body)))


def unwrap(
    data: bytes, kind: str, limit_bytes: int, fault: type[Fault] = PeerFault, version: int = 1
) -> bytes:
    """The body of `wrap(kind, body, version)`, or `fault` naming the type or version found."""
    outer = decode(data, Outer, limit_bytes, fault)
    if outer.type != kind:
        raise fault("wrong-type", f"expected {kind}, found {outer.type[:32]!r}")
    if outer.version != version:
        raise fault("unknown-version", f"{kind} version {outer.version} is not known here")
    return bytes(outer.body)
