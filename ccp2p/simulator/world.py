"""The world: virtual time, machines, links, members and the judge, all from one seed.

Events run one after another in the order of their times; what is scheduled first runs first. Each
part draws from a generator of its own, so that a change to one does not shift the others.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from ccp2p.consensus.validity import Rules
from ccp2p.membership.records import Link
from ccp2p.model.block import VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.errors import LocalFault
from ccp2p.node.messages import Blocks, FetchedBlocks, FloorReply, PeerMessage, decode_message
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.simulator.checks import Checks
from ccp2p.simulator.founding import Founded
from ccp2p.simulator.host import Host
from ccp2p.simulator.intake import SharedIntake
from ccp2p.simulator.links import Latencies, Links
from ccp2p.simulator.load import Load
from ccp2p.simulator.trace import Trace

_DECODED = 20_000  # frames whose decoded form is kept, as one is sent to many


@dataclass(frozen=True, slots=True)
class View:
    """One epoch as nobody in it sees it: its secrets, and every block that anybody was sent."""

    link: Link
    committee: Committee
    secrets: EpochSecrets
    intake: SharedIntake


class World:
    """A founded network of real seats. Times in microseconds since the start.

    `views` are the epochs so far. `is_changing`: its committee may change. `unmet()` says what
    must have happened at the end and did not, or nothing; `may_stop`: nothing need have happened.
    """

    load: Load

    def __init__(self, founded: Founded, seed: int, latencies: Latencies, trace: Trace) -> None:
        self.founded = founded
        self.seed = seed
        self.trace = trace
        self.now_us = 0
        self.deliveries = 0  # blocks that reached a node which runs, again or for the first time
        self.links = Links(latencies, self.generator("links"))
        self.machines = {one.node: index for index, one in enumerate(founded.identities)}
        self.views: list[View] = []
        self.is_changing = False
        self.unmet: Callable[[], str] = str
        self.may_stop = False
        self.intruders: dict[bytes, int] = {}  # machines by node that must never get a place
        self._see(founded.link, founded.secrets)
        self.checks = Checks(self)
        self.hosts: list[Host] = []
        self.on_crash: Callable[[Host], None] = _stay_down
        self._events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0
        self._decoded: dict[bytes, PeerMessage] = {}
        self._shown: dict[bytes, None] = {}

    def generator(self, part: str) -> Random:
        """The source of chance of one part of this world."""
        return Random(f"{part}/{self.seed}")

    @property
    def newest(self) -> View:
        """The newest epoch that any honest node began."""
        return self.views[-1]

    def enter(self, host: Host, link: Link, secrets: EpochSecrets) -> View:
        """A node begins an epoch: the same one as all others."""
        self.checks.begun(host, link, secrets)
        if link.record.epoch == len(self.views):
            self._see(link, secrets)
        return self.views[link.record.epoch]

    def secrets_of(self, link: Link, secret: bytes) -> EpochSecrets:
        """The secrets of an epoch, computed once for all machines."""
        for view in self.views:
            if view.link.digest == link.digest and view.secrets.secret == secret:
                return view.secrets
        return EpochSecrets(secret, self.founded.genesis.parameters.coin_length)

    def _see(self, link: Link, secrets: EpochSecrets) -> None:
        committee = link.record.committee()
        rules = Rules.of(self.founded.network, committee, self.founded.genesis.parameters)
        self.views.append(View(link, committee, secrets, SharedIntake(rules, committee)))

    def later(self, delay_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Run `action(*arguments)` after `delay_us`."""
        self._scheduled += 1
        event = (self.now_us + delay_us, self._scheduled, action, arguments)
        heapq.heappush(self._events, event)

    def run(self, until_us: int, is_done: Callable[[], bool] | None = None) -> None:
        """Let time pass to `until_us`, or until `is_done`, which is asked every 100 ms."""
        ask_us = self.now_us + 100_000
        while self._events and self._events[0][0] <= until_us:
            self.now_us, _, action, arguments = heapq.heappop(self._events)
            if is_done is not None and self.now_us >= ask_us:
                ask_us = self.now_us + 100_000
                if is_done():
                    return
            action(*arguments)
        self.now_us = until_us

    def start(self, host: Host) -> None:
        """Start a node; one that refuses its own disk is a breach."""
        try:
            host.start()
        except LocalFault as fault:
            host.stopped = fault
            self.checks.stopped(host)

    def crashed(self, host: Host) -> None:
        """A machine has just stopped."""
        self.checks.stopped(host)
        self.on_crash(host)

    def send(self, sender: int, receiver: int, frame: bytes) -> bool:
        """A frame leaves a machine; False when its line has no room for it."""
        if self.hosts[sender].is_honest:
            self._look_at(sender, frame)
        starts = self.hosts[receiver].starts
        arrivals = self.links.arrivals(self.now_us, sender, receiver, frame)
        if arrivals is None:
            return False
        for at_us in arrivals:
            self.later(at_us - self.now_us, self._arrive, sender, receiver, starts, frame)
        return True

    def decode(self, frame: bytes) -> PeerMessage:
        """A frame's message, or PeerFault."""
        message = self._decoded.get(frame)
        if message is None:
            if len(self._decoded) >= _DECODED:
                self._decoded.clear()
            message = self._decoded[frame] = decode_message(frame)
        return message

    def _arrive(self, sender: int, receiver: int, starts: int, frame: bytes) -> None:
        if self.hosts[receiver].starts != starts:
            return  # the connection ended with the process that it led to
        self.trace.frame(self.now_us, sender, receiver, frame)
        self.hosts[receiver].hear(sender, frame)

    def _look_at(self, sender: int, frame: bytes) -> None:
        """Note which blocks of its own an honest node lets out."""
        if frame in self._shown:
            return
        if len(self._shown) >= _DECODED:
            self._shown.clear()
        self._shown[frame] = None
        message = self.decode(frame)
        shown: tuple[bytes, ...] = ()
        if isinstance(message, Blocks | FetchedBlocks):
            shown = message.blocks
        elif isinstance(message, FloorReply):
            shown = tuple(block for block in (message.own, message.yours) if block)
        node = self.founded.identities[sender].node
        for data in shown:
            for view in self.views:
                block = view.intake.look(data)
                if isinstance(block, VerifiedBlock):
                    if view.committee.seats[block.header.author].node == node:
                        self.checks.sent(self.hosts[sender], block)
                    break


def _stay_down(_: Host) -> None:
    """What follows a crash unless the scenario says otherwise."""
