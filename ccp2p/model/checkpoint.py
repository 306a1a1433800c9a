"""Checkpoint votes: a node's signature over what it executed."""

from ccp2p.model import codec, hashing
from ccp2p.model.codec import Wire


class Checkpoint(Wire, frozen=True):
    """The roots after a commit. All digests are 32 bytes."""

    network: bytes
    epoch: int
    commit: int
    chain: bytes
    state_root: bytes
    outcomes_root: bytes
    ledger_time_ms: int

    def signed_bytes(self) -> bytes:
        """What a voter signs."""
        return hashing.CHECKPOINT + hashing.digest(hashing.CHECKPOINT, codec.encode(self))


class CheckpointVote(Wire, frozen=True):
    """One committee member's vote, as a block's payload carries it."""

    checkpoint: Checkpoint
    author: int
    signature: bytes


class Certified(Wire, frozen=True):
    """Q votes for one checkpoint: (seat index, signature) in seat order."""

    checkpoint: Checkpoint
    signatures: tuple[tuple[int, bytes], ...]
