"""What a node answers beside blocks: by the registry, and votes and snapshots from its disk.

Nothing here changes what this node votes for.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from ccp2p.execution import snapshot as parts
from ccp2p.execution.checkpoints import checkpoint_of_roots
from ccp2p.model import codec, limits
from ccp2p.node.executor import CommitRecord, Executor
from ccp2p.node.messages import (
    FollowRequest,
    PeerMessage,
    SecretRequest,
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from ccp2p.node.receipts import image_commit
from ccp2p.node.recovery import commit_window
from ccp2p.node.registry import Registry
from ccp2p.storage.store import BucketSnapshot, Store

_FRESH_S: Final = 10.0  # a snapshot this young serves the next one who asks, too
_KEPT_S: Final = 120.0  # a snapshot that nobody asks for any more keeps pages no longer


class Snapshot:
    """One consistent state with its head; parts are read as they are asked for."""

    def __init__(self, head: SnapshotHead, buckets: BucketSnapshot, now_s: float) -> None:
        self.head = head
        self.taken_s = self.used_s = now_s
        self._buckets = buckets

    def part(self, number: int) -> SnapshotPart:
        """The buckets of one part."""
        first = number * parts.PART_BUCKETS
        found = []
        for index in range(first, first + parts.PART_BUCKETS):
            data = self._buckets.bucket(index)
            if data:
                found.append((index, data))
        return SnapshotPart(self.head.commit, number, tuple(found), False)

    def close(self) -> None:
        """Let the old pages go."""
        self._buckets.close()


class Desk:
    """Answers for one epoch. `settled()` waits until state and store agree, under a lock."""

    def __init__(
        self,
        *,
        network: bytes,
        registry: Registry,
        epoch: int,
        is_seat: bool,
        executor: Executor,
        store: Store,
        gc_depth: int,
        settled: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._network = network
        self._registry = registry
        self._epoch = epoch
        self._is_seat = is_seat
        self._executor = executor
        self._store = store
        self._gc_depth = gc_depth
        self._settled = settled
        self._snapshot: Snapshot | None = None
        self._snapshot_turn = trio.Lock()

    async def answer(self, node: bytes, message: PeerMessage) -> PeerMessage | None:
        """The reply to one request; None when there is none."""
        if isinstance(message, FollowRequest):
            return self._registry.follow(node, message)
        if isinstance(message, SecretRequest):
            return self._registry.secret(node, message)
        if self._registry.place_of(node) == "none":
            return None
        if isinstance(message, VoteRequest):
            return await trio.to_thread.run_sync(self._vote, message)
        if isinstance(message, SnapshotRequest):
            return await self._serve_snapshot(message)
        return None

    def close(self) -> None:
        """End with the epoch."""
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None

    def _vote(self, request: VoteRequest) -> VoteReply:
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

    async def _serve_snapshot(self, request: SnapshotRequest) -> PeerMessage:
        """Who asks for an epoch that is over sees so, and need not wait for an answer in vain."""
        async with self._snapshot_turn:
            now_s = trio.current_time()
            if request.commit == 0 and request.part < 0:
                return (await self._fresh(now_s)).head
            held = self._snapshot
            if (
                held is None
                or (held.head.epoch, held.head.commit) != (request.epoch, request.commit)
                or not 0 <= request.part < parts.PARTS
            ):
                return SnapshotPart(request.commit, max(0, request.part), (), True)
            held.used_s = now_s
            return await trio.to_thread.run_sync(held.part, request.part)

    async def _fresh(self, now_s: float) -> Snapshot:
        held = self._snapshot
        if held is not None and now_s < held.taken_s + _FRESH_S:
            held.used_s = now_s
            return held
        async with self._settled():
            fresh = await trio.to_thread.run_sync(self._take, now_s)
        self.close()
        self._snapshot = fresh
        return fresh

    def _take(self, now_s: float) -> Snapshot:
        newest = self._store.newest_commit(self._epoch)
        commits = commit_window(self._store, self._epoch, newest, self._gc_depth)
        nodes = self._executor.machine.part_digests()
        head = SnapshotHead(self._epoch, newest, commits, nodes)
        return Snapshot(head, self._store.snapshot(), now_s)

    def sweep(self) -> None:
        """Close a snapshot that nobody asks for any more."""
        held = self._snapshot
        if (
            held is not None
            and not self._snapshot_turn.locked()
            and trio.current_time() > held.used_s + _KEPT_S
        ):
            self.close()
