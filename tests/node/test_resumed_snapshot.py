"""A snapshot whose download breaks off goes on where it was, with whoever is honest and there."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.model import hashing
from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.node.catch_up import CatchUp
from ccp2p.node.desk import Desk
from ccp2p.node.messages import PeerMessage, SnapshotHead, SnapshotPart, SnapshotRequest
from tests.node.recorded import Lie, Recorded, record
from tests.node.stage import TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_catch_up import link_of
from tests.node.test_epochs import PATIENCE_S, epoch_of, join
from tests.node.test_lifecycle import ann_in_lobby

Answer = Callable[[Desk, bytes, PeerMessage], Awaitable[PeerMessage | None]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A real network's answers."""
    return record(tmp_path_factory.mktemp("recorded"))


def counted(asked: Counter[int], lie: Lie) -> Lie:
    """The same lie; what parts were asked for is counted."""

    def told(peer: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        if isinstance(message, SnapshotRequest):
            asked[message.part] += 1
        return lie(peer, message, answer)

    return told


def on_part(recorded: Recorded, number: int, bend: Callable[[SnapshotPart], object]) -> Lie:
    """The first seat bends one part."""

    def told(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        if peer == recorded.seats[0] and isinstance(answer, SnapshotPart) and answer.part == number:
            return bend(answer)  # type: ignore[return-value]
        return answer

    return told


@pytest.mark.parametrize("bend", [lambda part: replace(part, buckets=()), lambda part: None])
async def test_parts_are_kept_when_a_peer_lies_or_vanishes(
    recorded: Recorded, bend: Callable[[SnapshotPart], object], autojump_clock: object
):
    filled = [n for n, part in enumerate(recorded.head.nodes) if part != hashing.ZERO_DIGEST]
    middle, asked = filled[len(filled) // 2], Counter[int]()
    lie = counted(asked, on_part(recorded, middle, bend))
    setup = recorded.setup
    one = CatchUp(setup.genesis, setup.network, setup.policy, recorded.letters(lie))
    with pytest.raises((PeerFault, Unreachable)):
        await one.image(recorded.seats[0], link_of(recorded))
    image = await one.image(recorded.seats[1], link_of(recorded))
    assert asked == Counter([-1, *filled, middle])
    honest = CatchUp(setup.genesis, setup.network, setup.policy, recorded.letters())
    assert image == await honest.image(recorded.seats[2], link_of(recorded))


async def test_parts_of_an_older_state_serve_where_they_did_not_change(recorded: Recorded):
    """The second peer no longer keeps the state that the first one began to hand out."""
    filled = [n for n, part in enumerate(recorded.head.nodes) if part != hashing.ZERO_DIGEST]
    middle, asked, gone = filled[len(filled) // 2], Counter[int](), set[int]()

    def lie(peer: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        is_part = isinstance(answer, SnapshotPart) and answer.part == middle
        if is_part and len(gone) < 2:
            gone.add(len(gone))
            return replace(answer, buckets=(), is_gone=True)
        return answer

    setup = recorded.setup
    letters = recorded.letters(counted(asked, lie))
    one = CatchUp(setup.genesis, setup.network, setup.policy, letters)
    with pytest.raises(Unreachable):
        await one.image(recorded.seats[0], link_of(recorded))
    await one.image(recorded.seats[1], link_of(recorded))
    assert asked == Counter([-1, -1, *filled, middle, middle])


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
