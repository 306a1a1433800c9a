"""A simulated machine: one real seat over a virtual disk, network and clock.

It does what `node.replica` does: inputs are taken in turns; a turn's blocks are written, then its
messages leave, then its commits go to the executor; outcomes leave once they are on disk. A crash
can hit between any two of these. Whatever was not written is lost with it.
"""

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import TYPE_CHECKING

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.membership.roster import Roster
from ccp2p.model import limits
from ccp2p.model.envelope import parse_envelope
from ccp2p.model.errors import Fault, LocalFault, MemberFault, PeerFault
from ccp2p.node.core import NodeCore, Step
from ccp2p.node.executor import Executed, Executor
from ccp2p.node.intake import Intake
from ccp2p.node.messages import FetchBlocks, PeerMessage, encode_message
from ccp2p.node.meter import Meter
from ccp2p.node.recovery import recovered_log, recovered_state, resume_checkpoints
from ccp2p.node.roster_keeper import RosterKeeper, first_roster
from ccp2p.node.seat import Input, Seat
from ccp2p.simulator.disk import Disk
from ccp2p.simulator.founding import START_MS
from ccp2p.storage.store import Batch

if TYPE_CHECKING:
    from ccp2p.simulator.world import World

_FLOOR_INTERVAL_US = 1_000_000
_INPUTS_PER_TURN = 64
_COMMITS_PER_TURN = 32
_SERVE_US = 1_000
_EXECUTE_US = 1_000

CRASH_POINTS = ("before-write", "after-write", "half-sent", "before-state", "after-state")
"""Where a doomed machine stops: around the write of its blocks, and around that of its state."""


