"""A lost quorum, and what governors make of it: real nodes, real disks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import recovery, rooms
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.recovery import Approved
from ccp2p.crypto.signatures import SigningKey
from ccp2p.membership import recovery as rules
from ccp2p.model import codec
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, parse_record
from ccp2p.model.errors import Denied, LocalFault
from ccp2p.node import patience, survivor
from tests.node.stage import PARAMETERS, PATIENCE_S, TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_epochs import epoch_of
from tests.node.test_lifecycle import ann_in_lobby, assert_same_state, texts

GOVERNORS = [SigningKey(bytes([70 + i]) * 32) for i in range(3)]
GOVERNED = {"governors": tuple(key.public for key in GOVERNORS), "threshold": 2}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds without a round are enough here."""
    monkeypatch.setattr(patience, "STALLED_MS", 2_000)


def waits_of(host: Host) -> str:
    replica = host.node._replica
    return replica.patience.waits if replica else ""


async def say(stage: Stage, text: str) -> None:
    async with stage.client() as client:
        await rooms.ask_post(await ann_in_lobby(client), "lobby", text, TIMEOUT_MS)


async def lose(stage: Stage, *numbers: int) -> list[Host]:
    """Stop these hosts for good; the others, once they say that they wait."""
    for number in numbers:
        await stage.hosts[number].stop()
    left = [host for number, host in enumerate(stage.hosts) if number not in numbers]
    await eventually(lambda: all(waits_of(host) for host in left))
    return left


def approved_by(plan: EpochRecord, before: EpochRecord, *governors: int) -> Approved:
    approved = Approved(codec.encode(plan), ())
    for number in governors:
        approved = recovery.approve(approved, before, GOVERNORS[number])
    return approved


@asynccontextmanager
async def connected(stage: Stage, hosts: list[Host]) -> AsyncIterator[NetworkClient]:
    """A governor's connections, to these hosts only."""
    ticket = replace(stage.ticket(), addresses=tuple(host.address for host in hosts))
    async with open_network(ticket, allow_simulated=True, every_node=True) as client:
        yield client


async def recover(stage: Stage, survivors: list[Host], *governors: int) -> SignedEpochRecord:
    """What the governors' commands do."""
    async with connected(stage, survivors) as client:
        link = recovery.newest_link(client)
        sightings = await recovery.survey(client, link.record)
        plan = recovery.draw_up(link, recovery.choose(link.record, sightings))
        approved = approved_by(plan, link.record, *governors)
        return await recovery.hand_in(client, approved, link)


async def test_two_survivors_of_four_go_on_and_the_others_follow_once_they_are_back(
    tmp_path: Path,
):
    async with network(tmp_path, 4, **GOVERNED) as stage:
        await say(stage, "before")
        left = await lose(stage, 2, 3)
        assert {waits_of(host) for host in left} == {"quorum"}
        signed = await recover(stage, left, 0, 2)
        assert len(signed.signatures) == 2
        await eventually(lambda: [epoch_of(host) for host in left] == [1, 1])
        await say(stage, "after")
        async with stage.client() as client:
            assert await texts(await ann_in_lobby(client)) == ["before", "after"]
        for number in (2, 3):
            await stage.reopen(number)
        await eventually(lambda: all(epoch_of(host) >= 2 for host in stage.hosts), 2 * PATIENCE_S)
        await stage.all_vote()
        await say(stage, "all four")
        await assert_same_state(stage)


async def test_nobody_recovers_a_network_that_lives(tmp_path: Path):
    async with network(tmp_path, 4, **GOVERNED) as stage, connected(stage, stage.hosts) as client:
        link = recovery.newest_link(client)
        sightings = await recovery.survey(client, link.record)
        assert len(sightings) == 4
        with pytest.raises(LocalFault, match="does not wait"):
            recovery.choose(link.record, sightings)
        plan = recovery.draw_up(link, sightings[:2])
        with pytest.raises(Denied) as caught:
            await recovery.hand_in(client, approved_by(plan, link.record, 0, 1), link)
        assert caught.value.code == "alive"
        assert not any(host.node._replica.survivor.is_bound for host in stage.hosts)
        await say(stage, "alive")


