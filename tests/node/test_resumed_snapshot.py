"""A newcomer over real links: its snapshot goes on elsewhere when a peer lies or vanishes."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.node.desk import Desk
from ccp2p.node.messages import PeerMessage, SnapshotHead, SnapshotPart, SnapshotRequest
from tests.node.stage import TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_epochs import PATIENCE_S, epoch_of, join
from tests.node.test_lifecycle import ann_in_lobby

Answer = Callable[[Desk, bytes, PeerMessage], Awaitable[PeerMessage | None]]


class Desks:
    """What the desks of real nodes do, and what they were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: Stage, bend: Answer) -> None:
        self.parts: Counter[tuple[bytes, int]] = Counter()
        self.heads: list[int] = []
        true_answer = Desk.answer

        async def answer(desk: Desk, node: bytes, message: PeerMessage) -> PeerMessage | None:
            if isinstance(message, SnapshotRequest) and self.host_of(stage, desk) is stage.hosts[0]:
                told = await bend(desk, node, message)
            else:
                told = await true_answer(desk, node, message)
            if isinstance(told, SnapshotPart) and not told.is_gone:
                self.parts[node, told.part] += 1
            if isinstance(told, SnapshotHead):
                self.heads.append(told.commit)
            return told

        self.true_answer = true_answer
        monkeypatch.setattr(Desk, "answer", answer)

    @staticmethod
    def host_of(stage: Stage, desk: Desk) -> Host:
        return next(h for h in stage.hosts if h.node._replica and h.node._replica.desk is desk)


async def with_history(stage: Stage) -> None:
    async with stage.client() as client:
        ann = await ann_in_lobby(client)
        for number in range(50):
            await rooms.ask_post(ann, "lobby", str(number), TIMEOUT_MS)


async def test_a_newcomer_drops_a_peer_that_lies_about_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    true_answer = Desk.answer

    async def bend(desk: Desk, node: bytes, message: PeerMessage) -> PeerMessage | None:
        told = await true_answer(desk, node, message)
        if isinstance(told, SnapshotPart) and told.part >= 100 and told.buckets:
            index, data = told.buckets[0]
            return replace(told, buckets=((index, data[:-1] + b"x"), *told.buckets[1:]))
        return told

    async with network(tmp_path, 4) as stage:
        await with_history(stage)
        desks = Desks(monkeypatch, stage, bend)
        newcomer = await join(stage, 4)
        await eventually(lambda: epoch_of(newcomer) == 1, PATIENCE_S)
        liar = stage.hosts[0].node.setup.identity.node.hex()[:16]
        blamed = [line for line in capsys.readouterr().out.splitlines() if "at fault" in line]
        assert blamed
        assert all(liar in line and "snapshot" in line for line in blamed)
        assert len(desks.heads) >= 2


async def test_a_newcomer_goes_on_with_another_peer_when_one_vanishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    true_answer, vanish = Desk.answer, trio.Event()

    async def bend(desk: Desk, node: bytes, message: PeerMessage) -> PeerMessage | None:
        if isinstance(message, SnapshotRequest) and message.part >= 100:
            vanish.set()
            return None
        return await true_answer(desk, node, message)

    async with network(tmp_path, 4) as stage:
        await with_history(stage)
        desks = Desks(monkeypatch, stage, bend)
        newcomer = await join(stage, 4)
        await vanish.wait()
        await stage.hosts[0].stop()
        await eventually(lambda: epoch_of(newcomer) == 1, PATIENCE_S)
        assert len(desks.heads) >= 2
        repeated = [name for name, count in desks.parts.items() if count > 1]
        assert len(repeated) < sum(desks.parts.values()) / 4
