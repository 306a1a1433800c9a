"""A simulated machine: one real seat over a virtual disk, network and clock.

It does what `node.replica` does: inputs are taken in turns; a turn's blocks are written, then its
messages leave, then its commits go to the executor; outcomes leave once they are on disk. A crash
can hit between any two of these. Whatever was not written is lost with it. What happens between
epochs is in `changes`.
"""

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import TYPE_CHECKING, Any

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.execution.machine import StateMachine
from ccp2p.membership.events import JoinRequest
from ccp2p.model import codec, limits
from ccp2p.model.envelope import parse_envelope
from ccp2p.model.errors import Fault, LocalFault, MemberFault, PeerFault
from ccp2p.node.core import Step
from ccp2p.node.epoch import Surroundings, link_of, resume_epoch
from ccp2p.node.executor import Executed
from ccp2p.node.intake import Intake
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FollowReply,
    PeerMessage,
    encode_message,
)
from ccp2p.node.meter import Meter
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.roster_keeper import CLOSING
from ccp2p.node.seat import Input, Seat
from ccp2p.node.steward import Steward
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.simulator.chance import below
from ccp2p.simulator.changes import Changes
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

CHANGE_POINTS = ("before-acts", "after-acts", "before-crossing", "after-crossing")
"""And in a change of the committee: around the steward's write, and around the new record's."""


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

    tend_us = 250_000  # between two looks at the committee's change

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
        self.acknowledged = (
            0,
            0,
        )  # epoch and index of the newest commit of which a member was told
        self.is_excused = False  # its disk was rolled back in a power cut: it may sign a slot twice
        self.is_retired = False  # down for good: nothing is expected of it any more
        self.stopped: LocalFault | None = None
        self.changes = Changes(self)
        self.waiting: dict[bytes, None] = {}
        self._machine: StateMachine | None = None  # of this start's last epoch
        self._life = 0

    @property
    def is_honest(self) -> bool:
        """Whether the promises hold for this machine's node."""
        return True

    @property
    def is_silent(self) -> bool:
        """Whether it says nothing more once it is admitted."""
        return False

    @property
    def is_hindering(self) -> bool:
        """Whether it joins, and then is no more use than a dead one."""
        return False

    @property
    def nature(self) -> str:
        """What kind of node this is, for people."""
        return "honest, crashed for good" if self.is_retired else "honest"

    def new_steward(self, **around: Any) -> Steward:
        """Who tends its part in a change, see `Steward`."""
        return Steward(**around)

    def join_request(self, reply: FollowReply) -> JoinRequest | None:
        """What a newcomer asks for now that a peer told how it stands, if for anything."""
        return self.world.founded.join_request(self.index, reply.anchor)

    def clock_ms(self) -> int:
        """What this machine's clock says, in Unix milliseconds."""
        return START_MS + self.world.now_us // 1000 + self.skew_ms

    @property
    def is_in_epoch(self) -> bool:
        """Whether the node runs and takes part in an epoch, as a seat or as an observer."""
        return self.is_up and self.changes.is_in_epoch

    @property
    def has_stored_all(self) -> bool:
        """Whether the disk has all that was executed."""
        return not self._is_executing

    @property
    def is_running(self) -> bool:
        """Whether it is past its start and not about to fail."""
        is_doomed = bool(self.doom) or self.disk.is_full
        return self.is_up and self.changes.is_settled and not is_doomed

    def start(self) -> None:
        """Start the node from what the disk holds; LocalFault when it refuses."""
        self.waiting = {}
        self._life += 1
        self.starts += 1
        self.is_up = True
        self.doom = ""
        self.changes.start()

    def begin(self, record: NetworkRecord, secrets: EpochSecrets, saw_begin: bool) -> None:
        """Take part in the newest epoch of `record` with what the disk holds of it."""
        founded, store = self.world.founded, self.disk.store
        around = Surroundings(founded.means_in, str, lambda tag: tag in self.waiting, _NoMeter())
        self._life += 1
        epoch = resume_epoch(
            founded.genesis,
            founded.identities[self.index],
            link_of(record.signed),
            secrets,
            store,
            around,
            saw_begin=saw_begin,
            before=self._machine,
        )
        self._machine = epoch.executor.machine
        self.core, self.executor, self.link = epoch.core, epoch.executor, epoch.link
        committee = epoch.core.committee
        self.view = self.world.enter(self, epoch.link, secrets)
        self._machines = [self.world.machines[seat.node] for seat in committee.seats]
        self._seats = {machine: seat for seat, machine in enumerate(self._machines)}
        self.seat = Seat(epoch.core, store, self.random.randbytes(16))
        self.seat.queue_votes(epoch.votes)
        self.executed = store.newest_commit(committee.epoch)
        self.world.checks.durable(self)
        self.epoch = committee.epoch
        self._inbox: deque[Input] = deque()
        self._backlog: deque[CommittedBlocks] = deque()
        self._serving: set[int] = set()
        self._is_writing = self._is_executing = self._has_turn = False
        self._wake_us: int | None = None
        self.world.trace.note(self.world.now_us, self.index, "start", b"%d" % self.executed)
        self.later(0, self._turn)
        self.later(0, self._search_floor)

    def end(self) -> None:
        """Leave the epoch: nothing of it that was under way goes on."""
        self._life += 1

    def crash(self) -> None:
        """Stop at once; only the disk stays."""
        self.is_up = False
        self._machine = None
        self._life += 1
        self.world.trace.note(self.world.now_us, self.index, "crash", self.doom.encode())
        self.world.crashed(self)

    def submit(self, envelope: bytes) -> str:
        """What the API does with a client's envelope: empty, or the refusal's code."""
        try:
            parsed = parse_envelope(envelope)
        except MemberFault as fault:
            return fault.code
        if not self.is_in_epoch:
            return "not-founded"
        if parsed.epoch != self.epoch:
            return "wrong-epoch"
        if self.core.me < 0 or not self.seat.submit([envelope]):
            return "busy"
        self.waiting[parsed.tag] = None
        self.wake()
        return ""

    def hear(self, sender: int, frame: bytes) -> None:
        """A frame arrived from another machine."""
        if not self.is_up:
            return
        try:
            message = self.world.decode(frame)
            if self.world.is_changing and self.changes.hear(sender, message, frame):
                return
            self._dispatch(sender, message)
        except PeerFault as fault:
            self.blame(sender, fault)
        except Crashed:
            self.crash()
        except LocalFault as fault:
            self.stopped = fault
            self.crash()

    def _dispatch(self, sender: int, message: PeerMessage) -> None:
        seat = self._seats[sender]
        heard = self.seat.hear(seat, message)
        if heard.delivery is not None:
            self.world.deliveries += len(heard.delivery.blocks)
            intake = self.view.intake.verify(heard.delivery, self.core.consensus.is_admitted)
            faults = list(intake.faults)
            if faults and self.world.is_changing:
                faults = self.changes.sort_out(sender, heard.delivery.blocks, faults)
            for fault in faults:
                self.blame(sender, fault)
            if intake.is_news:
                self._take(intake)
        if heard.floor is not None:
            self._take(heard.floor)
        if heard.reply is not None:
            self.tell(seat, heard.reply)
        if heard.serve is not None:
            self.serve(sender, heard.serve)

    def serve(self, machine: int, request: FetchBlocks) -> None:
        """Answer a fetch in a while, unless one of this machine is being answered."""
        if machine not in self._serving:
            self._serving.add(machine)
            self.later(_SERVE_US, self._serve, machine, request)

    def tell(self, seat: int | None, message: PeerMessage) -> None:
        """Send a message to a seat, or to all others; observers get our new blocks, too."""
        frame = encode_message(message)
        targets = self._machines if seat is None else (self._machines[seat],)
        for target in targets:
            if target != self.index:
                self.emit(target, message, frame)
        if seat is None and isinstance(message, Blocks):
            for observer in self.executor.keeper.roster.observers:
                self.emit(self.world.machines[observer.node], message, frame)

    def fetch_all(self) -> None:
        """Ask all seats for what they have above our rounds."""
        newest = self.core.consensus.newest_by_author
        above = tuple(reference.round if reference else 0 for reference in newest)
        self.tell(None, FetchBlocks((), above, self.epoch))

    def write_to(self, machine: int, message: PeerMessage) -> None:
        """Send a message to one machine, be it a seat or not."""
        self.emit(machine, message, encode_message(message))

    def emit(self, target: int, message: PeerMessage, frame: bytes) -> None:
        """Let a message out to one other machine."""
        is_sent = self.world.send(self.index, target, frame)
        is_fetch = isinstance(message, FetchBlocks) and self.changes.is_in_epoch
        if is_sent and is_fetch and target in self._seats:
            self.seat.sent(self._seats[target], message)

    def later(self, delay_us: int, action, *arguments) -> None:  # type: ignore[no-untyped-def]
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

    def reach(self, point: str) -> None:
        """Crash here if this is where the machine is doomed to."""
        if self.doom == point:
            raise Crashed

    def _take(self, item: Intake | Input) -> None:
        if len(self._inbox) < limits.INBOX_FRAMES:
            self._inbox.append(item)
        self.wake()

    def wake(self) -> None:
        """Let the core look at what waits for it."""
        if not self._is_writing and not self._has_turn:
            self._has_turn = True
            self.later(0, self._turn)

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
        self.later(self.draw_write_us(), self._written, batch, steps)

    def draw_write_us(self) -> int:
        """How long the next write takes."""
        return self.write_us + below(self.random, self.write_us + 1)

    def _written(self, batch: Batch, steps: list[Step]) -> None:
        self.reach("before-write")
        self.disk.write(batch)
        self.reach("after-write")
        self.seat.saved(batch)
        self._is_writing = False
        self._perform(steps)

    def _perform(self, steps: list[Step]) -> None:
        checks = self.world.checks
        for step in steps:
            for seat, message in step.send:
                self.reach("half-sent") if below(self.random, 2) else None
                self.tell(seat, message)
            for blamed, fault in step.faults:
                if blamed is not None:
                    self.blame(self._machines[blamed], fault)
            for pair in step.evidence:
                checks.evidence(self, self._machines[pair.author])
                self.changes.accuse(pair)
            for commit in step.commits:
                checks.committed(self, commit)
                self.world.load.ordered(self, commit)
                self._backlog.append(commit)
        checks.bounds(self)
        self._execute()
        self._schedule(steps[-1].wake_ms)

    def _schedule(self, wake_ms: int | None) -> None:
        if self._inbox:
            self.wake()
        elif wake_ms is not None:
            delay_us = max(1, wake_ms - self.clock_ms()) * 1000
            self._wake_us = self.world.now_us + delay_us
            self.later(delay_us, self._alarm, self._wake_us)

    def _alarm(self, due_us: int) -> None:
        if self._wake_us == due_us:
            self.wake()

    def _execute(self) -> None:
        if self._is_executing or not self._backlog:
            return
        self._is_executing = True
        size = min(len(self._backlog), _COMMITS_PER_TURN)
        commits = [self._backlog.popleft() for _ in range(size)]
        executed = self.executor.execute(commits)
        self.later(_EXECUTE_US + self.draw_write_us(), self._executed, executed)

    def _executed(self, executed: Executed) -> None:
        self.reach("before-state")
        closing = {CLOSING: codec.encode(executed.closed)} if executed.closed else {}
        batch = Batch(
            epoch=self.epoch,
            commits=executed.records,
            buckets=executed.buckets,
            meta=executed.receipts | closing,
        )
        self.disk.write(batch)
        self.executed = executed.records[-1][0]
        self.executor.machine.stored(self.epoch, self.executed)
        self.world.checks.executed(self, executed)
        self.reach("after-state")
        self.answer(executed)
        for seat, fault in executed.faults:
            self.blame(self._machines[seat], fault)
        if executed.closed is not None:
            self.changes.close(executed.closed)
            return
        if executed.votes:
            self.seat.queue_votes(executed.votes)
            self.wake()
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

    def _serve(self, machine: int, request: FetchBlocks) -> None:
        self._serving.discard(machine)
        self.write_to(machine, FetchedBlocks(tuple(self.seat.serve(request))))

    def _search_floor(self) -> None:
        for peer, request in self.seat.floor_requests():
            self.tell(peer, request)
        if self.core.search is not None:
            self.wake()
            self.later(_FLOOR_INTERVAL_US, self._search_floor)

    def blame(self, machine: int, fault: Fault) -> None:
        """Say that another machine's node is at fault."""
        self.world.checks.blamed(self, machine, fault)
