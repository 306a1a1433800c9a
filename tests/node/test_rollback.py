"""Hosts that put an older disk back, across the boundary of an epoch."""

import shutil
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from structlog.testing import capture_logs

from ccp2p.client import rooms
from ccp2p.node.steward import Acts
from tests.node.stage import PARAMETERS, TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_epochs import epoch_of, join, seats_of
from tests.node.test_lifecycle import ann_in_lobby


async def copied(stage: Stage, number: int) -> Path:
    """The folder of a stopped host, as it is now."""
    held = stage.wanted(number).directory
    return await trio.to_thread.run_sync(shutil.copytree, held, held.with_name(f"copy-{number}"))


async def put_back(stage: Stage, number: int) -> None:
    """Give a stopped host the older disk."""
    held = stage.wanted(number).directory
    await trio.to_thread.run_sync(shutil.rmtree, held)
    await trio.to_thread.run_sync(shutil.copytree, held.with_name(f"copy-{number}"), held)


def newest_of(host: Host) -> tuple[int, int]:
    """(epoch, round) of the newest block that it holds of its own."""
    replica = host.node._replica
    newest = replica.core.consensus.own_newest if replica else None
    return epoch_of(host), newest.round if newest else 0


async def has_voted_in(host: Host, epoch: int) -> None:
    await eventually(lambda: epoch_of(host) == epoch and host.has_voted)


@pytest.mark.parametrize("gc_depth", [10, 100])
async def test_a_seat_set_back_before_the_epoch_does_not_sign_its_rounds_again(
    tmp_path: Path, gc_depth: int
):
    """Where little is kept, the next epoch's rounds look like this one's long settled ones."""
    parameters = replace(PARAMETERS, gc_depth=gc_depth)
    with capture_logs() as logs:
        async with network(tmp_path, 4, parameters=parameters) as stage, stage.client() as client:
            ann = await ann_in_lobby(client)
            await eventually(lambda: newest_of(stage.hosts[3]) > (0, 60))
            await stage.hosts[3].stop()
            await copied(stage, 3)
            await stage.reopen(3)
            await stage.all_vote()
            await join(stage, 4)
            await eventually(lambda: all(epoch_of(host) == 1 for host in stage.hosts))
            await has_voted_in(stage.hosts[3], 1)
            await rooms.ask_post(ann, "lobby", "in the next epoch", TIMEOUT_MS)
            await stage.hosts[3].stop()
            highest = newest_of(stage.hosts[3])
            await put_back(stage, 3)
            returned = await stage.reopen(3)
            await eventually(lambda: newest_of(returned) > highest)
            await rooms.ask_post(ann, "lobby", "and on", TIMEOUT_MS)
    assert [entry for entry in logs if entry["event"] == "equivocation"] == []


async def test_an_observer_set_back_before_it_had_a_seat_does_not_sign_its_rounds_again(
    tmp_path: Path,
):
    with capture_logs() as logs:
        async with network(tmp_path, 4) as stage, stage.client() as client:
            ann = await ann_in_lobby(client)
            for host in stage.hosts:
                hold_the_epoch(host)
            observer = await join(stage, 4)
            await observer.ready.wait()
            await observer.stop()
            await copied(stage, 4)
            stage.hosts[4] = await stage.reopen(4)
            for host in stage.hosts[:4]:
                let_it_end(host)
            await eventually(lambda: all(seats_of(host) == 5 for host in stage.hosts))
            await has_voted_in(stage.hosts[4], 1)
            await rooms.ask_post(ann, "lobby", "in the next epoch", TIMEOUT_MS)
            await stage.hosts[4].stop()
            highest = newest_of(stage.hosts[4])
            await put_back(stage, 4)
            returned = await stage.reopen(4)
            await eventually(lambda: newest_of(returned) > highest)
            await rooms.ask_post(ann, "lobby", "and on", TIMEOUT_MS)
    assert [entry for entry in logs if entry["event"] == "equivocation"] == []


def hold_the_epoch(host: Host) -> None:
    """Let a seat ask for no end of the epoch."""
    replica = host.node._replica
    assert replica is not None
    replica.steward.act = lambda roster, at, now_ms: Acts()


def let_it_end(host: Host) -> None:
    replica = host.node._replica
    assert replica is not None
    del replica.steward.act
