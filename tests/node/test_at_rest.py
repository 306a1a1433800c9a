"""A disk under the group's key (`at_rest = "group"`): real nodes, real LMDB."""

import shutil
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import LocalFault
from ccp2p.node import setup as setups
from ccp2p.node import unlocking
from ccp2p.node.network_record import NetworkRecord
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.vault import SEALED
from tests.node.stage import PARAMETERS, PATIENCE_S, TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_epochs import epoch_of, join, seats_of
from tests.node.test_lifecycle import ann_in_lobby, assert_same_state, texts

GOVERNORS = [SigningKey(bytes([70 + i]) * 32) for i in range(3)]
GROUP = {
    "parameters": replace(PARAMETERS, at_rest="group"),
    "governors": tuple(key.public for key in GOVERNORS),
    "threshold": 2,
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second without an answer is enough here."""
    monkeypatch.setattr(unlocking, "_PATIENCE_S", 0.5)


async def say(stage: Stage, text: str) -> None:
    async with stage.client() as client:
        await rooms.ask_post(await ann_in_lobby(client), "lobby", text, TIMEOUT_MS)


def secret_of(host: Host) -> bytes:
    assert host.node.setup.record is not None
    return host.node.setup.record.secret


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
        await stage.hosts[2].stop()
        await say(stage, "your vote counts again")


async def test_a_node_without_peers_waits_and_says_for_what(tmp_path: Path):
    async with network(tmp_path, 2, **GROUP) as stage:
        await say(stage, "kept")
        async with trio.open_nursery() as nursery:
            for host in stage.hosts:
                nursery.start_soon(host.stop)
        alone = await stage.reopen(0)
        await eventually(lambda: bool(alone.progress))
        assert "waiting for" in alone.progress[-1]
        assert not alone.ready.is_set()
        await alone.stop()
        assert alone.fault is None


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
        for secret in (second, b""):
            assert not thief.disk_keys.unlock(thief.store, stage_record(stage), secret)
        assert thief.store.is_locked
        vault = stage.hosts[0].node.setup.store._vault  # type: ignore[union-attr]
        await eventually(lambda: vault._older == b"")
        # Nobody has the old secret any more: the node that slept throws its disk away.
        returned = await stage.reopen(3)
        with trio.fail_after(PATIENCE_S):
            await returned.voting.wait()
        assert epoch_of(returned) == 1
        assert returned.node.setup.identity.node == node
        await assert_same_state(stage)
        await say(stage, "all five")
        thief.store.close()


def stage_record(stage: Stage):
    from ccp2p.model.epoch import parse_record

    return parse_record(stage.hosts[0].node._record.signed.record)


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
