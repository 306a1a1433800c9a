"""A seat at work: drives the core and the executor over real peers, disk and clock.

Four loops, each with a bounded queue before it: frames are decoded and verified; the core orders;
commits are executed; the restart floor is asked for. The order within a step is always persist,
then send, then apply.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
import trio

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.consensus.validity import Rules
from ccp2p.model import codec, limits
from ccp2p.model.block import Block, BlockReference
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.node.core import NodeCore, Step
from ccp2p.node.executor import Executor
from ccp2p.node.floor import Floor, FloorAnswer
from ccp2p.node.intake import BlockIntake, Delivery, Intake
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FloorReply,
    FloorRequest,
    PeerMessage,
    decode_message,
    encode_message,
)
from ccp2p.node.meter import Meter
from ccp2p.node.writer import GroupWriter
from ccp2p.storage.store import Batch, Store

_log = structlog.get_logger()

_FLOOR_INTERVAL_S = 1.0
_VERIFY_IN_THREAD = 8  # fewer signatures than this cost less than a thread's round trip
_COMMITS_PER_TURN = 32
_INPUTS_PER_STEP = 64
_UNSAVED_BLOCKS = 256


@dataclass(frozen=True, slots=True)
class _FloorSeen:
    """A floor answer whose blocks went into the core before it."""

    peer: int
    answer: FloorAnswer


_Input = Intake | _FloorSeen | None
"""None only wakes the core."""


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
        self.executor = executor
        self.store = store
        self.execution_turn = trio.Lock()  # reads and commits take turns at the state
        self.executed = store.newest_commit(core.committee.epoch)
        self.floor: Floor | None = None
        self._send = send
        self._deliver = deliver
        self._clock = clock
        self._found_floor = found_floor
        self._meter = meter
        self._intake = BlockIntake(rules, core.committee, core.consensus.is_admitted)
        self._writer = GroupWriter(self._write)
        self._epoch = core.committee.epoch
        self._inputs, self._inbox = trio.open_memory_channel[_Input](limits.INBOX_FRAMES)
        self._commits, self._backlog = trio.open_memory_channel[CommittedBlocks](
            limits.COMMIT_BACKLOG
        )
        self._envelopes: list[bytes] = []
        self._envelope_bytes = 0
        self._votes: list[bytes] = []
        self._unsaved: dict[BlockReference, bytes] = {}
        self._fetches_under_way: dict[int, int] = {}
        self._serving: set[int] = set()
        self._proposed = False
        self._start_nonce = os.urandom(16)

    async def run(self, frames: AsyncIterator[tuple[bytes, bytes]]) -> None:
        """Serve until cancelled; LocalFault when this node must stop."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, frames, nursery)
            nursery.start_soon(self._order)
            nursery.start_soon(self._execute)
            nursery.start_soon(self._search_floor)

    def submit(self, envelopes: list[bytes]) -> int:
        """Queue envelopes for our next blocks; how many of them, from the front, fitted."""
        taken = 0
        for envelope in envelopes:
            if (
                len(self._envelopes) >= limits.ENVELOPE_QUEUE
                or self._envelope_bytes + len(envelope) > limits.ENVELOPE_QUEUE_BYTES
            ):
                break
            self._envelopes.append(envelope)
            self._envelope_bytes += len(envelope)
            taken += 1
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
        if isinstance(message, Blocks):
            await self._take_in([Delivery(seat, message.blocks, False)])
        elif isinstance(message, FetchedBlocks):
            under_way = self._fetches_under_way.get(seat, 0)
            self._fetches_under_way[seat] = max(0, under_way - 1)
            await self._take_in([Delivery(seat, message.blocks, under_way > 0)])
        elif isinstance(message, FetchBlocks):
            if seat not in self._serving:
                self._serving.add(seat)
                nursery.start_soon(self._serve_fetch, seat, message)
        elif isinstance(message, FloorRequest):
            self._tell(seat, self._floor_reply(seat, message))
        elif isinstance(message, FloorReply):
            await self._floor_replied(seat, message)
        else:
            self._blame(seat, PeerFault("founding", "this network is founded already"))

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
            blocks = await trio.to_thread.run_sync(self._collect, request)
            self._tell(seat, FetchedBlocks(tuple(blocks)))
        finally:
            self._serving.discard(seat)

    def _collect(self, request: FetchBlocks) -> list[bytes]:
        """The referenced blocks, then what lies above the asker's rounds, within one reply."""
        blocks: list[bytes] = []
        room = limits.MAX_FETCH_REPLY_BYTES
        for reference in request.references[: limits.MAX_FETCH_REFERENCES]:
            block = self._unsaved.get(reference) or self.store.block(reference)
            if block is not None and len(block) <= room:
                blocks.append(block)
                room -= len(block)
        if request.above and room > 0:
            above = request.above[: limits.MAX_COMMITTEE]
            blocks.extend(self.store.blocks_above(self._epoch, above, room))
        return blocks

    def _floor_reply(self, seat: int, request: FloorRequest) -> FloorReply:
        consensus = self.core.consensus
        return FloorReply(
            request.nonce,
            self._stored(consensus.own_newest),
            self._stored(consensus.newest_by_author[seat]),
            not self._proposed,
        )

    def _stored(self, reference: BlockReference | None) -> bytes:
        if reference is None:
            return b""
        return self._unsaved.get(reference) or self.store.block(reference) or b""

    async def _floor_replied(self, seat: int, reply: FloorReply) -> None:
        if reply.nonce != self._start_nonce or self.core.search is None:
            return
        try:
            own = Block.parse(reply.own).reference if reply.own else None
            yours = Block.parse(reply.yours).reference if reply.yours else None
        except PeerFault as fault:
            self._blame(seat, fault)
            return
        if (own and own.author != seat) or (yours and yours.author != self.core.me):
            self._blame(seat, PeerFault("floor", "a floor reply shows other authors' blocks"))
            return
        shown = tuple(block for block in (reply.own, reply.yours) if block)
        await self._take_in([Delivery(seat, shown, True)])
        await self._inputs.send(_FloorSeen(seat, FloorAnswer(own, yours, reply.starting)))

    async def _search_floor(self) -> None:
        while (search := self.core.search) is not None:
            for peer in search.missing():
                self._tell(peer, FloorRequest(self._start_nonce))
            self._wake()
            await trio.sleep(_FLOOR_INTERVAL_S)

    async def _order(self) -> None:
        wake_ms: int | None = 0
        while True:
            inputs = await self._next_inputs(wake_ms)
            with self._meter.stage("order"):
                steps = self._advance(inputs)
            await self._perform(steps)
            wake_ms = steps[-1].wake_ms
            if self.core.coin_ends:
                raise LocalFault(
                    "coin-ended",
                    f"this epoch's coin chain ends soon (round {self.core.consensus.round}); "
                    "epochs cannot change yet, so the network stops here. Found a new one",
                )

    async def _next_inputs(self, wake_ms: int | None) -> list[_Input]:
        inputs: list[_Input] = []
        timeout_s = float("inf") if wake_ms is None else (wake_ms - self._clock()) / 1000
        with trio.move_on_after(max(0.0, timeout_s)):
            inputs.append(await self._inbox.receive())
        while len(inputs) < _INPUTS_PER_STEP:
            try:
                inputs.append(self._inbox.receive_nowait())
            except trio.WouldBlock:
                break
        return inputs

    def _advance(self, inputs: list[_Input]) -> list[Step]:
        now_ms = self._clock()
        steps = []
        for item in inputs:
            if isinstance(item, Intake):
                blocks = item.blocks
                steps.append(self.core.receive(item.sender, blocks, item.solicited, now_ms))
            elif isinstance(item, _FloorSeen):
                steps.append(self.core.floor_answer(item.peer, item.answer, now_ms))
        room = 2 * limits.MAX_ENVELOPES_PER_BLOCK - self.core.consensus.pending_payload[0]
        offered = tuple(self._envelopes[: max(0, room)])
        if offered or self._votes:
            del self._envelopes[: len(offered)]
            self._envelope_bytes -= sum(map(len, offered))
            votes, self._votes = tuple(self._votes), []
            steps.append(self.core.offer(offered, votes, now_ms))
        if not steps:
            steps.append(self.core.tick(now_ms))
        return steps

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
                self.floor = step.floor
                self._found_floor(step.floor)
            for commit in step.commits:
                await self._commits.send(commit)

    async def _persist(self, steps: list[Step]) -> None:
        """Others' blocks wait in memory until something of ours rests on them.

        That is our own next block, or a commit: before either leaves here, all are on disk. A
        crash before that loses nothing that peers could not send again.
        """
        own = False
        for step in steps:
            for block in step.persist:
                self._unsaved[block.reference] = block.to_bytes()
                own |= block.header.author == self.core.me
        meta = {
            f"equivocation/{self._epoch}/{pair.author}": codec.encode(
                [(b.header, b.signature) for b in (pair.first, pair.second)]
            )
            for step in steps
            for pair in step.evidence
        }
        rests_on_them = own or any(step.commits for step in steps)
        if meta or rests_on_them or len(self._unsaved) >= _UNSAVED_BLOCKS:
            blocks = list(self._unsaved.items())
            await self._writer.write(Batch(epoch=self._epoch, blocks=blocks, meta=meta))
            self._unsaved.clear()
        self._proposed |= own

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
                self._votes.extend(executed.votes)
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
                if sent and isinstance(message, FetchBlocks):
                    under_way = self._fetches_under_way.get(index, 0)
                    self._fetches_under_way[index] = under_way + 1

    def _blame(self, seat: int, fault: PeerFault) -> None:
        _log.warning("peer at fault", seat=seat, code=fault.code, reason=str(fault))
