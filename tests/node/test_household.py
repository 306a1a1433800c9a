"""Real networks in one process: what one of them does to the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
import trio

from ccp2p.client import kv
from ccp2p.client.network import open_network
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.envelope import Envelope
from ccp2p.model.errors import Fault, PeerFault
from ccp2p.model.genesis import network_id
from ccp2p.model.member_protocol import (
    GetStatus,
    Hello,
    Refused,
    Submit,
    Welcome,
    decode_node_message,
    encode_message,
)
from ccp2p.model.ticket import Ticket
from ccp2p.network import FrameStream, connect
from ccp2p.node import setup as setups
from ccp2p.node.home import Listen, NodeHome
from ccp2p.node.household import Household, open_all
from ccp2p.node.node import Node, Reports, unix_ms
from ccp2p.node.premises import Premises
from ccp2p.node.quota import Quota, hosted_quota
from ccp2p.node.setup import Founding, NodeSetup, Wanted
from ccp2p.node.turns import Claim, Turns
from tests.node.stage import MIB, PARAMETERS, PATIENCE_S, TIMEOUT_MS, eventually, network
from tests.node.test_at_rest import GROUP

FLOODERS = 12


class Recorded(Turns):
    """Turns that write down who asked and who was served, in order; each costs the same."""

    def __init__(self) -> None:
        super().__init__(1, yields=True, clock_ns=count().__next__)
        self.served: list[Claim] = []
        self.waits: dict[Claim, list[int]] = {}

    async def take(self, claim: Claim) -> None:
        """Note how many others were served between the wish and the turn."""
        asked_at = len(self.served)
        await super().take(claim)
        others = [one for one in self.served[asked_at:] if one is not claim]
        self.waits.setdefault(claim, []).append(len(others))
        self.served.append(claim)


@dataclass
class Home:
    """A folder with two networks, and the process that runs them."""

    wanted: Wanted
    turns: Recorded = field(default_factory=Recorded)
    nodes: dict[str, Node] = field(default_factory=dict)
    ready: dict[str, trio.Event] = field(default_factory=dict)
    ended: dict[bytes, Fault | None] = field(default_factory=dict)
    is_announced: bool = False

    def found(self, name: str, kind: Literal["group", "mesh"] = "group") -> NodeSetup:
        founding = Founding(name, "kv", 1, PARAMETERS, kind=kind)
        self.ready[name] = trio.Event()
        return setups.found(self.wanted, founding, unix_ms())

    def build(self, setup: NodeSetup, premises: Premises) -> Node:
        name = setup.genesis.name
        premises._loop = self.turns
        reports = Reports(
            listening=lambda _: None,
            progress=lambda _: None,
            ready=lambda _: self.ready[name].set(),
            floor=lambda _: None,
            epoch=lambda _epoch, _seats: None,
        )
        self.ready.setdefault(name, trio.Event())
        self.nodes[name] = Node(setup, reports, is_announced=self.is_announced, premises=premises)
        return self.nodes[name]

    @asynccontextmanager
    async def running(self, *bootstrap: str) -> AsyncIterator[None]:
        """The process, with all networks ready that were founded here."""
        household = Household(
            self.wanted,
            self.build,
            self.ended.__setitem__,
            bootstrap=bootstrap,
            looks_around=True,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(household.run, open_all(self.wanted, self.ended.__setitem__))
            with trio.fail_after(PATIENCE_S):
                for event in tuple(self.ready.values()):
                    await event.wait()
            yield
            nursery.cancel_scope.cancel()

    def address(self) -> str:
        return next(iter(self.nodes.values())).listener.addresses[0]

    async def put(self, name: str, count: int) -> None:
        """Events of a member, one after another."""
        ticket = self.nodes[name].tickets()[0]
        assert ticket is not None
        async with open_network(ticket, allow_simulated=True) as client:
            session = client.session(SigningKey(b"m" * 32))
            await session.open(TIMEOUT_MS)
            for number in range(count):
                await kv.put(session, bytes([number]), b"value", TIMEOUT_MS)


def home(tmp_path: Path) -> Home:
    return Home(Wanted(tmp_path / "node", Listen(), "sim-a", 64 * MIB))


def garbage(number: int, size: int = 300) -> bytes:
    """An envelope that nobody's session claims; a node has to order it to find out."""
    return codec.encode(Envelope(0, number.to_bytes(16, "big"), b"", bytes(size)))