class _NoMeter(Meter):
    """Measures nothing: no real clock may be looked at here."""

    def stage(self, _: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Nothing to enter."""
        return _NOTHING


_NOTHING = nullcontext()


class Crashed(Exception):
    """The machine stopped at its crash point."""


class Host:
    """One machine. `skew_ms` is how far its clock is off; `write_us` how long a write takes."""

    def __init__(
        self, world: "World", index: int, random: Random, skew_ms: int = 0, write_us: int = 2_000
    ) -> None:
        self.world = world
        self.index = index
        self.random = random
        self.skew_ms = skew_ms
        self.write_us = write_us
        self.disk = Disk()
        self.is_up = False
        self.doom = ""
        self.starts = 0
        self.acknowledged = 0  # the newest commit of which a member was told
        self.is_excused = False  # its disk was rolled back in a power cut: it may sign a slot twice
        self.is_retired = False  # down for good: nothing is expected of it any more
        self.stopped: LocalFault | None = None
        self._life = 0

    @property
    def is_honest(self) -> bool:
        """Whether the promises hold for this machine's node."""
        return True

    @property
    def nature(self) -> str:
        """What kind of node this is, for people."""
        return "honest, crashed for good" if self.is_retired else "honest"

    def clock_ms(self) -> int:
        """What this machine's clock says, in Unix milliseconds."""
        return START_MS + self.world.now_us // 1000 + self.skew_ms

    def start(self) -> None:
        """Start the node from what the disk holds; LocalFault when it refuses."""
        founded, store = self.world.founded, self.disk.store
        parameters, committee = founded.genesis.parameters, founded.committee
        sign = founded.keys[self.index].sign
        core = NodeCore(
            network=founded.network,
            committee=committee,
            me=self.index,
            parameters=parameters,
            coin=founded.secrets.coin,
            sign=sign,
            recovered=recovered_log(store, committee, parameters.gc_depth),
        )
        machine, table = recovered_state(
            founded.network, founded.genesis, founded.secrets, store, founded.link.record
        )
        roster = Roster.decode(machine.roster) if machine.roster else None
        interval = parameters.checkpoint_interval
        self.waiting: dict[bytes, None] = {}
        self.executor = Executor(
            network=founded.network,
            committee=committee,
            me=self.index,
            sign=sign,
            machine=machine,
            table=table,
            keeper=RosterKeeper(
                founded.link,
                roster or first_roster(founded.link.record),
                founded.means,
                interval,
            ),
            interval=interval,
            waits_for=self.waiting.__contains__,
            meter=_NoMeter(),
        )
        self.core = core
        self.seat = Seat(core, store, self.random.randbytes(16))
        self.seat.queue_votes(resume_checkpoints(self.executor, store, committee, parameters))
        self.executed = store.newest_commit(committee.epoch)
        self.world.checks.durable(self)
        self._epoch = committee.epoch
        self._inbox: deque[Input] = deque()
        self._backlog: deque[CommittedBlocks] = deque()
        self._serving: set[int] = set()
        self._is_writing = self._is_executing = self._has_turn = False
        self._wake_us: int | None = None
        self._life += 1
        self.starts += 1
        self.is_up = True
        self.doom = ""
        self.world.trace.note(self.world.now_us, self.index, "start", b"%d" % self.executed)
        self._later(0, self._turn)
        self._later(0, self._search_floor)

    def crash(self) -> None:
        """Stop at once; only the disk stays."""
        self.is_up = False
        self._life += 1
        self.world.trace.note(self.world.now_us, self.index, "crash", self.doom.encode())
        self.world.crashed(self)

    def submit(self, envelope: bytes) -> str:
        """What the API does with a client's envelope: empty, or the refusal's code."""
        try:
            parsed = parse_envelope(envelope)
        except MemberFault as fault:
            return fault.code
        if parsed.epoch != self._epoch:
            return "wrong-epoch"
        if not self.seat.submit([envelope]):
            return "busy"
        self.waiting[parsed.tag] = None
        self._wake()
        return ""

    def hear(self, sender: int, frame: bytes) -> None:
        """A frame arrived from another machine."""
        if not self.is_up:
            return
        try:
            heard = self.seat.hear(sender, self.world.decode(frame))
        except PeerFault as fault:
            self._blame(sender, fault)
            return
        if heard.delivery is not None:
            self.world.deliveries += len(heard.delivery.blocks)
            intake = self.world.intake.verify(heard.delivery, self.core.consensus.is_admitted)
            for fault in intake.faults:
                self._blame(sender, fault)
            if intake.is_news:
                self._take(intake)
        if heard.floor is not None:
            self._take(heard.floor)
        if heard.reply is not None:
            self.tell(sender, heard.reply)
        if heard.serve is not None and sender not in self._serving:
            self._serving.add(sender)
            self._later(_SERVE_US, self._serve, sender, heard.serve)

    def tell(self, seat: int | None, message: PeerMessage) -> None:
        """Send a message to a seat, or to all others."""
        frame = encode_message(message)
        targets = range(self.core.committee.size) if seat is None else (seat,)
        for target in targets:
            if target != self.index:
                self.emit(target, message, frame)

    def emit(self, target: int, message: PeerMessage, frame: bytes) -> None:
        """Let a message out to one other seat."""
        if self.world.send(self.index, target, frame):
            self.seat.sent(target, message)

    def _later(self, delay_us: int, action, *arguments) -> None:  # type: ignore[no-untyped-def]
        """Do something later in this life of the node."""
        self.world.later(delay_us, self._live, self._life, action, arguments)

    def _live(self, life: int, action, arguments) -> None:  # type: ignore[no-untyped-def]
        if life == self._life and self.is_up:
            try:
                action(*arguments)
            except Crashed:
                self.crash()
            except LocalFault as fault:
                self.stopped = fault
                self.crash()

    def _reach(self, point: str) -> None:
        if self.doom == point:
            raise Crashed

    def _take(self, item: Intake | Input) -> None:
        if len(self._inbox) < limits.INBOX_FRAMES:
            self._inbox.append(item)
        self._wake()

    def _wake(self) -> None:
        if not self._is_writing and not self._has_turn:
            self._has_turn = True
            self._later(0, self._turn)

    def _turn(self) -> None:
        """Take what arrived, and write what its messages and commits rest on."""
        self._has_turn = False
        if self._is_writing:
            return
        inputs = [self._inbox.popleft() for _ in range(min(len(self._inbox), _INPUTS_PER_TURN))]
        self._wake_us = None
        steps = self.seat.advance(inputs, self.clock_ms())
        batch = self.seat.batch(steps)
        if batch is None:
            self._perform(steps)
            return
        self._is_writing = True
        self._later(self._write_us(), self._written, batch, steps)

    def _write_us(self) -> int:
        return self.write_us + self.random.randrange(self.write_us + 1)

    def _written(self, batch: Batch, steps: list[Step]) -> None:
        self._reach("before-write")
        self.disk.write(batch)
        self._reach("after-write")
        self.seat.saved(batch)
        self._is_writing = False
        self._perform(steps)

    def _perform(self, steps: list[Step]) -> None:
        checks = self.world.checks
        for step in steps:
            for seat, message in step.send:
                self._reach("half-sent") if self.random.randrange(2) else None
                self.tell(seat, message)
            for blamed, fault in step.faults:
                if blamed is not None:
                    self._blame(blamed, fault)
            for pair in step.evidence:
                checks.evidence(self, pair)
            for commit in step.commits:
                checks.committed(self, commit)
                self.world.load.ordered(self, commit)
                self._backlog.append(commit)
        checks.bounds(self)
        self._execute()
        self._schedule(steps[-1].wake_ms)

    def _schedule(self, wake_ms: int | None) -> None:
        if self._inbox:
            self._wake()
        elif wake_ms is not None:
            delay_us = max(1, wake_ms - self.clock_ms()) * 1000
            self._wake_us = self.world.now_us + delay_us
            self._later(delay_us, self._alarm, self._wake_us)

    def _alarm(self, due_us: int) -> None:
        if self._wake_us == due_us:
            self._wake()

    def _execute(self) -> None:
        if self._is_executing or not self._backlog:
            return
        self._is_executing = True
        size = min(len(self._backlog), _COMMITS_PER_TURN)
        commits = [self._backlog.popleft() for _ in range(size)]
        executed = self.executor.execute(commits)
        self._later(_EXECUTE_US + self._write_us(), self._executed, commits, executed)

    def _executed(self, commits: list[CommittedBlocks], executed: Executed) -> None:
        self._reach("before-state")
        batch = Batch(
            epoch=self._epoch,
            commits=executed.records,
            buckets=executed.buckets,
            meta=executed.receipts,
        )
        self.disk.write(batch)
        newest = commits[-1].commit
        self.executor.machine.stored(newest.epoch, newest.index)
        self.executed = newest.index
        self.world.checks.executed(self, executed)
        self._reach("after-state")
        self.answer(executed)
        for seat, fault in executed.faults:
            self._blame(seat, fault)
        if executed.votes:
            self.seat.queue_votes(executed.votes)
            self._wake()
        self._is_executing = False
        self._execute()

    def answer(self, executed: Executed) -> None:
        """Give outcomes and refusals to the clients that wait for them."""
        for tag, sealed in executed.outcomes:
            self.waiting.pop(tag, None)
            self.world.load.answered(self, tag, sealed)
        for tag, code in executed.dropped:
            self.waiting.pop(tag, None)
            self.world.load.dropped(self, code)

    def _serve(self, seat: int, request: FetchBlocks) -> None:
        self._serving.discard(seat)
        self.tell(seat, self.seat.serve(request))

    def _search_floor(self) -> None:
        for peer, request in self.seat.floor_requests():
            self.tell(peer, request)
        if self.core.starting:
            self._wake()
            self._later(_FLOOR_INTERVAL_US, self._search_floor)

    def _blame(self, seat: int, fault: Fault) -> None:
        self.world.checks.blamed(self, seat, fault)
