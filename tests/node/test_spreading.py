"""Real nodes without seats: they follow by announcements, also where no seat is connected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from msgspec.structs import replace

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.policy import simulated_policy
from ccp2p.client import rooms
from ccp2p.model.genesis import Parameters
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
async def line(directory: Path, parameters: Parameters = PARAMETERS) -> AsyncIterator[Stage]:
    """A seat, a node that follows it, and a third that is connected to the second alone."""
    async with network(directory, 1, parameters=parameters, policy=POLICY) as stage:
        (seat,) = stage.hosts
        near, far = [await join(stage, number) for number in SAME_VENDOR]
        await eventually(lambda: connected(far) == {key(seat), key(near)})
        await eventually(lambda: far.commit > 0)
        await isolate(far, near)
        yield stage
        assert connected(far) == {key(near)}
        assert [host.fault for host in stage.hosts] == [None] * 3


async def test_who_knows_no_seat_follows_through_who_does(tmp_path: Path) -> None:
    async with line(tmp_path) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        seat, _, far = stage.hosts
        lags = []
        for number in range(20):
            await rooms.ask_post(ann, "lobby", str(number), TIMEOUT_MS)
            commit, begun = seat.commit, trio.current_time()
            await eventually(lambda commit=commit: far.commit >= commit, 10)
            lags.append(trio.current_time() - begun)
        assert sorted(lags)[10] < 1.0, lags
        await assert_same_state(stage)


async def test_the_end_of_an_epoch_reaches_who_knows_no_seat(tmp_path: Path) -> None:
    hasty = replace(PARAMETERS, coin_length=512, min_round_delay_ms=10, max_round_delay_ms=10)
    async with line(tmp_path, hasty) as stage:
        seat, _, far = stage.hosts
        begun, told = epoch_of(seat), len(far.progress)
        await eventually(lambda: epoch_of(far) > begun + 1)
        commit = seat.commit
        await eventually(lambda: far.commit > commit or epoch_of(far) > begun + 2)
        assert far.progress[told:] == [], "it crossed, and fetched no state"
