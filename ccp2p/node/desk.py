"""What a node answers beside blocks: where others stand, records, secrets, votes, snapshots.

Everybody who asks is attested; what is more than public is for seats and observers of the roster.
Nothing here changes what this node votes for.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from ccp2p.execution import snapshot as parts
from ccp2p.execution.checkpoints import checkpoint_of_roots
from ccp2p.membership.events import JoinRequest, parse_event
from ccp2p.membership.roster import Roster
from ccp2p.model import codec, limits
from ccp2p.model.epoch import record_digest
from ccp2p.model.errors import PeerFault
from ccp2p.node.executor import CommitRecord, Executor
from ccp2p.node.messages import (
    FollowReply,
    FollowRequest,
    PeerMessage,
    Relay,
    SecretReply,
    SecretRequest,
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from ccp2p.node.network_record import NetworkRecord, NodeAddresses
from ccp2p.node.receipts import image_commit
from ccp2p.node.recovery import commit_window
from ccp2p.node.steward import Steward
from ccp2p.storage.store import BucketSnapshot, Store

_RELAY_INTERVAL_S: Final = 1.0  # between events that one node may hand over
_FRESH_S: Final = 10.0  # a snapshot this young serves the next one who asks, too
_KEPT_S: Final = 120.0  # a snapshot that nobody asks for any more keeps pages no longer
_RELAYERS_KEPT: Final = 1024


def known_addresses(record: NetworkRecord, roster: Roster) -> tuple[NodeAddresses, ...]:
    """Where the nodes of the roster listen: as they said when they joined, or at the founding."""
    kept = {one.node: one for one in record.addresses}
    found = []
    for member in (*roster.members, *roster.observers):
        if member.addresses:
            found.append(NodeAddresses(member.node, member.addresses, member.client_addresses))
        elif member.node in kept:
            found.append(kept[member.node])
    return tuple(found)


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
        record: NetworkRecord,
        epoch: int,
        is_seat: bool,
        executor: Executor,
        steward: Steward,
        store: Store,
        gc_depth: int,
        settled: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._network = network
        self._record = record
        self._epoch = epoch
        self._is_seat = is_seat
        self._executor = executor
        self._steward = steward
        self._store = store
        self._gc_depth = gc_depth
        self._settled = settled
        self._snapshot: Snapshot | None = None
        self._snapshot_turn = trio.Lock()
        self._relayed_s: dict[bytes, float] = {}

    @property
    def roster(self) -> Roster:
        """The roster after the last executed commit."""
        return self._executor.keeper.roster

    def place_of(self, node: bytes) -> str:
        """Where a node stands: "seat", "observer" or "none"."""
        roster = self.roster
        change = roster.change
        if roster.seated(node) or (change is not None and change.index_of(node) is not None):
            return "seat"
        return "observer" if roster.following(node) else "none"

    def relayed(self, node: bytes, relay: Relay) -> list[bytes]:
        """The events that may go into our next block; PeerFault when they must not be relayed."""
        now_s = trio.current_time()
        if now_s < self._relayed_s.get(node, -_RELAY_INTERVAL_S) + _RELAY_INTERVAL_S:
            return []
        if len(self._relayed_s) >= _RELAYERS_KEPT:
            self._relayed_s.clear()
        self._relayed_s[node] = now_s
        is_stranger = self.place_of(node) == "none"
        for data in relay.events[: limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK]:
            event = parse_event(data)
            if event.node != node:
                raise PeerFault("relay", "a node hands over its own membership events only")
            if is_stranger and not isinstance(event.body, JoinRequest):
                raise PeerFault("relay", "who is not in the network may only ask to join")
        return list(relay.events[: limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK])

    async def answer(self, node: bytes, message: PeerMessage) -> PeerMessage | None:
        """The reply to one request; None when there is none."""
        if isinstance(message, FollowRequest):
            return self._follow(node, message)
        if self.place_of(node) == "none":
            return None
        if isinstance(message, SecretRequest):
            return SecretReply(message.epoch_key, self._secret(message.epoch_key))
        if isinstance(message, VoteRequest):
            return await trio.to_thread.run_sync(self._vote, message)
        if isinstance(message, SnapshotRequest) and message.epoch == self._epoch:
            return await self._serve_snapshot(message)
        return None

    def close(self) -> None:
        """End with the epoch."""
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None

    def _follow(self, node: bytes, request: FollowRequest) -> FollowReply:
        records = self._record.since(request.pinned)[: limits.MAX_RECORD_CHAIN]
        anchors = self.roster.anchors
        anchor = anchors[-1][1] if anchors else record_digest(self._record.signed.record)
        reason = self._executor.keeper.refusals.get(node, "")
        addresses = known_addresses(self._record, self.roster)
        return FollowReply(records, anchor, self.place_of(node), reason, addresses)

    def _secret(self, epoch_key: bytes) -> bytes:
        """The secret of this epoch or of a proposal of the change under way."""
        return self._steward.secret_of(epoch_key) or b""

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
        async with self._snapshot_turn:
            now_s = trio.current_time()
            if request.commit == 0 and request.part < 0:
                return (await self._fresh(now_s)).head
            held = self._snapshot
            if (
                held is None
                or held.head.commit != request.commit
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