async def flood(address: str, network: bytes, number: int) -> None:
    """As much as one connection takes, frame by frame, answers unread but for the transport."""
    async with connect(address, timeout_ms=15_000) as stream:
        await stream.send(encode_message(Hello(b"n" * 32, b"", network)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallow, stream)
            at = number << 32
            while True:
                batch = tuple(garbage(at + one) for one in range(20))
                at += len(batch)
                await stream.send(*[encode_message(Submit(batch))] * 5)


async def swallow(stream: FrameStream) -> None:
    while True:
        await stream.receive()


async def test_a_flood_in_one_network_does_not_hold_up_the_other(tmp_path: Path):
    built = home(tmp_path)
    flooded = built.found("flooded")
    built.found("quiet")
    async with built.running(), trio.open_nursery() as nursery:
        for number in range(FLOODERS):
            nursery.start_soon(flood, built.address(), flooded.network, number)
        theirs = built.nodes["flooded"]._share._loop
        ours = built.nodes["quiet"]._share._loop
        await eventually(lambda: len(theirs.waiting) >= FLOODERS // 2)
        built.turns.waits.clear()
        begun = len(built.turns.served)
        await built.put("quiet", 5)
        served = built.turns.served[begun:]
        nursery.cancel_scope.cancel()
    assert served.count(theirs) > 50, "the flood was none"
    # A turn that runs, and one that was handed out as ours was asked for.
    assert max(built.turns.waits[ours]) <= 2


async def test_a_network_that_fills_its_share_of_the_disk_stops_alone(tmp_path: Path):
    built = home(tmp_path)
    hosted = built.found("hosted")
    built.found("own")
    NodeHome(built.wanted.directory).keep_quota(hosted.network, Quota(storage_bytes=MIB))
    async with built.running():
        ticket = built.nodes["hosted"].tickets()[0]
        assert ticket is not None
        async with (
            open_network(ticket, allow_simulated=True) as client,
            trio.open_nursery() as tasks,
        ):
            tasks.start_soon(fill, client.session(SigningKey(b"f" * 32)))
            await eventually(lambda: hosted.network in built.ended)
            tasks.cancel_scope.cancel()
        fault = built.ended[hosted.network]
        assert fault is not None
        assert fault.code == "disk-full"
        await built.put("own", 2)
        async with connect(built.address(), timeout_ms=15_000) as stream:
            await stream.send(encode_message(Hello(b"n" * 32, b"", hosted.network)))
            answer = decode_node_message(await stream.receive(), PeerFault)
        assert isinstance(answer, Refused)
        assert answer.refusals[0].code == "no-network"


async def test_a_disk_that_waits_for_its_secret_holds_up_no_other_network(tmp_path: Path):
    async with network(tmp_path, 2, **GROUP) as stage:
        group = stage.hosts[0].node.setup.network
        for host in stage.hosts:
            await host.stop()
        built = Home(stage.wanted(0))
        built.found("own")
        async with built.running():
            await built.put("own", 2)
            waiting = built.nodes["stage"]
            assert waiting.status(GetStatus(1, 0)).waits == "secret"
            async with connect(built.address(), timeout_ms=15_000) as stream:
                await stream.send(encode_message(Hello(b"n" * 32, b"", group)))
                welcome = decode_node_message(await stream.receive(), PeerFault)
            assert isinstance(welcome, Welcome), "governors have to reach it with their shares"
            await stage.reopen(1)
            assert not built.ready["stage"].is_set()
        assert not built.ended


async def fill(session: MemberSession) -> None:
    with suppress(Fault):
        await session.open(TIMEOUT_MS)
        for number in range(10_000):
            await kv.put(session, number.to_bytes(8, "big"), bytes(3000), TIMEOUT_MS)


async def test_members_submit_no_more_than_the_quota_lets_them(tmp_path: Path):
    built = home(tmp_path)
    setup = built.found("hosted")
    built.found("own")
    NodeHome(built.wanted.directory).keep_quota(setup.network, Quota(events_per_s=10))
    async with built.running(), connect(built.address(), timeout_ms=15_000) as stream:
        await stream.send(encode_message(Hello(b"n" * 32, b"", setup.network)))
        await stream.receive()
        await stream.send(encode_message(Submit(tuple(garbage(one) for one in range(500)))))
        with trio.fail_after(PATIENCE_S):
            refused = decode_node_message(await stream.receive(), PeerFault)
        assert isinstance(refused, Refused)
        busy = [one for one in refused.refusals if one.code == "busy"]
        assert len(busy) == 490


async def test_nobody_learns_of_a_network_whose_id_he_does_not_know(tmp_path: Path):
    built = home(tmp_path)
    built.found("one")
    built.found("two")
    async with built.running():
        for asked in (b"", b"x" * 32):
            async with connect(built.address(), timeout_ms=15_000) as stream:
                await stream.send(encode_message(Hello(b"n" * 32, b"", asked)))
                answer = decode_node_message(await stream.receive(), PeerFault)
            assert isinstance(answer, Refused)
            assert answer.refusals[0].tag == asked


async def test_a_placed_group_is_founded_whichever_of_its_nodes_takes_it_up_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ccp2p.node.acquaintances._AGAIN_S", 0.1)
    first = Home(Wanted(tmp_path / "first", Listen(), "sim-a", 64 * MIB))
    second = Home(Wanted(tmp_path / "second", Listen(), "sim-b", 64 * MIB))
    for built in (first, second):
        built.found("own")
    group = Founding("placed", "kv", 2, PARAMETERS, standing_invite=False)
    drawn = setups.draft(group, b"", unix_ms())
    async with first.running(), second.running():
        genesis = drawn.genesis(first.nodes["own"].setup.identity.node)
        network = network_id(genesis)
        reached = first.nodes["own"].peers.addresses
        ticket = Ticket(network, "placed", "node", True, b"", reached, drawn.node_invite)
        for built, led_by in ((second, ticket), (first, None)):
            NodeHome(built.wanted.directory).keep_quota(network, hosted_quota(16, 10))
            setups.host(built.wanted, genesis, drawn.node_invite, led_by)
            await eventually(lambda built=built: "placed" in built.nodes)
            await trio.sleep(0.5)  # the second has asked in vain by now
        for built in (first, second):
            with trio.fail_after(PATIENCE_S):
                await built.ready["placed"].wait()
            assert built.ended == {}


async def test_a_placed_group_whose_other_nodes_do_not_come_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "PLACEMENT_MS", 300)
    built = home(tmp_path)
    built.found("own")
    folder = NodeHome(built.wanted.directory)
    async with built.running():
        group = Founding("placed", "kv", 2, PARAMETERS, standing_invite=False)
        drawn = setups.draft(group, b"", unix_ms())
        genesis = drawn.genesis(built.nodes["own"].setup.identity.node)
        network = network_id(genesis)
        folder.keep_quota(network, hosted_quota(16, 10))
        setups.host(built.wanted, genesis, drawn.node_invite, None)  # taken up while it runs
        await eventually(lambda: network in built.ended)
        fault = built.ended[network]
        assert fault is not None
        assert fault.code == "not-founded"
        assert (folder.hosted(), folder.prepared()) == ([], [])
        await built.put("own", 1)
