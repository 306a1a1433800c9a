"""Vendor caps on real nodes of mixed simulated vendors: who is let in, and a vendor that breaks.

All nodes of one vendor are processes in hostile hands (`traitor`). Once they turn they sign two or
three blocks a round, and show some of them to these nodes and others to those.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import combinations
from pathlib import Path

import pytest
import trio

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.policy import simulated_policy
from ccp2p.client import rooms
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.process import NodeProcess
from ccp2p.model import codec, limits
from ccp2p.model.epoch import parse_record
from ccp2p.node import setup as setups
from ccp2p.node.executor import CommitRecord
from ccp2p.node.home import Listen
from ccp2p.node.setup import Wanted
from tests.e2e.life import PATIENCE_S, TIMEOUT_MS, Life
from tests.node_log import unexpected_lines

VENDORS = ("sim-b", "sim-c", "sim-d", "sim-a", "sim-a")
HONEST = 3
"""The first nodes stay honest; the others are of the vendor that breaks."""
STILL_S = 15
"""A network that has acknowledged nothing for so long stands still."""
POLL_S = 0.05


class Speaker:
    """A member who talks by way of one node, and remembers what was acknowledged, and where."""

    def __init__(self, client: NetworkClient, session: MemberSession, name: str) -> None:
        self.node = client.connections[0]
        self.session = session
        self.name = name
        self.said: dict[int, str] = {}
        self.count = 0
        self.is_silent = False
        self.scope = trio.CancelScope()
        self._ended = trio.Event()

    async def speak(self) -> None:
        """One message after the other; the machine has more to do."""
        with self.scope:
            while not self.is_silent:
                text = f"{self.name} {self.count}"
                self.count += 1
                position = await rooms.ask_post(self.session, "lobby", text, TIMEOUT_MS)
                self.said[position] = text
                await trio.sleep(0.3)
        self._ended.set()

    async def ends(self) -> None:
        """Say no more; all that was said is acknowledged, and this node shows it."""
        self.is_silent = True
        with trio.fail_after(PATIENCE_S):
            await self._ended.wait()
            await self.session.barrier(TIMEOUT_MS)
        assert len(self.said) == self.count

    async def told(self) -> list[tuple[int, str]]:
        """The lobby, as this speaker's node tells it: position and text."""
        via = self.node
        with trio.fail_after(PATIENCE_S):
            return [
                (m.position, m.text) async for m in rooms.messages(self.session, "lobby", via=via)
            ]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition()` holds."""
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(POLL_S)


async def go_on(speakers: Sequence[Speaker], count: int = 5) -> None:
    """Wait until every speaker has `count` more messages acknowledged."""
    wanted = [len(one.said) + count for one in speakers]
    await until(lambda: all(len(s.said) >= n for s, n in zip(speakers, wanted, strict=True)))


async def go_on_or_stand_still(speakers: Sequence[Speaker], count: int) -> bool:
    """Wait for `count` more acknowledged messages of each, or until there are no more."""
    wanted = [len(one.said) + count for one in speakers]
    said, patience_s = -1, 0.0
    while any(len(s.said) < n for s, n in zip(speakers, wanted, strict=True)):
        if (now_said := sum(len(one.said) for one in speakers)) != said:
            said, patience_s = now_said, trio.current_time() + STILL_S
        if trio.current_time() > patience_s:
            return False
        await trio.sleep(POLL_S)
    return True


async def enter(life: Life, number: int, ticket: str, event: str) -> NodeProcess:
    """Start a node that enters by this ticket: the program itself, or one that will turn."""
    traitor = ("tests.e2e.traitor", str(number), "Equivocator,Replayer")
    program = ("ccp2p",) if number < HONEST else traitor
    return await life.start(number, "--join", "-", stdin=ticket, event=event, program=program)


async def found(life: Life, folder: Path, cap: str, count: int) -> str:
    """A network of `count`, which caps vendors; a ticket for more nodes."""
    policy = folder / "policy.toml"
    policy.write_text(f'{simulated_policy(measurement())}[caps]\nvendor = "{cap}"\n')
    size = ("--founders", str(count), "--coin-length", "65536", "--policy", str(policy))
    first = await life.start(0, *size, event="founding")
    ticket = str(first.reports("founding")[0]["node_ticket"])
    for number in range(1, count):
        await enter(life, number, ticket, event="")
    for node in life.nodes:
        await node.wait_for("ready")
    life.note(f"founded by {count}")
    return ticket


@asynccontextmanager
async def speakers_at(life: Life) -> AsyncIterator[list[Speaker]]:
    """A member at each honest node, who talks from now on."""
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        made: list[Speaker] = []
        for number, node in enumerate(life.nodes[:HONEST]):
            opened = open_network(life.ticket_of(node), allow_simulated=True)
            client = await stack.enter_async_context(opened)
            session = client.session(SigningKey(bytes([number + 1]) * 32))
            await session.open(TIMEOUT_MS)
            name = f"member {number}"
            body = rooms.join("lobby", name) if made else rooms.create("lobby", False, name)
            await session.submit(body, TIMEOUT_MS)
            made.append(Speaker(client, session, name))
        for speaker in made:
            nursery.start_soon(speaker.speak)
        yield made
        nursery.cancel_scope.cancel()


def turn(nodes: Sequence[NodeProcess]) -> None:
    """From now on these nodes are in hostile hands."""
    for node in nodes:
        os.kill(node.pid, signal.SIGUSR1)


async def assert_one_story(speakers: Sequence[Speaker]) -> None:
    """Every node tells everything that was acknowledged, once and where that was said to be."""
    first, *others = [await one.told() for one in speakers]
    assert all(other == first for other in others)
    assert dict(first) == {at: text for one in speakers for at, text in one.said.items()}
    assert [position for position, _ in first] == list(range(len(first)))
    assert len(first) == sum(one.count for one in speakers)


def log_of(node: NodeProcess, vendor: str) -> dict[tuple[int, int], CommitRecord]:
    """What a node that has ended executed, by epoch and commit, as its disk has it."""
    setup = setups.reopen(Wanted(node.directory, Listen(), vendor, limits.DEFAULT_MAP_BYTES))
    assert setup.store is not None
    assert setup.record is not None
    try:
        return {
            (epoch, index): codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES)
            for epoch in range(parse_record(setup.record.signed.record).epoch + 1)
            for index, data in setup.store.commits(epoch, 1, setup.store.newest_commit(epoch))
        }
    finally:
        setup.store.close()


def assert_no_fork(life: Life) -> None:
    """The honest nodes' logs are equal as far as both go, with the same roots; none complains."""
    logs = [log_of(life.nodes[number], VENDORS[number]) for number in range(HONEST)]
    for one, other in combinations(logs, 2):
        common = one.keys() & other.keys()
        assert len(common) > 100
        assert all(one[key] == other[key] for key in common)
    life.note(f"the same commits on all: {len(logs[0].keys() & logs[1].keys() & logs[2].keys())}")
    for node in life.nodes[:HONEST]:
        text = node.log_path.read_text()
        assert "equivocation" in text
        assert "stops so as not to serve" not in text
        assert not unexpected_lines(text)


async def is_kept_out(life: Life, speakers: Sequence[Speaker], ticket: str) -> None:
    """A second node of one vendor follows without a seat; it and all others are told why."""
    founders = [node.node for node in life.nodes]
    joiner = await enter(life, HONEST + 1, ticket, event="ready")
    words = "vendor-cap: vendor sim-a would hold 2 of 5 seats; the policy's cap 'f' allows 1"
    told = f"admitted as an observer; no seat for now: {words}"
    assert told in joiner.log_path.read_text()
    for node in life.nodes:
        await until(lambda: f'reason="{words}"' in node.log_path.read_text())  # noqa: B023
    await go_on(speakers)
    for speaker in speakers:
        status = await speaker.node.status()
        assert sorted(seat.node for seat in status.seats) == sorted(founders)
        assert (status.epoch, status.observers) == (0, (joiner.node,))
    life.note("a second node of one vendor is kept out")


@pytest.mark.timeout(240)
async def test_under_f_a_vendor_gets_f_seats_and_its_break_stops_nothing(tmp_path: Path):
    """Once a seat is expelled, the vendor's other node may have it, and is no better."""
    async with trio.open_nursery() as nursery:
        life = Life(nursery, tmp_path, VENDORS)
        ticket = await found(life, tmp_path, "f", HONEST + 1)
        async with speakers_at(life) as speakers:
            await is_kept_out(life, speakers, ticket)
            turn(life.nodes[HONEST:])
            await go_on(speakers)
            life.note("the vendor has turned, and people go on")
            await life.has_seats(HONEST, life.nodes[:HONEST])
            life.note("its nodes are expelled")
            await go_on(speakers)
            for speaker in speakers:
                await speaker.ends()
            await assert_one_story(speakers)
            life.note(f"{sum(one.count for one in speakers)} messages")
        for node in life.nodes[:HONEST]:
            await node.stop()
        nursery.cancel_scope.cancel()
    assert_no_fork(life)


@pytest.mark.timeout(240)
async def test_under_no_fork_a_vendor_has_more_than_f_seats_and_its_break_forks_nothing(
    tmp_path: Path,
):
    """Two of five seats, where one may fail: the network may stop when both turn.

    None is expelled: no quorum is without one of them, and they have no part in the change.
    """
    async with trio.open_nursery() as nursery:
        life = Life(nursery, tmp_path, VENDORS)
        await found(life, tmp_path, "no-fork", len(VENDORS))
        async with speakers_at(life) as speakers:
            await go_on(speakers)
            turn(life.nodes[HONEST:])
            goes_on = await go_on_or_stand_still(speakers, 20)
            life.note("the vendor has turned, and people " + ("go on" if goes_on else "wait"))
            for node in life.nodes[HONEST:]:
                node.kill()
            assert not await go_on_or_stand_still(speakers, 20)
            life.note("the vendor is gone, and nothing is acknowledged without a quorum")
            for speaker in speakers:
                speaker.scope.cancel()
            await assert_prefixes(speakers)
        for node in life.nodes[:HONEST]:
            await node.stop()
        nursery.cancel_scope.cancel()
    assert_no_fork(life)


async def assert_prefixes(speakers: Sequence[Speaker]) -> None:
    """All nodes tell the same as far as they are, with all that was acknowledged by way of them."""
    stories = [await one.told() for one in speakers]
    longest = max(stories, key=len)
    said: dict[int, str] = {}
    for speaker, story in zip(speakers, stories, strict=True):
        assert story == longest[: len(story)]
        assert speaker.said.items() <= dict(story).items()
        assert not said.keys() & speaker.said.keys()
        said |= speaker.said
    assert said.items() <= dict(longest).items()
    assert len({text for _, text in longest}) == len(longest)
