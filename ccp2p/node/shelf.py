"""What a node hands to those that catch up: its word for roots, and one snapshot of its state.

No IO but the store's; whoever drives it sees to threads, turns and locks. Times are seconds of a
clock that rises.
"""

from typing import Final

from ccp2p.execution import snapshot as parts
from ccp2p.execution.checkpoints import checkpoint_of_roots
from ccp2p.model import codec, limits
from ccp2p.node.executor import CommitRecord, Executor
from ccp2p.node.messages import (
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from ccp2p.node.receipts import image_commit
from ccp2p.node.recovery import commit_window
from ccp2p.storage.store import BucketSnapshot, Store

_FRESH_S: Final = 10.0  # a snapshot this young serves the next one who asks, too
_KEPT_S: Final = 30.0  # without a question; meanwhile no page is used again, and the file grows


class Snapshot:
    """One consistent state with its head; parts are read as they are asked for."""

    def __init__(self, head: SnapshotHead, buckets: BucketSnapshot, now_s: float) -> None:
        self.head = head
        self.taken_s = self.used_s = now_s
        self._buckets = buckets

    def part(self, number: int, first: int) -> SnapshotPart:
        """The buckets of one part from `first` on, as many as go into an answer, one at least."""
        begin = number * parts.PART_BUCKETS
        found: list[tuple[int, bytes]] = []
        room, rest = limits.MAX_FETCH_REPLY_BYTES, 0
        for index in range(max(begin, first), begin + parts.PART_BUCKETS):
            data = self._buckets.bucket(index)
            if data and found and len(data) > room:
                rest = index
                break
            if data:
                found.append((index, data))
                room -= len(data)
        return SnapshotPart(self.head.commit, number, tuple(found), False, rest)

    def close(self) -> None:
        """Let the old pages go."""
        self._buckets.close()


class Shelf:
    """One epoch's, as `executor` and `store` have it."""

    def __init__(
        self,
        network: bytes,
        epoch: int,
        is_seat: bool,
        executor: Executor,
        store: Store,
        depth: int,
    ) -> None:
        self._network = network
        self._epoch = epoch
        self._is_seat = is_seat
        self._executor = executor
        self._store = store
        self._gc_depth = depth
        self._held: Snapshot | None = None

    def vote(self, request: VoteRequest) -> VoteReply:
        """Our vote for the roots after a commit; empty where there is none."""
        # What lies before a fetched image was not executed here: only its last roots were checked.
        is_ours = (
            self._is_seat
            and request.epoch == self._epoch
            and request.commit >= image_commit(self._store, self._epoch)
        )
        data = self._store.commit(request.epoch, request.commit) if is_ours else None
        if data is None:
            return VoteReply(request.commit, b"")
        record = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES)
        checkpoint = checkpoint_of_roots(
            self._network, record.commit, record.state_root, record.outcomes_root
        )
        return VoteReply(request.commit, self._executor.vote(checkpoint))

    def fresh(self, now_s: float) -> SnapshotHead | None:
        """The head of the snapshot that is held, if it is young enough."""
        held = self._held
        if held is None or now_s >= held.taken_s + _FRESH_S:
            return None
        held.used_s = now_s
        return held.head

    def take(self, now_s: float) -> SnapshotHead:
        """Hold the state as of now, in a moment when the store has all that the executor has."""
        newest = self._store.newest_commit(self._epoch)
        commits = commit_window(self._store, self._epoch, newest, self._gc_depth)
        nodes = self._executor.machine.part_digests()
        head = SnapshotHead(self._epoch, newest, commits, nodes)
        snapshot = Snapshot(head, self._store.snapshot(), now_s)
        self.close()
        self._held = snapshot
        return head

    def part(self, request: SnapshotRequest, now_s: float) -> SnapshotPart:
        """A part of the snapshot that is held, or that it is gone.

        Who asks for an epoch that is over sees so, and need not wait for an answer in vain.
        """
        held = self._held
        if (
            held is None
            or (held.head.epoch, held.head.commit) != (request.epoch, request.commit)
            or not 0 <= request.part < parts.PARTS
        ):
            return SnapshotPart(request.commit, max(0, request.part), (), True)
        held.used_s = now_s
        return held.part(request.part, request.first)

    def sweep(self, now_s: float) -> None:
        """Close a snapshot that nobody asks for any more."""
        if self._held is not None and now_s > self._held.used_s + _KEPT_S:
            self.close()

    def close(self) -> None:
        """Hold nothing any more."""
        if self._held is not None:
            self._held.close()
            self._held = None


def is_for_head(request: SnapshotRequest) -> bool:
    """Whether the newest state's head is asked for, rather than a part."""
    return request.commit == 0 and request.part < 0
