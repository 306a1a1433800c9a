"""The interface of a store, and the batch that is its only way to write.

A batch is stored whole or not at all, and is durable when `write` returns. Rounds and commit
indices start again in every epoch, so the log and the commits are kept by epoch. Threads may read
while one writes; writers take turns.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ccp2p.model.block import BlockReference


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction stores.

    `blocks` (in admission order) and `commits` (index and bytes) belong to `epoch`; a block that
    is already in the log is left as it is. Empty bytes in `buckets` delete a bucket.
    With `replaces` all that the store held goes first, but for metadata.
    """

    epoch: int
    blocks: Sequence[tuple[BlockReference, bytes]] = ()
    commits: Sequence[tuple[int, bytes]] = ()
    buckets: Mapping[int, bytes] = field(default_factory=dict)
    meta: Mapping[str, bytes] = field(default_factory=dict)
    replaces: bool = False


class BucketSnapshot(Protocol):
    """The state's buckets as one transaction left them, whatever is written later."""

    def bucket(self, index: int) -> bytes | None:
        """One bucket, or None when it was empty. One caller at a time."""

    def close(self) -> None:
        """Let the old pages go; closing twice is harmless."""


class Store(Protocol):
    """A network's durable data. Every method may raise LocalFault (see `lmdb_store`)."""

    def write(self, batch: Batch) -> None:
        """Store all of `batch`, durably, or nothing of it."""

    def blocks(self, epoch: int) -> Iterator[tuple[int, bytes]]:
        """The log of `epoch` in admission order: (sequence number, block bytes)."""

    def block(self, reference: BlockReference) -> bytes | None:
        """The bytes of a block in the log, or None."""

    def blocks_above(self, epoch: int, rounds: Sequence[int]) -> Iterator[bytes]:
        """For a peer that is behind: blocks of `epoch`, lowest rounds first, so parents first.

        `rounds[author]` is the newest round that the peer has of each author; an author beyond
        the list counts as 0. Blocks are read as they are taken, some `limits.LOG_CHUNK_BYTES` at a
        time.
        """

    def commit(self, epoch: int, index: int) -> bytes | None:
        """The bytes of one commit, or None."""

    def commits(self, epoch: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """The commits held with `first <= index <= last`, in order, with their indices."""

    def newest_commit(self, epoch: int) -> int:
        """The highest commit index held of `epoch`, or 0."""

    def bucket(self, index: int) -> bytes | None:
        """One bucket of the state, or None when it is empty."""

    def buckets(self) -> Iterator[tuple[int, bytes]]:
        """All buckets that are not empty, in no particular order."""

    def snapshot(self) -> BucketSnapshot:
        """The buckets as of now. While it is open, the file keeps their old pages: close it."""

    def meta(self, name: str) -> bytes | None:
        """A named record, or None."""

    def prune(self, epoch: int, below_round: int, below_commit: int) -> int:
        """Delete what is behind a point: earlier epochs, lower rounds, lower commits.

        Deletes at most `limits.MAX_PRUNE_RECORDS` blocks and as many commits in one transaction;
        returns how many records went, so 0 means that nothing is left to prune.
        """

    def close(self) -> None:
        """Release the store; closing twice is harmless."""
