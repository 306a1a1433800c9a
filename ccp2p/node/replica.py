"""A seat at work: drives `seat` and the executor over real peers, disk and clock.

Four loops, each with a bounded queue before it: frames are decoded and verified; the core orders;
commits are executed; the restart floor is asked for. The order within a step is always persist,
then send, then apply.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import structlog
import trio

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.consensus.validity import Rules
from ccp2p.model import limits
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.node.core import NodeCore, Step
from ccp2p.node.executor import Executor
from ccp2p.node.floor import Floor
from ccp2p.node.intake import BlockIntake, Delivery, Intake
from ccp2p.node.messages import FetchBlocks, PeerMessage, decode_message, encode_message
from ccp2p.node.meter import Meter
from ccp2p.node.seat import Input, Seat
from ccp2p.node.writer import GroupWriter
from ccp2p.storage.store import Batch, Store

_log = structlog.get_logger()

_FLOOR_INTERVAL_S = 1.0
_VERIFY_IN_THREAD = 8  # fewer signatures than this cost less than a thread's round trip
_COMMITS_PER_TURN = 32
_INPUTS_PER_STEP = 64


class Replica:
    """One seat of one network. `send(node, frame)` queues without blocking.

    `deliver(outcomes, dropped)` hands results to waiting clients; `found_floor` is told once.
    """

    def __init__(
        self,
        *,
        core: NodeCore,
        executor: Executor,
        rules: Rules,
        store: Store,
        send: Callable[[bytes, bytes], bool],
        deliver: Callable[[list[tuple[bytes, bytes]], list[tuple[bytes, str]]], None],
        clock: Callable[[], int],
        found_floor: Callable[[Floor], None],
        meter: Meter,
    ) -> None:
        self.core = core
        self.seat = Seat(core, store, os.urandom(16))
        self.executor = executor
        self.store = store
        self.execution_turn = trio.Lock()  # reads and commits take turns at the state
        self.executed = store.newest_commit(core.committee.epoch)
        self._send = send
        self._deliver = deliver
        self._clock = clock
        self._found_floor = found_floor
        self._meter = meter
        self._intake = BlockIntake(rules, core.committee, core.consensus.is_admitted)
        self._writer = GroupWriter(self._write)
        self._epoch = core.committee.epoch
        self._inputs, self._inbox = trio.open_memory_channel[Input](limits.INBOX_FRAMES)
        self._commits, self._backlog = trio.open_memory_channel[CommittedBlocks](
            limits.COMMIT_BACKLOG
        )
        self._serving: set[int] = set()

    @property
    def floor(self) -> Floor | None:
        """The restart floor of this start, once it is found."""
        return self.seat.floor

    async def run(self, frames: AsyncIterator[tuple[bytes, bytes]]) -> None:
        """Serve until cancelled; LocalFault when this node must stop."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, frames, nursery)
            nursery.start_soon(self._order)
            nursery.start_soon(self._execute)
            nursery.start_soon(self._search_floor)

    def submit(self, envelopes: list[bytes]) -> int:
        """Queue envelopes for our next blocks; how many of them, from the front, fitted."""
        taken = self.seat.submit(envelopes)
        self._wake()
        return taken

    def _wake(self) -> None:
        # A full queue is reason enough for the core to be awake.
        with suppress(trio.WouldBlock):
            self._inputs.send_nowait(None)

    async def _receive(
        self, frames: AsyncIterator[tuple[bytes, bytes]], nursery: trio.Nursery
    ) -> None:
        async for node, frame in frames:
            seat = self.core.committee.index_of(node)
            if seat is None:
                continue
            try:
                message = decode_message(frame)
            except PeerFault as fault:
                self._blame(seat, fault)
                continue
            await self._dispatch(seat, message, nursery)

    async def _dispatch(self, seat: int, message: PeerMessage, nursery: trio.Nursery) -> None:
        try:
            heard = self.seat.hear(seat, message)
        except PeerFault as fault:
            self._blame(seat, fault)
            return
        if heard.delivery is not None:
            await self._take_in([heard.delivery])
        if heard.floor is not None:
            await self._inputs.send(heard.floor)
        if heard.reply is not None:
            self._tell(seat, heard.reply)
        if heard.serve is not None and seat not in self._serving:
            self._serving.add(seat)
            nursery.start_soon(self._serve_fetch, seat, heard.serve)

    async def _take_in(self, deliveries: list[Delivery]) -> None:
        if sum(len(delivery.blocks) for delivery in deliveries) < _VERIFY_IN_THREAD:
            intakes = self._verify(deliveries)
        else:
            intakes = await trio.to_thread.run_sync(self._verify, deliveries)
        for intake in intakes:
            for fault in intake.faults:
                self._blame(intake.sender, fault)
            await self._inputs.send(intake)

    def _verify(self, deliveries: list[Delivery]) -> list[Intake]:
        with self._meter.stage("verify"):
            return self._intake.verify(deliveries)

    def _write(self, batch: Batch) -> None:
        with self._meter.stage("persist"):
            self.store.write(batch)

    async def _serve_fetch(self, seat: int, request: FetchBlocks) -> None:
        try:
            self._tell(seat, await trio.to_thread.run_sync(self.seat.serve, request))
        finally:
            self._serving.discard(seat)

    async def _search_floor(self) -> None:
        while self.core.starting:
            for peer, request in self.seat.floor_requests():
                self._tell(peer, request)
            self._wake()
            await trio.sleep(_FLOOR_INTERVAL_S)

    async def _order(self) -> None:
        wake_ms: int | None = 0
        while True:
            inputs = await self._next_inputs(wake_ms)
            with self._meter.stage("order"):
                steps = self.seat.advance(inputs, self._clock())
            await self._perform(steps)
            wake_ms = steps[-1].wake_ms
            if self.core.coin_ends:
                raise LocalFault(
                    "coin-ended",
                    f"this epoch's coin chain ends soon (round {self.core.consensus.round}); "
                    "epochs cannot change yet, so the network stops here. Found a new one",
                )

    async def _next_inputs(self, wake_ms: int | None) -> list[Input]:
        inputs: list[Input] = []
        timeout_s = float("inf") if wake_ms is None else (wake_ms - self._clock()) / 1000
        with trio.move_on_after(max(0.0, timeout_s)):
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
                    self._blame(blamed, fault)
            for pair in step.evidence:
                _log.warning("equivocation", seat=pair.author)
            if step.floor is not None:
                self._found_floor(step.floor)
            for commit in step.commits:
                await self._commits.send(commit)

    async def _persist(self, steps: list[Step]) -> None:
        batch = self.seat.batch(steps)
        if batch is not None:
            await self._writer.write(batch)
            self.seat.saved(batch)

    async def _execute(self) -> None:
        while True:
            commits = [await self._backlog.receive()]
            while len(commits) < _COMMITS_PER_TURN:
                try:
                    commits.append(self._backlog.receive_nowait())
                except trio.WouldBlock:
                    break
            async with self.execution_turn:
                executed = await trio.to_thread.run_sync(self.executor.execute, commits)
            batch = Batch(epoch=self._epoch, commits=executed.records, buckets=executed.buckets)
            await self._writer.write(batch)
            newest = commits[-1].commit
            async with self.execution_turn:
                self.executor.machine.stored(newest.epoch, newest.index)
            self.executed = newest.index
            self._deliver(executed.outcomes, executed.dropped)
            for seat, fault in executed.faults:
                self._blame(seat, fault)
            if executed.votes:
                self.seat.queue_votes(executed.votes)
                self._wake()
                await self._prune(commits[-1])

    async def _prune(self, newest: CommittedBlocks) -> None:
        """Drop what lies behind the retained log; a bounded number of records each time."""
        below = min(
            newest.commit.leader.round - limits.LOG_RETAINED_ROUNDS, self.core.consensus.gc_round
        )
        below_commit = newest.commit.index - limits.LOG_RETAINED_COMMITS
        if below > 0:
            await trio.to_thread.run_sync(self.store.prune, self._epoch, below, below_commit)

    def _tell(self, seat: int | None, message: PeerMessage) -> None:
        frame = encode_message(message)
        seats = self.core.committee.seats
        targets = range(len(seats)) if seat is None else (seat,)
        for index in targets:
            if index != self.core.me:
                sent = self._send(seats[index].node, frame)
                self._meter.sent_bytes += len(frame) if sent else 0
                if sent:
                    self.seat.sent(index, message)

    def _blame(self, seat: int, fault: PeerFault) -> None:
        _log.warning("peer at fault", seat=seat, code=fault.code, reason=str(fault))