async def refused(client: NetworkClient, plan: EpochRecord, *governors: int, by: int = 0) -> str:
    """The code with which a node refuses a plan that nobody checked before it."""
    link = recovery.newest_link(client)
    approved = approved_by(plan, link.record, *governors)
    with pytest.raises(Denied) as caught:
        await client.connections[by].recover(approved.plan, approved.approvals)
    return caught.value.code


async def test_a_promise_outlives_a_restart_and_another_plan_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(survivor, "GATHER_S", 2.0)
    async with network(tmp_path, 4, **GOVERNED) as stage:
        await say(stage, "before")
        left = await lose(stage, 2, 3)
        async with connected(stage, left) as client:
            link = recovery.newest_link(client)
            sightings = await recovery.survey(client, link.record)
            plan = recovery.draw_up(link, recovery.choose(link.record, sightings))
            leads = [one.node.node == plan.seats[0].node for one in client.connections]
            first = leads.index(True)
            assert await refused(client, plan, 1, by=first) == "record", "one governor is too few"
            assert await refused(client, plan, 0, 1, by=1 - first) == "leader"
            other = replace(plan, state_root=b"x" * 32)
            assert await refused(client, other, 0, 1, by=first) == "stand"
            assert not any(host.node._replica.survivor.is_bound for host in left)
            await left[1].stop()
            assert await refused(client, plan, 0, 1, by=first) == "unreachable"
            alone = rules.plan(
                link.record,
                link.digest,
                [plan.seats[0].node],
                rules.stand_of(plan),
                (plan.recovery.commit, plan.recovery.chain),
            )
        await left[0].stop()
        again = await stage.reopen(0)
        await eventually(lambda: again.node._replica is not None and bool(waits_of(again)))
        assert again.node._replica.survivor.is_bound
        own = again.node._replica.core.consensus.own_newest
        for number in (1, 2, 3):
            await stage.reopen(number)
        await trio.sleep(3)
        assert again.node._replica.core.consensus.own_newest == own, "it signed after its promise"
        assert again.commit == plan.close_commit
        async with connected(stage, [again]) as client:
            await recovery.hand_in(client, approved_by(alone, link.record, 0, 1), link)
        await eventually(lambda: all(epoch_of(host) >= 2 for host in stage.hosts), 2 * PATIENCE_S)
        await say(stage, "after")


async def test_after_a_power_cut_everywhere_governors_say_when_to_go_on(tmp_path: Path):
    governed = replace(PARAMETERS, resume="governors")
    async with network(tmp_path, 4, parameters=governed, **GOVERNED) as stage:
        await say(stage, "before")
        for host in stage.hosts:
            await host.stop()
        for number in range(4):
            await stage.reopen(number)
        await eventually(lambda: {waits_of(host) for host in stage.hosts} == {"floor"})
        await eventually(lambda: len({host.commit for host in stage.hosts}) == 1)
        await recover(stage, stage.hosts, 1, 2)
        await eventually(lambda: [epoch_of(host) for host in stage.hosts] == [1] * 4)
        await say(stage, "after")
        await assert_same_state(stage)


async def test_who_executed_more_than_is_kept_throws_it_away(tmp_path: Path):
    """The first host slept through what the others ordered, and is all that is left of them."""
    async with network(tmp_path, 4, **GOVERNED) as stage:
        await say(stage, "kept")
        ticket = stage.ticket()
        await stage.hosts[0].stop()
        async with open_network(
            replace(ticket, addresses=(stage.hosts[1].address,)), allow_simulated=True
        ) as client:
            await rooms.ask_post(await ann_in_lobby(client), "lobby", "lost", TIMEOUT_MS)
        for host in stage.hosts[1:]:
            await host.stop()
        last = await stage.reopen(0)
        await eventually(lambda: waits_of(last) == "floor")
        signed = await recover(stage, [last], 0, 1)
        kept = parse_record(signed.record).close_commit
        await eventually(lambda: epoch_of(last) == 1)
        assert stage.hosts[3].commit > kept, "it has nothing to throw away"
        back = await stage.reopen(3)
        await eventually(lambda: epoch_of(back) >= 1, 2 * PATIENCE_S)
        await say(stage, "after")
        async with connected(stage, [back]) as client:
            await eventually(lambda: back.commit > 0)
            assert await texts(await ann_in_lobby(client)) == ["kept", "after"]
