"""One epoch at work: drives `seat` and the executor over real peers, disk and clock.

Loops, each with a bounded queue before it: frames are decoded and verified; the core orders;
commits are executed; the restart floor is asked for; the committee's change is tended. The order
within a step is always persist, then send, then apply. It ends with CLOSE.
"""

import math
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final

import structlog
import trio

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.consensus.validity import Rules
from ccp2p.gossip.messages import Message as Gossiped
from ccp2p.membership.records import Link
from ccp2p.model import codec, limits
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.model.genesis import Parameters
from ccp2p.node.boundary import Boundary
from ccp2p.node.core import NodeCore, Step
from ccp2p.node.courier import Courier
from ccp2p.node.desk import Desk
from ccp2p.node.ending import Ended, Ending
from ccp2p.node.executor import Executed, Executor
from ccp2p.node.floor import Floor
from ccp2p.node.intake import BlockIntake, Delivery, Intake
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FloorRequest,
    FollowReply,
    FollowRequest,
    HandedOn,
    PeerMessage,
    RecordComplete,
    RecordSignature,
    RecoveryAnswer,
    RecoveryProposal,
    Relay,
    SecretReply,
    SecretRequest,
    SnapshotRequest,
    VoteRequest,
    decode_message,
    encode_message,
)
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.patience import Patience
from ccp2p.node.registry import Registry
from ccp2p.node.retention import Retention
from ccp2p.node.roster_keeper import CLOSING
from ccp2p.node.seat import Input, Seat
from ccp2p.node.spreading import Spreading
from ccp2p.node.steward import Steward
from ccp2p.node.survivor import Survivor
from ccp2p.node.tending import Tending
from ccp2p.node.turns import Share
from ccp2p.node.writer import GroupWriter
from ccp2p.sealing.identity import Identity
from ccp2p.storage.store import Batch, Store

_log = structlog.get_logger()

_FLOOR_INTERVAL_S: Final = 1.0
FLOOR_PATIENCE_S = 10.0  # peers that are up have answered long before: then say who is missing
_VERIFY_IN_THREAD: Final = 8  # fewer signatures than this cost less than a thread's round trip
_COMMITS_PER_TURN: Final = 32
_INPUTS_PER_STEP: Final = 64

_Answered = FollowRequest | SecretRequest | VoteRequest | SnapshotRequest | RecoveryProposal


