"""The store of a simulated node: the same interface, no disk."""

from collections.abc import Iterator, Sequence

from ccp2p.model import limits
from ccp2p.model.block import BlockReference
from ccp2p.storage.log_index import LogIndex
from ccp2p.storage.store import Batch


class MemoryStore:
    """Keeps everything in dictionaries; what it holds outlives `close`, as a disk would."""

    def __init__(self) -> None:
        self._index = LogIndex()
        self._log: dict[int, bytes] = {}
        self._commits: dict[tuple[int, int], bytes] = {}
        self._buckets: dict[int, bytes] = {}
        self._meta: dict[str, bytes] = {}

    def write(self, batch: Batch) -> None:
        """See `Store.write`."""
        if batch.replaces:
            self._index = LogIndex(self._index.next_sequence)
            for held in (self._log, self._commits, self._buckets):
                held.clear()
        entries = self._index.number((reference for reference, _ in batch.blocks), batch.epoch)
        blocks = dict(batch.blocks)
        self._log.update((sequence, blocks[reference]) for reference, _, sequence in entries)
        self._index.add(entries)
        self._commits.update(((batch.epoch, index), data) for index, data in batch.commits)
        self._buckets.update(batch.buckets)
        for index in (index for index, data in batch.buckets.items() if not data):
            self._buckets.pop(index, None)
        self._meta.update(batch.meta)

    def blocks(self, epoch: int) -> Iterator[tuple[int, bytes]]:
        """See `Store.blocks`."""
        for _, _, sequence in self._index.of_epoch(epoch):
            if sequence in self._log:
                yield sequence, self._log[sequence]

    def block(self, reference: BlockReference) -> bytes | None:
        """See `Store.block`."""
        entry = self._index.find(reference)
        return None if entry is None else self._log[entry[2]]

    def blocks_above(self, epoch: int, rounds: Sequence[int]) -> Iterator[bytes]:
        """See `Store.blocks_above`."""
        return (self._log[sequence] for _, _, sequence in self._index.above(epoch, rounds))

    def commit(self, epoch: int, index: int) -> bytes | None:
        """See `Store.commit`."""
        return self._commits.get((epoch, index))

    def commits(self, epoch: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """See `Store.commits`."""
        held = (key for key in self._commits if key[0] == epoch and first <= key[1] <= last)
        for key in sorted(held):
            yield key[1], self._commits[key]

    def newest_commit(self, epoch: int) -> int:
        """See `Store.newest_commit`."""
        return max((index for held, index in self._commits if held == epoch), default=0)

    def bucket(self, index: int) -> bytes | None:
        """See `Store.bucket`."""
        return self._buckets.get(index)

    def buckets(self) -> Iterator[tuple[int, bytes]]:
        """See `Store.buckets`."""
        yield from list(self._buckets.items())

    def snapshot(self) -> "MemorySnapshot":
        """See `Store.snapshot`."""
        return MemorySnapshot(dict(self._buckets))

    def meta(self, name: str) -> bytes | None:
        """See `Store.meta`."""
        return self._meta.get(name)

    def prune(self, epoch: int, below_round: int, below_commit: int) -> int:
        """See `Store.prune`."""
        entries = self._index.below(epoch, below_round, limits.MAX_PRUNE_RECORDS)
        behind = sorted(key for key in self._commits if key < (epoch, below_commit))
        behind = behind[: limits.MAX_PRUNE_RECORDS]
        self._index.remove(entries)
        for _, _, sequence in entries:
            del self._log[sequence]
        for key in behind:
            del self._commits[key]
        return len(entries) + len(behind)

    def close(self) -> None:
        """See `Store.close`."""


class MemorySnapshot:
    """See `BucketSnapshot`."""

    def __init__(self, buckets: dict[int, bytes]) -> None:
        self._buckets = buckets

    def bucket(self, index: int) -> bytes | None:
        """See `BucketSnapshot.bucket`."""
        return self._buckets.get(index)

    def close(self) -> None:
        """See `BucketSnapshot.close`."""
        self._buckets = {}
