"""Real nodes in this process: founded over loopback, stopped, and opened again from their disks."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import trio

from ccp2p.client.connection import fetch_offer
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.model.errors import Fault, fault_in
from ccp2p.model.genesis import Parameters
from ccp2p.model.member_protocol import Welcome
from ccp2p.model.ticket import Ticket
from ccp2p.node import setup as setups
from ccp2p.node.floor import Floor
from ccp2p.node.home import Listen
from ccp2p.node.node import Node, Reports, unix_ms
from ccp2p.node.setup import Founding, NodeSetup, Wanted

MIB = 1024 * 1024
PATIENCE_S = 60
TIMEOUT_MS = 40_000
# Short chains are quick to walk, and short idle rounds let a quiet network come to its end.
PARAMETERS = Parameters(coin_length=1 << 14, min_round_delay_ms=20, max_round_delay_ms=100)


async def welcome_of(ticket: Ticket) -> Welcome:
    """What the node of a node ticket says."""
    (address, *_) = ticket.addresses
    return (await fetch_offer(address, ticket.network, allow_simulated=True)).welcome


class Host:
    """One node and what became of it. `fault` is why it ended by itself, or None."""

    def __init__(self, setup: NodeSetup) -> None:
        self.progress: list[str] = []
        self.floor: Floor | None = None
        self.fault: Fault | None = None
        self.ended = trio.Event()
        self.listening = trio.Event()
        self.ready = trio.Event()
        self.voting = trio.Event()
        self._scope = trio.CancelScope()
        reports = Reports(
            listening=lambda _: self.listening.set(),
            progress=self.progress.append,
            ready=lambda _: self.ready.set(),
            floor=self._found_floor,
            epoch=lambda _epoch, _seats: None,
        )
        self.node = Node(setup, reports)

    @property
    def commit(self) -> int:
        """The newest commit that it executed."""
        replica = self.node._replica
        return replica.executed if replica else 0

    @property
    def has_voted(self) -> bool:
        """Whether it proposed; a node that came late to the founding first waits three rounds."""
        replica = self.node._replica
        return replica is not None and replica.core.consensus.own_newest is not None

    @property
    def address(self) -> str:
        """Where members reach it."""
        return self.node.listener.addresses[0]

    def _found_floor(self, floor: Floor) -> None:
        self.floor = floor
        self.voting.set()

    async def run(self) -> None:
        """Run the node; a fault ends it and is kept."""
        try:
            with self._scope:
                await self.node.run()
        except (Fault, BaseExceptionGroup) as error:
            self.fault = fault_in(error)
            if self.fault is None:
                raise
        finally:
            for event in (self.ended, self.listening, self.ready, self.voting):
                event.set()

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self._scope.cancel()
        await self.ended.wait()


@dataclass
class Stage:
    """Some hosts of one network, and the nursery they run in."""

    nursery: trio.Nursery
    directory: Path
    hosts: list[Host] = field(default_factory=list)

    def wanted(self, number: int, map_bytes: int = 64 * MIB) -> Wanted:
        """What node `number` is started with."""
        directory = self.directory / f"node-{number}"
        return Wanted(directory, Listen(), f"sim-{'abcd'[number % 4]}", map_bytes)

    def ticket(self) -> Ticket:
        """The member ticket."""
        ticket = self.hosts[0].node.tickets()[0]
        assert ticket is not None
        return ticket

    async def launch(self, setup: NodeSetup) -> Host:
        """Run a node; returns when it listens."""
        host = Host(setup)
        self.nursery.start_soon(host.run)
        with trio.fail_after(PATIENCE_S):
            await host.listening.wait()
        return host

    async def found(
        self,
        count: int,
        *,
        app: Literal["rooms", "kv"] = "rooms",
        parameters: Parameters = PARAMETERS,
        map_bytes: int = 64 * MIB,
        policy: str | None = None,
        governors: tuple[bytes, ...] = (),
        threshold: int = 0,
        kind: Literal["group", "mesh"] = "group",
    ) -> None:
        """Found a network of `count` nodes and wait until all vote."""
        founding = Founding(
            "stage", app, count, parameters, policy, governors, threshold, kind=kind
        )
        setup = setups.found(self.wanted(0, map_bytes), founding, unix_ms())
        self.hosts.append(await self.launch(setup))
        ticket = self.hosts[0].node.tickets()[1]
        for number in range(1, count):
            assert ticket is not None
            welcome = await welcome_of(ticket)
            setup = setups.join(self.wanted(number, map_bytes), ticket, welcome)
            self.hosts.append(await self.launch(setup))
        await self.all_vote()

    async def reopen(
        self, number: int, change: Callable[[NodeSetup], NodeSetup] = lambda setup: setup
    ) -> Host:
        """Start a stopped node again from its disk."""
        setup = await trio.to_thread.run_sync(setups.reopen, self.wanted(number))
        host = self.hosts[number] = await self.launch(change(setup))
        return host

    async def all_vote(self) -> None:
        """Wait until every host has voted; a host that failed says so."""
        with trio.fail_after(PATIENCE_S):
            for host in self.hosts:
                await host.voting.wait()
                assert host.fault is None
                while not host.has_voted:
                    await trio.sleep(0.02)

    @asynccontextmanager
    async def client(self, *, every_node: bool = False) -> AsyncIterator[NetworkClient]:
        """A member's connections; to one node unless told otherwise."""
        ticket = self.ticket()
        async with open_network(ticket, allow_simulated=True, every_node=every_node) as client:
            yield client


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """A place for nodes in `directory`; all of them end with it."""
    async with trio.open_nursery() as nursery:
        yield Stage(nursery, directory)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def network(directory: Path, count: int = 4, **options: object) -> AsyncIterator[Stage]:
    """A founded network of `count` voting nodes."""
    async with stage(directory) as built:
        await built.found(count, **options)
        yield built


async def eventually(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait until `condition()` holds."""
    with trio.fail_after(timeout_s):
        while not condition():
            await trio.sleep(0.02)
