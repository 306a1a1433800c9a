"""Events and the envelopes they travel in.

An event is what a member asks for, signed; an envelope is that event sealed to the network. On the
wire an envelope shows its epoch and a tag, so that hosts cannot link a member's events.
"""

from collections.abc import Iterable

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import Fault, MemberFault

TAG_BYTES = 16


class Event(Wire, frozen=True):
    """One member's request, as found inside an envelope.

    `sequence` counts the member's events from 1 and belongs to the member, not to a session.
    """

    member: bytes
    sequence: int
    body: bytes
    signature: bytes


class Envelope(Wire, frozen=True):
    """An event sealed to the network.

    `opening` is empty, or the HPKE encapsulation (32 bytes) and ciphertext of a new session's key.
    `sealed` is nonce, ciphertext and authentication tag under the session's key.
    """

    epoch: int
    tag: bytes
    opening: bytes
    sealed: bytes


def event_id(network: bytes, member: bytes, sequence: int, body: bytes) -> bytes:
    """What the signature covers, hashed: the signature itself is not part of an event's id."""
    return hashing.digest(hashing.EVENT, network, member, sequence.to_bytes(8, "big"), body)


def event_signed_bytes(identifier: bytes) -> bytes:
    """The message of an event signature: the domain, then the event id."""
    return hashing.EVENT + identifier


def pad(event_bytes: bytes) -> bytes:
    """`event_bytes` with its length in front, zero-filled to the next padding bucket."""
    needed = len(event_bytes) + 4
    for bucket in limits.PADDING_BUCKETS:
        if needed <= bucket:
            return len(event_bytes).to_bytes(4, "big") + event_bytes + bytes(bucket - needed)
    raise MemberFault(
        "oversized", f"an event of {len(event_bytes)} bytes; the limit is {limits.MAX_EVENT_BYTES}"
    )


def unpad(padded: bytes) -> bytes:
    """The event inside `pad`'s result; MemberFault when the padding is not exactly as made."""
    if len(padded) not in limits.PADDING_BUCKETS:
        raise MemberFault("padding", "an event is not padded to a bucket")
    length = int.from_bytes(padded[:4], "big")
    body = padded[4 : 4 + length]
    if len(body) != length or pad(body) != padded:
        raise MemberFault("padding", "an event's padding is malformed")
    return body


def parse_envelope(data: bytes, fault: type[Fault] = MemberFault) -> Envelope:
    """Read an envelope's bytes, or raise `fault`."""
    envelope = codec.decode_canonical(data, Envelope, limits.MAX_ENVELOPE_BYTES, fault)
    if len(envelope.tag) != TAG_BYTES:
        raise fault("malformed", f"an envelope's tag has {TAG_BYTES} bytes")
    return envelope


def batches(envelopes: Iterable[bytes]) -> list[tuple[bytes, ...]]:
    """Encoded envelopes in as few frames as keep to `limits.ENVELOPE_FRAME_BYTES`, in order."""
    frames: list[tuple[bytes, ...]] = []
    batch: list[bytes] = []
    size_bytes = 0
    for envelope in envelopes:
        if batch and size_bytes + len(envelope) > limits.ENVELOPE_FRAME_BYTES:
            frames.append(tuple(batch))
            batch, size_bytes = [], 0
        batch.append(envelope)
        size_bytes += len(envelope)
    return [*frames, tuple(batch)] if batch else frames
