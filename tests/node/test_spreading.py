"""Real nodes without seats: they follow by announcements, also where no seat is connected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.policy import simulated_policy
from ccp2p.client import rooms
from ccp2p.gossip.commits import announce
from ccp2p.gossip.messages import Announce
from ccp2p.model import limits
from ccp2p.model.genesis import Parameters
from ccp2p.model.member_protocol import GetPeers
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    decode_message,
    encode_message,
)
from tests.node.stage import TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_epochs import epoch_of, join
from tests.node.test_lifecycle import ann_in_lobby, assert_same_state

PARAMETERS = Parameters(coin_length=1 << 14, min_round_delay_ms=20, max_round_delay_ms=100)
# Of two seats one vendor may hold one, so whoever has the first seat's vendor only observes.
POLICY = simulated_policy(measurement()) + '[caps]\nvendor = "no-fork"\n'
SAME_VENDOR = (4, 8)


def connected(host: Host) -> set[bytes]:
    return set(host.node.peers.connections())


def key(host: Host) -> bytes:
    return host.node.setup.identity.node


async def isolate(host: Host, but: Host) -> None:
    """Cut all of a host's connections but one, for longer than a test takes."""
    for node in connected(host) - {key(but)}:
        host.node.peers.bar(node)
    await eventually(lambda: connected(host) == {key(but)})


@asynccontextmanager
async def triangle(directory: Path, parameters: Parameters = PARAMETERS) -> AsyncIterator[Stage]:
    """A seat and two nodes that follow, all connected."""
    async with network(directory, 1, parameters=parameters, policy=POLICY) as stage:
        near, far = [await join(stage, number) for number in SAME_VENDOR]
        await eventually(lambda: connected(far) == {key(stage.hosts[0]), key(near)})
        await eventually(lambda: near.commit > 0 and far.commit > 0)
        yield stage
        assert [host.fault for host in stage.hosts] == [None] * 3


@asynccontextmanager
async def line(directory: Path, parameters: Parameters = PARAMETERS) -> AsyncIterator[Stage]:
    """A seat, a node that follows it, and a third that is connected to the second alone."""
    async with triangle(directory, parameters) as stage:
        _, near, far = stage.hosts
        await isolate(far, near)
        yield stage
        assert connected(far) == {key(near)}


async def lag(ahead: Host, behind: Host) -> float:
    """The seconds until a host has what another has now."""
    commit, begun = ahead.commit, trio.current_time()
    await eventually(lambda: behind.commit >= commit, 10)
    return trio.current_time() - begun


async def test_who_knows_no_seat_follows_through_who_does(tmp_path: Path) -> None:
    async with line(tmp_path) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        seat, _, far = stage.hosts
        lags = []
        for number in range(20):
            await rooms.ask_post(ann, "lobby", str(number), TIMEOUT_MS)
            lags.append(await lag(seat, far))
        assert sorted(lags)[10] < 1.0, lags
        await assert_same_state(stage)


async def test_the_end_of_an_epoch_reaches_who_knows_no_seat(tmp_path: Path) -> None:
    hasty = replace(PARAMETERS, coin_length=1024, min_round_delay_ms=10, max_round_delay_ms=10)
    async with line(tmp_path, hasty) as stage:
        seat, _, far = stage.hosts
        begun, told = epoch_of(seat), len(far.progress)
        await eventually(lambda: epoch_of(far) > begun)
        commit = seat.commit
        await eventually(lambda: far.commit > commit or epoch_of(far) > begun + 1)
        assert far.progress[told:] == [], "it crossed, and fetched no state"


async def test_what_a_seat_announces_and_nobody_has_costs_nothing_but_questions(
    tmp_path: Path,
) -> None:
    async with line(tmp_path) as stage:
        seat, near, far = stage.hosts
        setup = seat.node.setup
        for commit in range(10**6, 10**6 + 30):
            data = announce(setup.network, 0, commit, bytes(32), 0, setup.identity.signing)
            assert seat.node.peers.send(key(near), encode_message(Announce(data)))
            await trio.sleep(0.05)
            assert await lag(seat, far) < 2
        faults = {row.node: row.faults for row in near.node.shown_peers(GetPeers(1)).peers}
        assert not any(faults.values()), "who passes a seat's word on is not to blame"


