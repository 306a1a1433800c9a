"""Blocks: a node's signed vertices of the DAG.

Trust grows with the type: `bytes -> Block` (well-formed, payload matches its digest) and
`Block -> VerifiedBlock` (the author's signature and the rules of `consensus.validity` hold). A
block keeps the bytes it came in; nothing re-encodes it.
"""

from dataclasses import dataclass, field
from typing import Self

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import PeerFault


class BlockReference(Wire, frozen=True, order=True):
    """Names a block. `digest` is the hash of the header bytes, without the signature."""

    round: int
    author: int
    digest: bytes


class BlockHeader(Wire, frozen=True):
    """What is signed. `coin` is empty where the round carries none; `timestamp_ms` is Unix time."""

    network: bytes
    epoch: int
    round: int
    author: int
    parents: tuple[BlockReference, ...]
    payload: bytes
    coin: bytes
    timestamp_ms: int


class Payload(Wire, frozen=True):
    """What a block carries: encoded envelopes, checkpoint votes and membership events."""

    envelopes: tuple[bytes, ...] = ()
    votes: tuple[bytes, ...] = ()
    membership: tuple[bytes, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether ordering this payload changes nothing."""
        return not (self.envelopes or self.votes or self.membership)


class _SignedBlock(Wire, frozen=True):
    header: bytes
    signature: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """A well-formed block whose signature nobody has checked yet."""

    header: BlockHeader
    header_bytes: bytes
    signature: bytes
    payload: Payload
    payload_bytes: bytes
    reference: BlockReference
    _wire: bytes = field(init=False, repr=False, compare=False)  # once somebody asked for it

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the bytes of `to_bytes`; PeerFault when they are not a well-formed block."""
        signed = codec.decode(data, _SignedBlock, limits.MAX_BLOCK_BYTES)
        header = codec.decode_canonical(signed.header, BlockHeader, limits.MAX_HEADER_BYTES)
        payload = codec.decode(signed.payload, Payload, limits.MAX_PAYLOAD_BYTES)
        if hashing.digest(hashing.PAYLOAD, signed.payload) != header.payload:
            raise PeerFault("payload-digest", "a block's payload does not match its header")
        return cls._of(header, signed.header, signed.signature, payload, signed.payload)

    @classmethod
    def _of(
        cls,
        header: BlockHeader,
        header_bytes: bytes,
        signature: bytes,
        payload: Payload,
        payload_bytes: bytes,
    ) -> Self:
        digest = hashing.digest(hashing.BLOCK, header_bytes)
        reference = BlockReference(header.round, header.author, digest)
        return cls(header, header_bytes, signature, payload, payload_bytes, reference)

    def to_bytes(self) -> bytes:
        """The wire form: `[header bytes, signature, payload bytes]`."""
        try:
            return self._wire
        except AttributeError:
            signed = _SignedBlock(self.header_bytes, self.signature, self.payload_bytes)
            object.__setattr__(self, "_wire", codec.encode(signed))
            return self._wire

    def signed_bytes(self) -> bytes:
        """What the author signs."""
        return signed_bytes(self.reference.digest)


class VerifiedBlock(Block):
    """A block whose signature and stateless validity rules hold. Only verifiers construct it."""

    __slots__ = ()

    @classmethod
    def trust(cls, block: Block) -> Self:
        """Mark `block` as verified; the caller has just done so."""
        return cls(
            block.header,
            block.header_bytes,
            block.signature,
            block.payload,
            block.payload_bytes,
            block.reference,
        )


def signed_bytes(digest: bytes) -> bytes:
    """The message of a block signature: the domain, then the block's digest."""
    return hashing.BLOCK + digest


def payload_digest(payload_bytes: bytes) -> bytes:
    """The digest that a header carries of its payload."""
    return hashing.digest(hashing.PAYLOAD, payload_bytes)


def build(
    header: BlockHeader, payload: Payload, payload_bytes: bytes, signature: bytes
) -> VerifiedBlock:
    """Our own block, from its parts; `header.payload` must be the digest of `payload_bytes`."""
    header_bytes = codec.encode(header)
    return VerifiedBlock._of(header, header_bytes, signature, payload, payload_bytes)


def epoch_root(network: bytes, epoch: int) -> BlockReference:
    """The epoch's empty root: the only parent of round-1 blocks."""
    digest = hashing.digest(hashing.EPOCH_ROOT, network, epoch.to_bytes(8, "big"))
    return BlockReference(0, 0, digest)
