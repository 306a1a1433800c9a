"""Between CLOSE and the next epoch: stopped there, alone or all together, nodes go on."""

from pathlib import Path

import pytest
import trio

from ccp2p.client import rooms
from ccp2p.node import crossing
from ccp2p.node import setup as setups
from ccp2p.node.crossing import Crossed, Crossing
from ccp2p.node.messages import (
    FetchBlocks,
    FollowRequest,
    PeerMessage,
    decode_message,
    encode_fetched,
)
from ccp2p.node.replica import CLOSING
from tests.node.stage import PATIENCE_S, TIMEOUT_MS, Stage, eventually, network
from tests.node.test_epochs import epoch_of, join
from tests.node.test_lifecycle import ann_in_lobby, assert_same_state, texts


def hold(monkeypatch: pytest.MonkeyPatch, stage: Stage, numbers: list[int]) -> list[bytes]:
    """Let these hosts' crossings never begin; those that came to it.

    They go on giving blocks: a follower may be the last to have what CLOSE rests on.
    """
    held: list[bytes] = []
    run = Crossing.run

    async def wait(self: Crossing) -> Crossed:
        node = self._passage._node
        hosts = {stage.hosts[at].node.setup.identity.node: stage.hosts[at].node for at in numbers}
        if node not in hosts:
            return await run(self)
        held.append(node)
        replica = hosts[node]._replica
        assert replica is not None
        while True:
            asker, frame = await anext(self._feed)
            if isinstance(message := decode_message(frame), FetchBlocks):
                hosts[node].peers.send(asker, encode_fetched(replica.seat.serve(message)))

    monkeypatch.setattr(Crossing, "run", wait)
    return held


async def reopen_between(stage: Stage, number: int) -> None:
    """Start a host again whose store holds what CLOSE left."""
    setup = await trio.to_thread.run_sync(setups.reopen, stage.wanted(number))
    assert setup.store is not None
    assert setup.store.meta(CLOSING)
    stage.hosts[number] = await stage.launch(setup)


@pytest.mark.parametrize("stopped", [[3], [0, 1, 2, 3], [0, 1, 2, 3, 4]], ids=["one", "old", "all"])
async def test_a_node_stopped_between_close_and_the_next_epoch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: list[int]
):
    async with network(tmp_path, 4) as stage:
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "before", TIMEOUT_MS)
        held = hold(monkeypatch, stage, stopped)
        await join(stage, 4)
        await eventually(lambda: len(held) == len(stopped))
        for number in stopped:
            await stage.hosts[number].stop()
        monkeypatch.undo()
        for number in stopped:
            await reopen_between(stage, number)
        await eventually(lambda: all(epoch_of(host) == 1 for host in stage.hosts))
        with trio.fail_after(PATIENCE_S):
            for host in stage.hosts:
                while not host.has_voted:
                    await trio.sleep(0.02)
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "after", TIMEOUT_MS)
            assert await texts(ann) == ["before", "after"]
        await assert_same_state(stage)


async def test_who_missed_a_whole_epoch_behind_close_fetches_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nobody keeps the secret of an epoch that is over, so its record alone does not help."""
    async with network(tmp_path, 4) as stage:
        held = hold(monkeypatch, stage, [3])
        await join(stage, 4)
        await eventually(lambda: len(held) == 1)
        await stage.hosts[3].stop()
        monkeypatch.undo()
        await join(stage, 5)
        awake = [stage.hosts[number] for number in (0, 1, 2, 4, 5)]
        await eventually(lambda: all(epoch_of(host) == 2 for host in awake), 2 * PATIENCE_S)
        await reopen_between(stage, 3)
        await eventually(lambda: epoch_of(stage.hosts[3]) == 2, 2 * PATIENCE_S)
        await assert_same_state(stage)


async def test_who_waits_for_the_record_alone_asks_nobody_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(crossing, "_SPEAK_S", 30.0)
    asked: list[bytes] = []
    tell = Crossing._tell

    def note(self: Crossing, node: bytes, message: PeerMessage) -> None:
        if isinstance(message, FollowRequest):
            asked.append(node)
        tell(self, node, message)

    monkeypatch.setattr(Crossing, "_tell", note)
    async with network(tmp_path, 3) as stage:
        await join(stage, 3)
        await eventually(lambda: [epoch_of(host) for host in stage.hosts] == [1] * 4, PATIENCE_S)
    assert asked == []