class Replica:
    """One node's part in one epoch. `send(node, frame)` queues without blocking.

    `connections()` are the connected nodes, True where we dialled.
    `deliver(outcomes, dropped)` hands results to waiting clients; `found_floor` is told once.
    `blamed(node, code, now_ms)` says whether a peer's fault is worth a line in the log. `courier`
    makes this epoch's `Courier` within the node's bounds.
    """

    def __init__(
        self,
        *,
        core: NodeCore,
        executor: Executor,
        rules: Rules,
        store: Store,
        link: Link,
        record: NetworkRecord,
        steward: Steward,
        identity: Identity,
        parameters: Parameters,
        send: Callable[[bytes, bytes], bool],
        connections: Callable[[], Mapping[bytes, bool]],
        deliver: Callable[[list[tuple[bytes, bytes]], list[tuple[bytes, str]]], None],
        clock: Callable[[], int],
        found_floor: Callable[[Floor], None],
        share: Share,
        blamed: Callable[[bytes, str, int], bool],
        courier: Callable[..., Courier],
    ) -> None:
        self.core = core
        self.seat = Seat(core, store, os.urandom(16))
        self.executor = executor
        self.store = store
        self.steward = steward
        self.execution_turn = trio.Lock()  # reads and commits take turns at the state
        self.executed = store.newest_commit(core.committee.epoch)
        self.registry = Registry(record, executor.keeper, steward)
        self.desk = self._new_desk(link, parameters)
        self._writer = GroupWriter(self._write)
        self._retention = Retention(store, core.committee, parameters.checkpoint_interval)
        self._boundary = Boundary(link, record.signed)
        self.patience = Patience(parameters.max_round_delay_ms)
        self._send = send
        self.survivor = self._new_survivor(link, identity, parameters)
        self._deliver = deliver
        self._clock = clock
        self._found_floor = found_floor
        self._share = share
        self._meter = share.meter
        self._blamed = blamed
        self._intake = BlockIntake(rules, core.committee, core.consensus.is_admitted)
        self.epoch = core.committee.epoch
        self._inputs, self._inbox = trio.open_memory_channel[Input](limits.INBOX_FRAMES)
        self._commits, self._backlog = trio.open_memory_channel[CommittedBlocks](
            limits.COMMIT_BACKLOG
        )
        self._moved = trio.Event()
        self._is_settled = True
        # Who follows executes a round's commits together: an event costs less where more are.
        self._gather_s = parameters.min_round_delay_ms / 10_000 if core.me < 0 else 0.0
        self._fetching: set[bytes] = set()  # nodes without a seat whose answer may come
        self._answering: set[bytes] = set()
        self.courier = courier(
            seat=self.seat, registry=self.registry, send=self._send_to, wake=self._wake
        )
        self.ending = self._new_ending()
        self._spreading = self._new_spreading(link.record.network, identity, connections)
        self._tending = self._new_tending()

    def _new_survivor(self, link: Link, identity: Identity, parameters: Parameters) -> Survivor:
        return Survivor(
            link=link,
            identity=identity,
            parameters=parameters,
            core=self.core,
            executor=self.executor,
            store=self.store,
            steward=self.steward,
            boundary=self._boundary,
            patience=self.patience,
            settled=self._settled,
            write=self._writer.write,
            send=self._send,
        )

    def _new_desk(self, link: Link, parameters: Parameters) -> Desk:
        return Desk(
            network=link.record.network,
            registry=self.registry,
            epoch=self.core.committee.epoch,
            is_seat=self.core.me >= 0,
            executor=self.executor,
            store=self.store,
            gc_depth=parameters.gc_depth,
            settled=self._settled,
        )

    def _new_spreading(
        self, network: bytes, identity: Identity, connections: Callable[[], Mapping[bytes, bool]]
    ) -> Spreading:
        return Spreading(
            network=network,
            identity=identity,
            seat=self.seat,
            registry=self.registry,
            boundary=self._boundary,
            connections=connections,
            send=self._send_to,
            ask=self._ask,
            wake=self._wake,
            randomness=Random(),
        )

    def _new_tending(self) -> Tending:
        return Tending(
            core=self.core,
            executor=self.executor,
            steward=self.steward,
            desk=self.desk,
            patience=self.patience,
            write=self._writer.write,
            send=self._send_to,
            another=self._spreading.another,
            submit=self.courier.submit_membership,
            clock=self._clock,
        )

    def _new_ending(self) -> Ending:
        return Ending(
            boundary=self._boundary,
            survivor=self.survivor,
            saw_end=self._saw_end,
            fetch=self._fetch_all,
            settled=self._settled,
            write=self._writer.write,
            send=self._send_to,
        )

    async def reached(self, commit: int) -> None:
        """Return once `commit` is executed and stored here."""
        while self.executed < commit:
            await self._moved.wait()

    async def run(self, frames: AsyncIterator[tuple[bytes, bytes]]) -> Ended:
        """Serve until the epoch ends here; LocalFault when this node must stop."""
        try:
            with self.ending.over:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._receive, frames, nursery)
                    nursery.start_soon(self._order)
                    nursery.start_soon(self._execute)
                    nursery.start_soon(self._search_floor)
                    nursery.start_soon(self._tending.run)
                    nursery.start_soon(self._spreading.beat)
                    nursery.start_soon(self.ending.find)
        finally:
            self.desk.close()
        if self.ending.ended is None:
            raise LocalFault("replica", "the epoch's work ended without a reason")
        return self.ending.ended

    def _saw_end(self) -> bool:
        """Whether the end of the epoch came after this process started."""
        return self.seat.floor is not None or self.steward.is_present or self.survivor.has_signed

    def _wake(self) -> None:
        # A full queue is reason enough for the core to be awake.
        with suppress(trio.WouldBlock):
            self._inputs.send_nowait(None)

    async def _receive(
        self, frames: AsyncIterator[tuple[bytes, bytes]], nursery: trio.Nursery
    ) -> None:
        async for node, frame in frames:
            try:
                message = decode_message(frame)
                if isinstance(message, RecordSignature | RecordComplete):
                    self.ending.hear(node, message, frame, _now_ms())
                elif isinstance(message, Gossiped):
                    self._spreading.hear(node, message)
                else:
                    await self._hear(node, message, nursery)
            except PeerFault as fault:
                self._blame(node, fault)

    async def _hear(self, node: bytes, message: PeerMessage, nursery: trio.Nursery) -> None:
        if isinstance(message, _Answered):
            if node not in self._answering:
                self._answering.add(node)
                nursery.start_soon(self._answer, node, message)
        elif isinstance(message, Relay | HandedOn):
            self.courier.hear(node, message)
        elif isinstance(message, SecretReply):
            self.steward.hear_secret(node, message.epoch_key, message.secret)
        elif isinstance(message, RecoveryAnswer):
            self.survivor.hear(node, message)
        elif isinstance(message, FollowReply):
            self.ending.learn(message.records)
        elif isinstance(message, FetchBlocks):
            if self._spreading.accepts(node):
                nursery.start_soon(self._spreading.serve, node, message)
        elif (seat := self.core.committee.index_of(node)) is not None:
            await self._dispatch(node, seat, message)
        elif isinstance(message, FetchedBlocks) and node in self._fetching:
            self._fetching.discard(node)
            await self._take_in(Delivery(None, message.blocks, True, node))
        elif isinstance(message, Blocks | FloorRequest):
            self.ending.remind(node, _now_ms())

    async def _dispatch(self, node: bytes, seat: int, message: PeerMessage) -> None:
        heard = self.seat.hear(seat, message)
        if heard.delivery is not None:
            await self._take_in(replace(heard.delivery, node=node))
        if heard.floor is not None:
            await self._inputs.send(heard.floor)
        if heard.reply is not None:
            self._tell(seat, heard.reply)

    async def _answer(self, node: bytes, message: _Answered) -> None:
        try:
            reply: PeerMessage | None
            if isinstance(message, RecoveryProposal):
                reply = await self.survivor.answer(node, message)
            else:
                reply = await self.desk.answer(node, message)
            if reply is not None:
                self._send_to(node, encode_message(reply))
        finally:
            self._answering.discard(node)

    async def _take_in(self, delivery: Delivery) -> None:
        verify = partial(self._intake.verify, [delivery])
        if len(delivery.blocks) < _VERIFY_IN_THREAD:
            (intake,) = await self._share.run("verify", verify)
        else:
            (intake,) = await self._share.run_in_thread(verify, "verify")
        node = delivery.node
        told, faults = self._boundary.sort_out(node, delivery.blocks, intake.faults, _now_ms())
        for message in told:
            self._send_to(node, encode_message(message))
        for fault in faults:
            self._blame(node, fault)
        if intake.is_news:
            await self._inputs.send(intake)

    def _write(self, batch: Batch) -> None:
        with self._meter.stage("persist"):
            self.store.write(batch)

    async def _search_floor(self) -> None:
        patience_s = trio.current_time() + FLOOR_PATIENCE_S
        while self.core.search is not None:
            if trio.current_time() > patience_s and self.core.starting:
                missing = self.core.floor_peers()
                _log.warning("following without a vote until these seats answer", seats=missing)
                patience_s = math.inf
            for peer, request in self.seat.floor_requests():
                self._tell(peer, request)
            self._wake()
            await trio.sleep(_FLOOR_INTERVAL_S)

    def _fetch_all(self) -> None:
        self._tell(None, FetchBlocks((), self._spreading.above, self.epoch))

    async def _order(self) -> None:
        wake_ms: int | None = 0
        wait_s = math.inf
        while True:
            inputs = await self._next_inputs(wake_ms, wait_s)
            steps = await self._share.run("order", partial(self._advance, inputs))
            await self._perform(steps)
            answered = [one.node for one in inputs if isinstance(one, Intake) and one.solicited]
            wait_s = self._spreading.follow(answered)
            wake_ms = steps[-1].wake_ms

    def _advance(self, inputs: list[Input]) -> list[Step]:
        return self.seat.advance(inputs, self._clock())

    async def _next_inputs(self, wake_ms: int | None, wait_s: float) -> list[Input]:
        inputs: list[Input] = []
        if wake_ms is not None:
            wait_s = min(wait_s, (wake_ms - self._clock()) / 1000)
        with trio.move_on_after(max(0.0, wait_s)):
            inputs.append(await self._inbox.receive())
        while len(inputs) < _INPUTS_PER_STEP:
            try:
                inputs.append(self._inbox.receive_nowait())
            except trio.WouldBlock:
                break
        return inputs

    async def _perform(self, steps: list[Step]) -> None:
        """Persist what the steps depend on, then send, then hand on the commits."""
        await self._persist(steps)
        for step in steps:
            for seat, message in step.send:
                self._tell(seat, message)
            for blamed, fault in step.faults:
                if blamed is not None:
                    self._blame(self.core.committee.seats[blamed].node, fault)
            for pair in step.evidence:
                _log.warning("equivocation", seat=pair.author)
                self.steward.accuse(pair)
            if step.floor is not None:
                self._found_floor(step.floor)
            self._spreading.committed(step.commits)
            for commit in step.commits:
                with suppress(trio.WouldBlock):  # without a pause: one turn executes all of them
                    self._commits.send_nowait(commit)
                    continue
                await self._commits.send(commit)

    async def _persist(self, steps: list[Step]) -> None:
        batch = self.seat.batch(steps)
        if batch is not None:
            await self._writer.write(batch)
            self.seat.saved(batch)

    async def _execute(self) -> None:
        while True:
            commits = [await self._backlog.receive()]
            if self._gather_s and self.registry.roster.change is None:
                await trio.sleep(self._gather_s)
            while len(commits) < _COMMITS_PER_TURN:
                try:
                    commits.append(self._backlog.receive_nowait())
                except trio.WouldBlock:
                    break
            async with self.execution_turn:
                if self.survivor.is_bound:
                    continue  # it promised to go no further
                self._is_settled = False
                executed = await self._share.run_in_thread(partial(self.executor.execute, commits))
            await self._store(executed)
            self._tending.executed()
            self._deliver(executed.outcomes, executed.dropped)
            for seat, fault in executed.faults:
                self._blame(self.core.committee.seats[seat].node, fault)
            if executed.closed is not None:
                if (closed := self.executor.keeper.closed) is not None:
                    self.steward.see(closed.change)
                self._spreading.closing()
                self.ending.end(executed.closed)
            if executed.votes:
                self.seat.queue_votes(executed.votes)
                self._wake()
            if executed.has_checkpoint:
                gc_round = self.core.consensus.gc_round
                await trio.to_thread.run_sync(self._retention.prune, commits[-1].commit, gc_round)

    async def _store(self, executed: Executed) -> None:
        """One transaction for the commits, their state, and the next record after CLOSE."""
        closing = {CLOSING: codec.encode(executed.closed)} if executed.closed else {}
        batch = Batch(
            epoch=self.epoch,
            commits=executed.records,
            buckets=executed.buckets,
            meta=executed.receipts | closing,
        )
        await self._writer.write(batch)
        newest = executed.records[-1][0]
        async with self.execution_turn:
            self.executor.machine.stored(self.epoch, newest)
            self._is_settled = True
        self.executed = newest
        self._moved.set()
        self._moved = trio.Event()

    @asynccontextmanager
    async def _settled(self) -> AsyncIterator[None]:
        """A moment in which the state in memory is the one in the store."""
        while True:
            async with self.execution_turn:
                if self._is_settled:
                    yield
                    return
            await trio.sleep(0)

    def _tell(self, seat: int | None, message: PeerMessage) -> None:
        """Send to a seat, or to all others; ask somebody else where no seat is connected."""
        frame = encode_message(message)
        seats = self.core.committee.seats
        told = 0
        for index in range(len(seats)) if seat is None else (seat,):
            if index != self.core.me and self._send_to(seats[index].node, frame):
                self.seat.sent(index, message)
                told += 1
        if isinstance(message, FetchBlocks) and not told and (other := self._spreading.another()):
            self._ask(other, message)
        if isinstance(message, Blocks) and seat is None:
            self._spreading.push(frame)

    def _ask(self, node: bytes, message: FetchBlocks) -> bool:
        """Ask one node, be it a seat or not."""
        sent = self._send_to(node, encode_message(message))
        seat = self.core.committee.index_of(node)
        if sent and seat is not None:
            self.seat.sent(seat, message)
        elif sent:
            self._fetching.add(node)
        return sent

    def _send_to(self, node: bytes, frame: bytes) -> bool:
        sent = self._send(node, frame)
        self._meter.sent_bytes += len(frame) if sent else 0
        return sent

    def _blame(self, node: bytes, fault: PeerFault) -> None:
        if self._blamed(node, fault.code, _now_ms()):
            seat = self.core.committee.index_of(node)
            name = node.hex()[:16] if seat is None else seat
            _log.warning("peer at fault", seat=name, code=fault.code, reason=str(fault))


def _now_ms() -> int:
    """A clock that never goes back, for what is done once in a while."""
    return int(trio.current_time() * 1000)
