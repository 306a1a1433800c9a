"""Commits: one decided leader block with its new causal history, in order."""

from functools import cached_property

from ccp2p.model import codec, hashing
from ccp2p.model.block import BlockReference
from ccp2p.model.codec import Wire


class Commit(Wire, frozen=True, dict=True, gc=True):
    """The `index`-th commit of an epoch, from 1. `previous` chains the digests.

    `blocks` are in execution order and end with or contain the leader; `ledger_time_ms` is the
    median rule of the design, never a local clock.
    """

    epoch: int
    index: int
    leader: BlockReference
    blocks: tuple[BlockReference, ...]
    ledger_time_ms: int
    previous: bytes

    @cached_property
    def digest(self) -> bytes:
        """The chain digest after this commit."""
        return hashing.digest(hashing.COMMIT, codec.encode(self))
