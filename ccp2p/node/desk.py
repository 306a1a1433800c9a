"""What a node answers beside blocks: by the registry, and votes and snapshots from its disk.

Nothing here changes what this node votes for.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import trio

from ccp2p.node.executor import Executor
from ccp2p.node.messages import (
    FollowRequest,
    PeerMessage,
    SecretRequest,
    SnapshotRequest,
    VoteRequest,
)
from ccp2p.node.registry import Registry
from ccp2p.node.shelf import Shelf, is_for_head
from ccp2p.storage.store import Store


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
        self._registry = registry
        self._shelf = Shelf(network, epoch, is_seat, executor, store, gc_depth)
        self._settled = settled
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
            return await trio.to_thread.run_sync(self._shelf.vote, message)
        if isinstance(message, SnapshotRequest):
            return await self._serve_snapshot(message)
        return None

    def close(self) -> None:
        """End with the epoch."""
        self._shelf.close()

    async def _serve_snapshot(self, request: SnapshotRequest) -> PeerMessage:
        async with self._snapshot_turn:
            now_s = trio.current_time()
            if not is_for_head(request):
                return await trio.to_thread.run_sync(self._shelf.part, request, now_s)
            head = self._shelf.fresh(now_s)
            if head is not None:
                return head
            async with self._settled():
                return await trio.to_thread.run_sync(self._shelf.take, now_s)

    def sweep(self) -> None:
        """Close a snapshot that nobody asks for any more."""
        if not self._snapshot_turn.locked():
            self._shelf.sweep(trio.current_time())