async def test_who_announces_and_gives_nothing_holds_nobody_up(tmp_path: Path) -> None:
    """With a seat that lies for it, one peer announces more than there is, and answers nothing."""
    async with triangle(tmp_path) as stage:
        seat, near, far = stage.hosts
        assert near.node._replica is not None
        near.node._replica._spreading.accepts = lambda _node: False  # type: ignore[method-assign]
        setup, lags = seat.node.setup, []
        for commit in range(10**6, 10**6 + 40):
            data = announce(setup.network, 0, commit, bytes(32), 0, setup.identity.signing)
            assert near.node.peers.send(key(far), encode_message(Announce(data)))
            lags.append(await lag(seat, far))
            await trio.sleep(0.05)
        assert sorted(lags)[30] < 1.5, lags  # whoever waits for the liar waits two seconds


async def test_who_was_cut_off_while_an_epoch_ended_hears_of_the_next(tmp_path: Path) -> None:
    hasty = replace(PARAMETERS, coin_length=1024, min_round_delay_ms=10, max_round_delay_ms=10)
    async with triangle(tmp_path, hasty) as stage:
        seat, _, far = stage.hosts
        begun = epoch_of(seat)
        for node in connected(far):
            far.node.peers.bar(node)
        await eventually(lambda: not connected(far))
        await eventually(lambda: epoch_of(seat) > begun)
        await trio.sleep(1)  # until nobody speaks of the end any more
        assert epoch_of(far) == begun
        far.node.peers._barred.clear()
        await far.node.peers.dial(seat.node.peers.addresses[0])
        await eventually(lambda: epoch_of(far) > begun)
        assert epoch_of(seat) == begun + 1, "by what is announced, not by the next end"


async def test_whose_answer_waits_has_the_last_blocks_when_the_epoch_ends(tmp_path: Path) -> None:
    async with triangle(tmp_path) as stage:
        seat, _, far = stage.hosts
        replica = seat.node._replica
        assert replica is not None
        spreading = replica._spreading
        await eventually(lambda: key(far) in spreading._waiting)
        told: list[bytes] = []

        def note(node: bytes, frame: bytes) -> bool:
            if isinstance(decode_message(frame), FetchedBlocks):
                told.append(node)
            return True

        send, spreading._send = spreading._send, note
        spreading.closing()
        spreading._send = send
        assert key(far) in told


async def test_questions_without_an_answer_wait_once_a_node(tmp_path: Path) -> None:
    async with triangle(tmp_path) as stage:
        seat, near, far = stage.hosts
        asked = encode_message(FetchBlocks((), (1 << 40,), 0))
        tasks = trio.lowlevel.current_statistics
        replica = seat.node._replica
        assert replica is not None
        before = most = tasks().tasks_living
        is_heard = False
        for _ in range(40):
            for _ in range(25):
                far.node.peers.send(key(seat), asked)
            await trio.sleep(0.02)
            most = max(most, tasks().tasks_living)
            is_heard = is_heard or key(far) in replica._spreading._waiting
        assert is_heard
        assert most - before < 20, "one that waits, one that is looked up, and what else goes on"
        assert await lag(seat, near) < 5
        assert await lag(seat, far) < 5


async def test_who_comes_in_is_sent_blocks_before_it_has_a_seat(tmp_path: Path) -> None:
    async with network(tmp_path, 3, parameters=PARAMETERS) as stage:
        seat = stage.hosts[0]
        replica = seat.node._replica
        assert replica is not None
        spreading, told = replica._spreading, set[bytes]()
        send = spreading._send

        def note(node: bytes, frame: bytes) -> bool:
            if isinstance(decode_message(frame), Blocks):
                told.add(node)
            return send(node, frame)

        spreading._send = note
        newcomer = await join(stage, 3)
        await eventually(lambda: epoch_of(newcomer) == 1)
        assert told == {key(newcomer)}


async def test_who_follows_drops_old_blocks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOG_RETAINED_ROUNDS", 50)
    hasty = replace(PARAMETERS, min_round_delay_ms=10, max_round_delay_ms=10)
    async with triangle(tmp_path, hasty) as stage:
        for host in stage.hosts:
            store = host.node.setup.store
            assert store is not None
            await eventually(lambda store=store: next(store.blocks(0))[0] > 100, 20)
