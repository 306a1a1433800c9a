"""A disk under the group's key (`at_rest = "group"`): real nodes, real LMDB."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import recovery, rooms, shares
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.epoch import parse_record
from ccp2p.model.errors import Denied, LocalFault
from ccp2p.model.member_protocol import GetStatus, ShareTaken
from ccp2p.model.ticket import Ticket
from ccp2p.node import patience, unlocking
from ccp2p.node import setup as setups
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing.shares import combine, open_box, seal_to_node
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.vault import SEALED
from tests.node.stage import PARAMETERS, PATIENCE_S, TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_epochs import epoch_of, join, seats_of
from tests.node.test_lifecycle import ann_in_lobby, assert_same_state, texts
from tests.node.test_survival import lose, recover

GOVERNORS = [SigningKey(bytes([70 + i]) * 32) for i in range(3)]
GROUP = {
    "parameters": replace(PARAMETERS, at_rest="group"),
    "governors": tuple(key.public for key in GOVERNORS),
    "threshold": 2,
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second without an answer, and two without a round, are enough here."""
    monkeypatch.setattr(unlocking, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(patience, "STALLED_MS", 2_000)


async def say(stage: Stage, text: str) -> None:
    async with stage.client() as client:
        await rooms.ask_post(await ann_in_lobby(client), "lobby", text, TIMEOUT_MS)


def secret_of(host: Host) -> bytes:
    assert host.node.setup.record is not None
    return host.node.setup.record.secret


def votes_from_its_floor(host: Host) -> bool:
    replica, floor = host.node._replica, host.floor
    newest = replica.core.consensus.own_newest if replica else None
    return floor is not None and newest is not None and newest.round >= floor.round


def opened_by_the_chip(store: LmdbStore) -> int:
    """How many records open under the TEE's own key."""
    found = 0
    with store._environment.transaction() as transaction:
        for name in SEALED:
            for key, value in transaction.cursor(db=store._environment.databases[name]):
                bound = [store._own.bind(name, bytes(key))]
                found += store._own.try_open(bound, [bytes(value)])[0] is not None
    return found


def stolen(stage: Stage, number: int, name: str) -> setups.NodeSetup:
    """A copy of a stopped node's disk, on the chip that it was written by."""
    copy = stage.directory / name
    shutil.copytree(stage.wanted(number).directory, copy)
    return setups.reopen(setups.replace(stage.wanted(number), directory=copy))


async def test_a_stolen_disk_opens_nothing_with_its_chip_and_a_restart_asks_the_others(
    tmp_path: Path,
):
    async with network(tmp_path, 4, **GROUP) as stage:
        await say(stage, "before")
        await stage.hosts[3].stop()
        thief = stolen(stage, 3, "stolen")
        assert thief.store is not None
        assert thief.record is not None
        assert thief.store.is_locked
        assert thief.record.secret == b""
        assert thief.record.genesis  # what a start needs is there
        with pytest.raises(LocalFault):
            next(thief.store.buckets())
        assert opened_by_the_chip(thief.store) == 0
        thief.store.close()
        await say(stage, "without you")
        returned = await stage.reopen(3)
        with trio.fail_after(PATIENCE_S):
            await returned.voting.wait()
        assert returned.floor is not None
        assert returned.floor.by == "peers"
        await assert_same_state(stage)
        await eventually(lambda: votes_from_its_floor(returned))
        await stage.hosts[2].stop()
        await say(stage, "your vote counts again")


@asynccontextmanager
async def governing(stage: Stage) -> AsyncIterator[NetworkClient]:
    """A governor's connections to every node that listens."""
    addresses = tuple(host.address for host in stage.hosts)
    ticket = replace(TICKETS[stage.directory], addresses=addresses)
    async with open_network(ticket, allow_simulated=True, every_node=True) as client:
        yield client


TICKETS: dict[Path, Ticket] = {}


async def lose_power(stage: Stage) -> None:
    """Stop all at once, and start all again; nobody has the secret any more."""
    TICKETS[stage.directory] = stage.ticket()
    async with trio.open_nursery() as nursery:
        for host in stage.hosts:
            nursery.start_soon(host.stop)
    for number in range(len(stage.hosts)):
        await stage.reopen(number)
    await eventually(lambda: all(host.progress for host in stage.hosts))


async def give(stage: Stage, governor: SigningKey) -> list[shares.Given]:
    """What `net recover --shares` does."""
    async with governing(stage) as client:
        record = shares.newest_record(client)
        return await shares.give(await shares.waiting(client, record), record, governor)


async def test_after_a_power_cut_everywhere_enough_governors_open_the_disks(tmp_path: Path):
    async with network(tmp_path, 3, **GROUP) as stage:
        await say(stage, "kept")
        await lose_power(stage)
        for host in stage.hosts:
            assert "2 of 3 governors have to give their shares" in host.progress[-1]
            assert host.node.status(GetStatus(1, 0)).waits == "secret"
        first = await give(stage, GOVERNORS[0])
        assert [one.answer.held for one in first] == [1, 1, 1]  # type: ignore[union-attr]
        again = await give(stage, GOVERNORS[0])
        assert [one.answer.held for one in again] == [1, 1, 1]  # type: ignore[union-attr]
        await trio.sleep(1)
        assert not any(host.ready.is_set() for host in stage.hosts)
        async with governing(stage) as client:
            with pytest.raises(LocalFault) as caught:
                await recovery.survey(client, shares.newest_record(client))
            assert caught.value.code == "locked"
            with pytest.raises(Denied):
                shares.own_share(shares.newest_record(client), SigningKey(b"n" * 32))
        await give(stage, GOVERNORS[2])
        await stage.all_vote()
        assert "disks" in {host.floor.by for host in stage.hosts if host.floor}
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            assert await texts(ann) == ["kept"]
        await say(stage, "and on")
        async with governing(stage) as client:
            with pytest.raises(LocalFault) as caught:
                await shares.waiting(client, shares.newest_record(client))
            assert caught.value.code == "alive"


async def test_one_node_with_shares_is_enough_for_all(tmp_path: Path):
    async with network(tmp_path, 2, **GROUP) as stage:
        await say(stage, "kept")
        await lose_power(stage)
        async with governing(stage) as client:
            record = shares.newest_record(client)
            nodes = await shares.waiting(client, record)
            for governor in GOVERNORS[:2]:
                (given,) = await shares.give(nodes[:1], record, governor)
                assert isinstance(given.answer, ShareTaken)
        await stage.all_vote()
        async with stage.client() as client:
            assert await texts(await ann_in_lobby(client)) == ["kept"]


async def test_a_wrong_share_is_refused_and_named(tmp_path: Path):
    async with network(tmp_path, 2, **GROUP) as stage:
        await lose_power(stage)
        async with governing(stage) as client:
            record = shares.newest_record(client)
            (node, *_) = await shares.waiting(client, record)
            place, share = shares.own_share(record, GOVERNORS[1])

            async def offer(governor: int, data: bytes, epoch_key: bytes = b"") -> str:
                key = epoch_key or record.epoch_key
                sealed = seal_to_node(data, node.node.sealing, record.network, key)
                with pytest.raises(Denied) as caught:
                    await node.give_share(key, governor, sealed)
                return str(caught.value)

            name = record.governors[0].hex()[:16]
            assert f"the share that governor {name} has" in await offer(0, share)
            assert record.governors[1].hex()[:16] in await offer(1, share[:-1] + b"?")
            assert "is not the share" in await offer(1, b"")
            assert "no such governor" in await offer(3, share)
            assert "waits for the secret" in await offer(1, share, b"k" * 32)
            with pytest.raises(Denied):
                await node.give_share(record.epoch_key, place, b"unsealed")
            assert not any(host.ready.is_set() for host in stage.hosts)
            # What was refused took nobody's place.
            for governor in GOVERNORS[:2]:
                await shares.give([node], record, governor)
        await stage.all_vote()


async def test_survivors_share_their_new_secret_anew(tmp_path: Path):
    async with network(tmp_path, 4, **GROUP) as stage:
        await say(stage, "before")
        left = await lose(stage, 2, 3)
        signed = await recover(stage, left, 0, 2)
        await eventually(lambda: [epoch_of(host) for host in left] == [1, 1])
        record = parse_record(signed.record)
        held = {place: open_box(record.shares[place], GOVERNORS[place]) for place in (0, 2)}
        assert combine(held) == secret_of(left[0])
        await left[0].stop()
        back = await stage.reopen(0)
        with trio.fail_after(PATIENCE_S):
            await back.voting.wait()
        await say(stage, "after")


async def test_the_key_of_an_epoch_that_is_over_is_nowhere(tmp_path: Path):
    async with network(tmp_path, 4, **GROUP) as stage:
        await say(stage, "in the first epoch")
        await stage.hosts[3].stop()
        thief = stolen(stage, 3, "stolen")
        first = secret_of(stage.hosts[0])
        await join(stage, 4)
        awake = [host for host in stage.hosts if host is not stage.hosts[3]]
        await eventually(lambda: all(epoch_of(host) == 1 for host in awake), PATIENCE_S)
        second = secret_of(stage.hosts[0])
        assert first != second
        # The chip is broken now, and the present secret known: the old copy stays shut.
        assert thief.store is not None
        node = thief.identity.node
        record = parse_record(stage.hosts[0].node._record.signed.record)
        for secret in (second, b""):
            assert not thief.disk_keys.unlock(thief.store, record, secret)
        assert thief.store.is_locked
        vault = stage.hosts[0].node.setup.store._vault  # type: ignore[union-attr]
        await eventually(lambda: vault._older == b"")  # with the first write of the new epoch
        # Nobody has the old secret any more: the node that slept throws its disk away.
        returned = await stage.reopen(3)
        with trio.fail_after(PATIENCE_S):
            await returned.voting.wait()
        assert epoch_of(returned) == 1
        assert returned.node.setup.identity.node == node
        await assert_same_state(stage)
        await say(stage, "all five")
        thief.store.close()


async def test_a_network_of_one_needs_nobody_until_it_grows(tmp_path: Path):
    async with network(tmp_path, 1, **GROUP) as stage:
        await say(stage, "alone")
        await stage.hosts[0].stop()
        await stage.reopen(0)
        await stage.all_vote()
        await join(stage, 1)
        await eventually(lambda: all(seats_of(host) == 2 for host in stage.hosts), PATIENCE_S)
        await stage.all_vote()
        await say(stage, "two of us")
        await stage.hosts[0].stop()
        thief = stolen(stage, 0, "stolen")
        assert thief.store is not None
        assert thief.store.is_locked
        assert thief.store.meta(NetworkRecord.NAME) is not None
        thief.store.close()
        await stage.reopen(0)
        with trio.fail_after(PATIENCE_S):
            await stage.hosts[0].voting.wait()
        async with stage.client() as client:
            assert await texts(await ann_in_lobby(client)) == ["alone", "two of us"]
