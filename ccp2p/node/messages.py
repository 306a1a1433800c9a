"""What nodes say to each other: one typed, bounded message a frame."""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from ccp2p.gossip.messages import Message as Gossiped
from ccp2p.membership.founding import FounderRequest
from ccp2p.model import codec, limits
from ccp2p.model.block import BlockReference
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import PeerFault
from ccp2p.node.network_record import NodeAddresses


class Blocks(Wire, frozen=True):
    """New blocks, or history that the receiver may lack; encoded blocks in causal order."""

    kind: ClassVar[str] = "blocks"
    blocks: tuple[bytes, ...]


class FetchBlocks(Wire, frozen=True):
    """Send these blocks, and whatever of `epoch` you hold above these rounds, one per author."""

    kind: ClassVar[str] = "fetch"
    references: tuple[BlockReference, ...]
    above: tuple[int, ...]
    epoch: int


class FetchedBlocks(Wire, frozen=True):
    """The answer: encoded blocks, oldest first."""

    kind: ClassVar[str] = "fetched"
    blocks: tuple[bytes, ...]


class FloorRequest(Wire, frozen=True):
    """A starting node asks for the newest blocks (design section 9). `nonce` is of this start."""

    kind: ClassVar[str] = "floor?"
    nonce: bytes


class FloorReply(Wire, frozen=True):
    """The replier's own newest block and the newest it holds of the asker; empty where none.

    All of `epoch`, in which the replier is.
    """

    kind: ClassVar[str] = "floor"
    nonce: bytes
    epoch: int
    own: bytes
    yours: bytes
    starting: bool


class RecordSignature(Wire, frozen=True):
    """A seat's signature over the next epoch's record, made after it executed CLOSE."""

    kind: ClassVar[str] = "record-signature"
    epoch: int
    signature: bytes


class RecordComplete(Wire, frozen=True):
    """An epoch record with a quorum of signatures: its epoch has begun."""

    kind: ClassVar[str] = "record-complete"
    signed: SignedEpochRecord


class RecoveryProposal(Wire, frozen=True):
    """The first who goes on shows another the record of a recovery that governors approved.

    `secret` is the epoch secret sealed to the receiver's seat.
    """

    kind: ClassVar[str] = "recovery?"
    record: bytes
    approvals: tuple[tuple[int, bytes], ...]
    secret: bytes


class RecoveryAnswer(Wire, frozen=True):
    """A seat's signature over that record, or, where it is empty, the reason why there is none."""

    kind: ClassVar[str] = "recovery"
    record: bytes
    signature: bytes
    reason: str


class Relay(Wire, frozen=True):
    """Membership events of the sender, who has no blocks of its own, to be ordered."""

    kind: ClassVar[str] = "relay"
    events: tuple[bytes, ...]


class HandedOn(Wire, frozen=True):
    """Envelopes of the sender's members, to be ordered: it has no vote."""

    kind: ClassVar[str] = "handed-on"
    envelopes: tuple[bytes, ...]


class FollowRequest(Wire, frozen=True):
    """What must I know to follow? `pinned` is the digest of the newest record known, or empty."""

    kind: ClassVar[str] = "follow?"
    pinned: bytes


class FollowReply(Wire, frozen=True):
    """The records from the pinned one, and where the asker stands.

    `place` is "seat", "observer" or "none"; `reason` says why its last request was refused, or why
    an observer gets no seat.
    `anchor` is what its evidence should be bound to. `addresses` say where the nodes listen.
    """

    kind: ClassVar[str] = "follow"
    records: tuple[SignedEpochRecord, ...]
    anchor: bytes
    place: str
    reason: str
    addresses: tuple[NodeAddresses, ...]


class SecretRequest(Wire, frozen=True):
    """A seat or observer asks for the epoch secret behind a public epoch key."""

    kind: ClassVar[str] = "secret?"
    epoch_key: bytes


class SecretReply(Wire, frozen=True):
    """The secret, over an attested link; empty when it is not held or the asker may not have it."""

    kind: ClassVar[str] = "secret"
    epoch_key: bytes
    secret: bytes


class VoteRequest(Wire, frozen=True):
    """Sign your roots after this commit."""

    kind: ClassVar[str] = "vote?"
    epoch: int
    commit: int


class VoteReply(Wire, frozen=True):
    """The checkpoint vote asked for, encoded; empty when the commit is not on record."""

    kind: ClassVar[str] = "vote"
    commit: int
    vote: bytes


class SnapshotRequest(Wire, frozen=True):
    """Part number `part` of the snapshot of `commit`; part -1 of commit 0 is a fresh one's head.

    A part from its bucket `first` on: what is too long for one answer is asked for in several.
    """

    kind: ClassVar[str] = "snapshot?"
    epoch: int
    commit: int
    part: int
    first: int = 0


class SnapshotHead(Wire, frozen=True):
    """What a snapshot is of: the epoch's commits back to the gc round, the newest last.

    `commits` are encoded CommitRecords, empty right after CLOSE. `nodes` are the hashes of the
    state tree's 256 parts.
    """

    kind: ClassVar[str] = "snapshot-head"
    epoch: int
    commit: int
    commits: tuple[bytes, ...]
    nodes: tuple[bytes, ...]


class SnapshotPart(Wire, frozen=True):
    """The buckets of one part, as (index, encoded bucket) pairs; `is_gone` when it is not kept.

    `next` is the bucket from which on the rest is to be asked for, 0 where there is none.
    """

    kind: ClassVar[str] = "snapshot-part"
    commit: int
    part: int
    buckets: tuple[tuple[int, bytes], ...]
    is_gone: bool
    next: int = 0


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
    | RecordSignature
    | RecordComplete
    | RecoveryProposal
    | RecoveryAnswer
    | Relay
    | HandedOn
    | FollowRequest
    | FollowReply
    | SecretRequest
    | SecretReply
    | VoteRequest
    | VoteReply
    | SnapshotRequest
    | SnapshotHead
    | SnapshotPart
    | FoundingJoin
    | FoundingProposal
    | FoundingSignature
    | FoundingRefusal
    | FoundingComplete
    | Gossiped
)

_KINDS: dict[str, type[Wire]] = {kind.kind: kind for kind in PeerMessage.__args__}


def encode_message(message: PeerMessage) -> bytes:
    """The frame of a message."""
    return codec.wrap(message.kind, codec.encode(message))


def encode_fetched(blocks: Iterable[bytes]) -> bytes:
    """The frame of `FetchedBlocks`; of the blocks, one is in memory at a time beside it.

    Thousands of small ones at once would stay with the interpreter as free memory.
    """
    return codec.wrap(FetchedBlocks.kind, codec.encode((msgspec.Raw(codec.encode_each(blocks)),)))


def decode_message(frame: bytes) -> PeerMessage:
    """Read a peer's frame; PeerFault names what is wrong with it."""
    outer = codec.decode(frame, codec.Outer, limits.MAX_FRAME_BYTES)
    kind = _KINDS.get(outer.type)
    if kind is None:
        raise PeerFault("wrong-type", f"unknown message {outer.type[:32]!r}")
    if outer.version != 1:
        raise PeerFault("unknown-version", f"{outer.type} version {outer.version} is not known")
    return codec.decode(bytes(outer.body), kind, limits.MAX_FRAME_BYTES)  # type: ignore[return-value]
