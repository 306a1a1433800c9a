"""What happens to running nodes: restarts, full disks, spent coins, states that differ."""

import hashlib
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from ccp2p.client import rooms
from ccp2p.client.network import NetworkClient
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import Fault
from ccp2p.model.genesis import Parameters
from ccp2p.model.member_protocol import GetStatus
from ccp2p.node import replica
from ccp2p.node import setup as setups
from tests.node.stage import PATIENCE_S, TIMEOUT_MS, Host, Stage, eventually, network

ANN = SigningKey(b"a" * 32)


async def ann_in_lobby(client: NetworkClient) -> MemberSession:
    ann = client.session(ANN)
    await ann.open(TIMEOUT_MS)
    outcome = await ann.submit(rooms.create("lobby", False, "ann"), TIMEOUT_MS)
    assert outcome.status in ("ok", "rejected")
    return ann


async def texts(ann: MemberSession) -> list[str]:
    return [message.text async for message in rooms.messages(ann, "lobby")]


def root(host: Host, commit: int) -> bytes:
    return host.node.status(GetStatus(1, commit)).state_root


async def assert_same_state(stage: Stage) -> None:
    """Every host executes the newest commit of any, with the same root."""
    newest = max(host.commit for host in stage.hosts)
    await eventually(lambda: min(host.commit for host in stage.hosts) >= newest)
    assert len({root(host, newest) for host in stage.hosts}) == 1


async def test_a_stopped_node_rejoins_by_its_peers_floor_and_executes_what_it_missed(
    tmp_path: Path,
):
    async with network(tmp_path) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        await rooms.ask_post(ann, "lobby", "all are here", TIMEOUT_MS)
        highest = stage.hosts[3].node.status(GetStatus(1, 0)).round
        await stage.hosts[3].stop()
        missed = stage.hosts[0].commit
        for number in range(5):
            await rooms.ask_post(ann, "lobby", f"without you {number}", TIMEOUT_MS)
        returned = await stage.reopen(3)
        await returned.voting.wait()
        assert returned.floor is not None
        assert (returned.floor.by, returned.floor.round > highest + 2) == ("peers", True)
        await eventually(lambda: returned.commit > missed)
        await rooms.ask_post(ann, "lobby", "welcome back", TIMEOUT_MS)
        await assert_same_state(stage)
        await stage.hosts[2].stop()
        await rooms.ask_post(ann, "lobby", "your vote counts again", TIMEOUT_MS)
        assert len(await texts(ann)) == 8


async def test_a_network_that_stopped_whole_resumes_from_its_disks(tmp_path: Path):
    async with network(tmp_path) as stage:
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "before", TIMEOUT_MS)
        async with trio.open_nursery() as nursery:
            for host in stage.hosts:
                nursery.start_soon(host.stop)
        for number in range(4):
            await stage.reopen(number)
        await stage.all_vote()
        # Whoever comes last may find the others voting already.
        assert "disks" in {host.floor.by for host in stage.hosts if host.floor}
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "after", TIMEOUT_MS)
            assert await texts(ann) == ["before", "after"]
        await assert_same_state(stage)


async def test_a_network_of_one_resumes_and_says_from_where(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        assert stage.hosts[0].floor is not None
        assert stage.hosts[0].floor.by == "start"
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "alone", TIMEOUT_MS)
        await stage.hosts[0].stop()
        host = await stage.reopen(0)
        await host.voting.wait()
        assert host.floor is not None
        assert host.floor.by == "disks"
        async with stage.client() as client:
            assert await texts(await ann_in_lobby(client)) == ["alone"]


async def test_a_node_that_waits_for_its_peers_says_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replica, "FLOOR_PATIENCE_S", 0.1)
    async with network(tmp_path, 3) as stage:
        async with trio.open_nursery() as nursery:
            for host in stage.hosts:
                nursery.start_soon(host.stop)
        with capture_logs() as logs:
            await stage.reopen(0)
            await eventually(lambda: any("without a vote" in log["event"] for log in logs))
        assert [log["seats"] for log in logs if "without a vote" in log["event"]] == [[1, 2]]


async def test_a_session_outlives_its_nodes_restart(tmp_path: Path):
    async with network(tmp_path) as stage, stage.client(every_node=True) as client:
        ann = await ann_in_lobby(client)
        for host in stage.hosts:
            await host.stop()
        for number in range(4):
            await stage.reopen(number)
        await stage.all_vote()
        with trio.fail_after(PATIENCE_S):
            while len(client.live()) < 4:
                await trio.sleep(0.05)
        assert await rooms.ask_post(ann, "lobby", "same session", TIMEOUT_MS) == 0
        assert await texts(ann) == ["same session"]


async def test_a_full_disk_stops_the_node_and_loses_nothing_acknowledged(tmp_path: Path):
    async with network(tmp_path, 1, map_bytes=1 << 20) as stage:
        host = stage.hosts[0]
        acknowledged = 0
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            while host.fault is None:
                try:
                    await rooms.ask_post(ann, "lobby", f"{acknowledged} " + "x" * 3000, 1500)
                except Fault:
                    break
                acknowledged += 1
        await host.ended.wait()
        assert host.fault is not None
        assert host.fault.code == "disk-full"
        assert "raise the map size and start again" in str(host.fault)
        assert acknowledged > 5
        again = await stage.reopen(0)
        await again.voting.wait()
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            found = [int(text.split()[0]) for text in await texts(ann)]
            assert found == list(range(len(found)))
            assert len(found) >= acknowledged
            assert await rooms.ask_post(ann, "lobby", "room again", TIMEOUT_MS) == len(found)


async def test_a_node_whose_state_differs_from_a_quorums_stops_loudly(tmp_path: Path):
    often = Parameters(
        coin_length=4096, min_round_delay_ms=20, max_round_delay_ms=100, checkpoint_interval=8
    )
    async with network(tmp_path, parameters=often) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        odd = stage.hosts[3]
        replica = odd.node._replica
        assert replica is not None
        async with replica.execution_turn:
            replica.executor.machine._state.put(b"planted", b"by a broken disk or a bug")
        await rooms.ask_post(ann, "lobby", "who differs?", TIMEOUT_MS)
        with trio.fail_after(PATIENCE_S):
            await odd.ended.wait()
        assert odd.fault is not None
        assert odd.fault.code == "diverged"
        assert "empty one" in str(odd.fault)
        await rooms.ask_post(ann, "lobby", "three go on", TIMEOUT_MS)
        assert [host.fault for host in stage.hosts[:3]] == [None] * 3


async def test_another_process_cannot_open_a_running_nodes_folder(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        with pytest.raises(Fault) as caught:
            setups.reopen(stage.wanted(0))
        assert caught.value.code == "in-use"


async def test_a_database_moved_to_another_chip_does_not_open(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        await stage.hosts[0].stop()
        chip = tmp_path / "node-0" / "platform" / "simulated-chip"
        before = hashlib.sha256(chip.read_bytes()).digest()
        chip.unlink()
        with pytest.raises(Fault) as caught:
            setups.reopen(stage.wanted(0))
        assert caught.value.code == "wrong-key"
        assert hashlib.sha256(chip.read_bytes()).digest() != before
