"""Committees that change while the network runs: joining, leaving, restarts, spent coin chains."""

import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.policy import simulated_policy
from ccp2p.client import rooms
from ccp2p.model import codec
from ccp2p.model.epoch import record_digest
from ccp2p.model.genesis import Parameters
from ccp2p.network.addresses import format_address
from ccp2p.node import node as node_module
from ccp2p.node import setup as setups
from ccp2p.node import tending
from ccp2p.node.steward import STEWARD, Kept
from tests.node.stage import TIMEOUT_MS, Host, Stage, eventually, network, welcome_of
from tests.node.test_lifecycle import ann_in_lobby, texts

PATIENCE_S = 60


async def join(stage: Stage, number: int) -> Host:
    """A newcomer by the first host's node ticket."""
    ticket = stage.hosts[0].node.tickets()[1]
    assert ticket is not None
    welcome = await welcome_of(ticket)
    setup = setups.join(stage.wanted(number), ticket, welcome)
    host = await stage.launch(setup)
    stage.hosts.append(host)
    return host


def epoch_of(host: Host) -> int:
    return host.node.epoch if host.node.epoch is not None else -1


def seats_of(host: Host) -> int:
    replica = host.node._replica
    return replica.core.committee.size if replica else 0


async def test_a_network_of_one_takes_in_a_second_node_and_goes_on(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            for number in range(5):
                await rooms.ask_post(ann, "lobby", f"before {number}", TIMEOUT_MS)
        await join(stage, 1)
        await eventually(lambda: all(seats_of(host) == 2 for host in stage.hosts), PATIENCE_S)
        assert [epoch_of(host) for host in stage.hosts] == [1, 1]
        await stage.all_vote()
        async with stage.client(every_node=True) as client:
            bob = await ann_in_lobby(client)
            await rooms.ask_post(bob, "lobby", "after", TIMEOUT_MS)
            assert (await texts(bob))[-1] == "after"
            assert len(await texts(bob)) == 6


async def test_a_coin_chain_that_runs_out_begins_a_new_epoch_with_the_same_committee(
    tmp_path: Path,
):
    hasty = Parameters(coin_length=512, min_round_delay_ms=5, max_round_delay_ms=5)
    async with network(tmp_path, 2, parameters=hasty) as stage:
        first = [weakref.ref(host.node._replica) for host in stage.hosts]
        states = [weakref.ref(host.node._replica.executor.machine) for host in stage.hosts]
        await eventually(lambda: all(epoch_of(host) >= 2 for host in stage.hosts), PATIENCE_S)
        assert [seats_of(host) for host in stage.hosts] == [2, 2]
        now = [host.node._replica.executor.machine for host in stage.hosts]
        assert [one() for one in states] == now, "the state was read from the disk again"
        for host in stage.hosts:
            kept = host.node.setup.store.meta(STEWARD)
            is_past = kept and codec.decode(kept, Kept, len(kept)).epoch < epoch_of(host)
            assert not is_past, "secrets of an epoch that is over are on disk"
        # An epoch that is over leaves memory.
        await eventually(lambda: [one() for one in first] == [None, None], PATIENCE_S)


async def test_who_comes_late_holds_the_whole_chain_of_records(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        await join(stage, 1)
        await eventually(lambda: [seats_of(host) for host in stage.hosts] == [2, 2], PATIENCE_S)
        ticket = stage.hosts[0].node.tickets()[1]
        assert ticket is not None
        late = await join(stage, 2)
        await eventually(lambda: all(seats_of(host) == 3 for host in stage.hosts), PATIENCE_S)
        first, late_one = (host.node.setup.record for host in (stage.hosts[0], late))
        assert first is not None
        assert late_one is not None
        assert record_digest(first.records[1].record) == ticket.record
        assert late_one.records == first.records
        assert len(first.records) == 3


async def test_it_grows_to_four_and_a_seat_leaves(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        for number in (1, 2, 3):
            await join(stage, number)
        await eventually(lambda: all(seats_of(host) == 4 for host in stage.hosts), PATIENCE_S)
        await stage.all_vote()
        leaver = stage.hosts[3]
        leaver.node.leave()
        await eventually(lambda: all(seats_of(h) == 3 for h in stage.hosts[:3]), PATIENCE_S)
        with trio.fail_after(PATIENCE_S):
            await leaver.ended.wait()
        assert leaver.fault is None
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "three of us", TIMEOUT_MS)


async def test_all_restart_in_a_later_epoch_and_go_on_from_their_disks(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        await join(stage, 1)
        await eventually(lambda: all(seats_of(host) == 2 for host in stage.hosts), PATIENCE_S)
        await stage.all_vote()
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "kept", TIMEOUT_MS)
        for host in stage.hosts:
            await host.stop()
        for number in (0, 1):
            await stage.reopen(number)
        await stage.all_vote()
        assert [epoch_of(host) for host in stage.hosts] == [1, 1]
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            assert await texts(ann) == ["kept"]
            await rooms.ask_post(ann, "lobby", "and on", TIMEOUT_MS)


async def test_a_seat_that_slept_through_an_epoch_fetches_the_state(tmp_path: Path):
    async with network(tmp_path, 4) as stage:
        await stage.hosts[3].stop()
        await join(stage, 4)
        awake = [host for host in stage.hosts if host is not stage.hosts[3]]
        await eventually(lambda: all(epoch_of(host) == 1 for host in awake), PATIENCE_S)
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "you slept", TIMEOUT_MS)
            returned = await stage.reopen(3)
            await eventually(lambda: epoch_of(returned) == 1, PATIENCE_S)
            with trio.fail_after(PATIENCE_S):
                await returned.voting.wait()
            await eventually(lambda: returned.has_voted, PATIENCE_S)
            newest = stage.hosts[0].commit
            await eventually(lambda: returned.commit >= newest, PATIENCE_S)


async def test_who_is_left_behind_needs_no_entry_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The node by which it came in is gone; others are known, and are asked."""

    class Asked(Exception):
        pass

    def ask(**_: object) -> None:
        raise Asked

    async with network(tmp_path, 1) as stage:
        late = (await join(stage, 1)).node
        await eventually(lambda: late.setup.record is not None, PATIENCE_S)
        gone = format_address("127.0.0.1", 1, b"g" * 32)
        late.setup = replace(late.setup, first_addresses=(gone,))
        monkeypatch.setattr(node_module, "Entrance", ask)
        with pytest.raises(Asked):
            await late._catch_up()


async def test_a_session_and_what_it_sent_outlive_the_epoch(tmp_path: Path):
    async with network(tmp_path, 1) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        said = 0
        await join(stage, 1)
        with trio.fail_after(PATIENCE_S):
            while epoch_of(stage.hosts[0]) < 1 or said < 40:
                await rooms.ask_post(ann, "lobby", str(said), TIMEOUT_MS)
                said += 1
        assert await texts(ann) == [str(number) for number in range(said)]


async def test_a_vendor_over_the_cap_follows_until_others_make_room(tmp_path: Path):
    """Of two seats one vendor may hold one; of three, two."""
    policy = simulated_policy(measurement()) + '[caps]\nvendor = "no-fork"\n'
    async with network(tmp_path, 1, policy=policy) as stage:
        same_vendor = await join(stage, 4)
        await eventually(lambda: same_vendor.commit > 0, PATIENCE_S)
        words = "vendor sim-a would hold 2 of 2 seats; the policy's cap 'no-fork' allows 1"
        assert f"admitted as an observer; no seat for now: vendor-cap: {words}" in (
            same_vendor.progress
        )
        assert [epoch_of(host) for host in stage.hosts] == [0, 0]
        await join(stage, 1)
        await eventually(lambda: all(seats_of(host) == 3 for host in stage.hosts), PATIENCE_S)
        roster = stage.hosts[0].node._replica.executor.keeper.roster
        assert [member.vendor for member in roster.members] == ["sim-a", "sim-a", "sim-b"]


async def test_a_second_node_on_one_platform_is_refused_with_the_reason(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        chip = stage.directory / "node-0" / "platform"
        shutil.copytree(chip, stage.directory / "node-4" / "platform")
        twin = await join(stage, 4)
        with trio.fail_after(PATIENCE_S):
            await twin.ended.wait()
        assert twin.fault is not None
        assert twin.fault.code == "refused"
        assert "a platform has one vote" in str(twin.fault)
        assert seats_of(stage.hosts[0]) == 1


async def test_a_wrong_invite_is_refused_with_the_reason(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        ticket = stage.hosts[0].node.tickets()[1]
        assert ticket is not None
        forged = msgspec.structs.replace(ticket, secret=b"x" * len(ticket.secret))
        setup = setups.join(stage.wanted(1), forged, await welcome_of(forged))
        stranger = await stage.launch(setup)
        with trio.fail_after(PATIENCE_S):
            await stranger.ended.wait()
        assert stranger.fault is not None
        assert stranger.fault.code == "refused"
        assert "invite" in str(stranger.fault)


async def test_reads_wait_until_the_next_epochs_session_is_open(tmp_path: Path):
    slow = Parameters(coin_length=1 << 14, min_round_delay_ms=150, max_round_delay_ms=150)
    async with network(tmp_path, 1, parameters=slow) as stage, stage.client() as client:
        ann = await ann_in_lobby(client)
        await join(stage, 1)
        said = 0
        over = trio.Event()

        async def read() -> None:
            while not over.is_set():
                before = said
                assert len(await texts(ann)) >= before

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            with trio.fail_after(PATIENCE_S):
                while epoch_of(stage.hosts[0]) < 1 or ann.verified.record.epoch < 1:
                    await rooms.ask_post(ann, "lobby", str(said), TIMEOUT_MS)
                    said += 1
            await rooms.ask_post(ann, "lobby", str(said), TIMEOUT_MS)
            over.set()
        assert await texts(ann) == [str(number) for number in range(said + 1)]


async def test_what_changes_the_roster_is_acted_on_without_a_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tending, "_TEND_S", 3600.0)
    async with network(tmp_path, 3) as stage:
        await join(stage, 3)
        await eventually(lambda: all(seats_of(host) == 4 for host in stage.hosts), PATIENCE_S)


async def test_a_roster_that_changes_all_the_time_is_looked_at_now_and_then(tmp_path: Path):
    async with network(tmp_path, 1) as stage:
        replica = stage.hosts[0].node._replica
        assert replica is not None
        act, looks = replica.steward.act, 0

        def count(*arguments: Any) -> Any:
            nonlocal looks
            looks += 1
            return act(*arguments)

        replica.steward.act = count  # type: ignore[method-assign]
        for _ in range(100):
            replica._tending._seen = None
            replica._tending.executed()
            await trio.sleep(0.01)
        assert 2 <= looks <= 15, "for a second, at most each tenth of one"
