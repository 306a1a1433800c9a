"""What nodes say to each other: one typed, bounded message a frame."""

from typing import ClassVar

from ccp2p.membership.founding import FounderRequest
from ccp2p.model import codec, limits
from ccp2p.model.block import BlockReference
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import PeerFault


class Blocks(Wire, frozen=True):
    """New blocks, or history that the receiver may lack; encoded blocks in causal order."""

    kind: ClassVar[str] = "blocks"
    blocks: tuple[bytes, ...]


class FetchBlocks(Wire, frozen=True):
    """Send these blocks, and whatever you hold above these rounds, one per author."""

    kind: ClassVar[str] = "fetch"
    references: tuple[BlockReference, ...]
    above: tuple[int, ...]


class FetchedBlocks(Wire, frozen=True):
    """The answer: encoded blocks, oldest first."""

    kind: ClassVar[str] = "fetched"
    blocks: tuple[bytes, ...]


class FloorRequest(Wire, frozen=True):
    """A starting node asks for the newest blocks (design section 9). `nonce` is of this start."""

    kind: ClassVar[str] = "floor?"
    nonce: bytes


class FloorReply(Wire, frozen=True):
    """The replier's own newest block and the newest it holds of the asker; empty where none."""

    kind: ClassVar[str] = "floor"
    nonce: bytes
    own: bytes
    yours: bytes
    starting: bool


class FoundingJoin(Wire, frozen=True):
    """A founder introduces itself to the first node."""

    kind: ClassVar[str] = "founding-join"
    request: FounderRequest


class FoundingProposal(Wire, frozen=True):
    """The first node's record 0, every founder's request, and the secret for this founder."""

    kind: ClassVar[str] = "founding-proposal"
    record: bytes
    requests: tuple[FounderRequest, ...]
    secret: bytes


class FoundingSignature(Wire, frozen=True):
    """A founder's signature over record 0, made after it recomputed the secrets."""

    kind: ClassVar[str] = "founding-signature"
    signature: bytes


class FoundingRefusal(Wire, frozen=True):
    """Why this founding cannot go on."""

    kind: ClassVar[str] = "founding-refusal"
    reason: str


class FoundingComplete(Wire, frozen=True):
    """Record 0 with every signature."""

    kind: ClassVar[str] = "founding-complete"
    signed: SignedEpochRecord


PeerMessage = (
    Blocks
    | FetchBlocks
    | FetchedBlocks
    | FloorRequest
    | FloorReply
    | FoundingJoin
    | FoundingProposal
    | FoundingSignature
    | FoundingRefusal
    | FoundingComplete
)

_KINDS: dict[str, type[Wire]] = {
    kind.kind: kind  # type: ignore[attr-defined]
    for kind in PeerMessage.__args__
}


def encode_message(message: PeerMessage) -> bytes:
    """The frame of a message."""
    return codec.wrap(message.kind, codec.encode(message))


def decode_message(frame: bytes) -> PeerMessage:
    """Read a peer's frame; PeerFault names what is wrong with it."""
    outer = codec.decode(frame, codec.Outer, limits.MAX_FRAME_BYTES)
    kind = _KINDS.get(outer.type)
    if kind is None:
        raise PeerFault("wrong-type", f"unknown message {outer.type[:32]!r}")
    if outer.version != 1:
        raise PeerFault("unknown-version", f"{outer.type} version {outer.version} is not known")
    return codec.decode(bytes(outer.body), kind, limits.MAX_FRAME_BYTES)  # type: ignore[return-value]
