"""The pure twin of `ext/envelopes.pyx`."""

from collections.abc import Sequence

from ccp2p.crypto import _aead_pure
from ccp2p.model import codec, hashing, limits
from ccp2p.model.envelope import (
    TAG_BYTES,
    Envelope,
    Event,
    event_id,
    parse_envelope,
    unpad,
)
from ccp2p.model.errors import MemberFault

_GOOD, _SEALED, _ODD = range(3)
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_Opened = tuple[bytes, list[int], list[bytes], bytes, bytes]


def tags_of(envelopes: Sequence[bytes], epoch: int) -> list[bytes | None]:
    """See `ccp2p.crypto.envelopes`."""
    parsed = [_plain(data, epoch) for data in envelopes]
    return [None if envelope is None else envelope.tag for envelope in parsed]


def open_events(
    algorithm: str,
    network: bytes,
    epoch: int,
    envelopes: Sequence[bytes],
    tag_keys: Sequence[bytes],
    up_keys: Sequence[bytes],
    members: Sequence[bytes],
) -> _Opened:
    """See `ccp2p.crypto.envelopes`."""
    if algorithm not in ("aegis256", "xchacha20"):
        raise ValueError(f"unknown algorithm {algorithm!r}")
    columns = (tag_keys, up_keys, members)
    if len(network) != _KEY_BYTES or any(len(column) != len(envelopes) for column in columns):
        raise ValueError("envelopes, keys and members must be of one number, a network of 32 bytes")
    parsed = [_plain(data, epoch) for data in envelopes]
    if any(envelope is None for envelope in parsed):
        raise ValueError("not a plain envelope of this epoch")
    for key in (key for column in columns for key in column):
        if type(key) is not bytes:
            raise TypeError("keys and members must be bytes")
        if len(key) != _KEY_BYTES:
            raise ValueError(f"a key has {_KEY_BYTES} bytes")
    prefix = b"event" + network + epoch.to_bytes(8, "big")
    associated = [prefix + envelope.tag for envelope in parsed]
    sealed = [envelope.sealed for envelope in parsed]
    plaintexts = _aead_pure.open_many(algorithm, up_keys, associated, sealed)
    statuses, sequences, bodies, ids, signatures = bytearray(), [], [], [], []
    for envelope, tag_key, member, plaintext in zip(
        parsed, tag_keys, members, plaintexts, strict=True
    ):
        event = None if plaintext is None else _event(plaintext, envelope.tag, tag_key, member)
        statuses.append(_SEALED if plaintext is None else _ODD if event is None else _GOOD)
        event = event or Event(b"", 0, b"", bytes(_SIGNATURE_BYTES))
        sequences.append(event.sequence)
        bodies.append(event.body)
        signatures.append(event.signature)
        good = bool(event.member)
        identifier = event_id(network, event.member, event.sequence, event.body) if good else None
        ids.append(identifier or hashing.ZERO_DIGEST)
    return bytes(statuses), sequences, bodies, b"".join(ids), b"".join(signatures)


def _plain(data: bytes, epoch: int) -> Envelope | None:
    if type(data) is not bytes:
        raise TypeError("envelopes must be bytes")
    try:
        envelope = parse_envelope(data)
    except MemberFault:
        return None
    return envelope if envelope.epoch == epoch and not envelope.opening else None


def _event(plaintext: bytes, tag: bytes, tag_key: bytes, member: bytes) -> Event | None:
    """The event inside when it is canonical, its author's, and under its own tag."""
    try:
        event = codec.decode_canonical(unpad(plaintext), Event, limits.MAX_EVENT_BYTES, MemberFault)
    except MemberFault:
        return None
    if event.member != member or not 0 <= event.sequence < 1 << 63:
        return None
    number = event.sequence.to_bytes(8, "big")
    if hashing.keyed(hashing.ENVELOPE, tag_key, number)[:TAG_BYTES] != tag:
        return None
    return event if len(event.signature) == _SIGNATURE_BYTES else None
