"""A lost quorum, and what governors make of it: real nodes, real disks."""

from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from ccp2p.client import recovery, rooms
from ccp2p.client.network import open_network
from ccp2p.client.recovery import Approved
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord
from ccp2p.node import patience
from tests.node.stage import PATIENCE_S, TIMEOUT_MS, Host, Stage, eventually, network
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


async def recover(stage: Stage, survivors: list[Host], *governors: int) -> SignedEpochRecord:
    """What the governors' commands do."""
    ticket = replaced(stage.ticket(), addresses=tuple(host.address for host in survivors))
    async with open_network(ticket, allow_simulated=True, every_node=True) as client:
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
