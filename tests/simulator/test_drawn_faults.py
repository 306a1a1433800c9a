"""Faults that show with an equivocator and a rolled-back node within three rounds: drawn by hand.

Four nodes; A signs everything twice. D signed a block that only C kept, lost its disk to an older
image, asked the others for its floor, and went on from there. Two observers see what A shows them.
"""

from collections.abc import Callable

import pytest

from ccp2p.consensus import support
from ccp2p.consensus.vertex import Vertex
from ccp2p.model.block import BlockReference
from ccp2p.node import floor
from ccp2p.node.floor import FloorAnswer, FloorSearch
from tests.consensus.drawing import Drawing, Observer, in_order

ROUND_1_AND_2 = "ABCD1:[root] A1':[root] A2:[ABCD1] A2':[A1' BCD1] B2:[A1' BCD1] CD2:[ABCD1] "


def restart_round(shown: int) -> int:
    """Where D goes on when its disk shows round 1 and its peers blocks of round `shown`."""
    search = FloorSearch(4, 1, 3, 1, resume_from_disks=True)
    for peer in range(3):
        own = BlockReference(shown, peer, bytes(32))
        search.add(peer, FloorAnswer(own, None, starting=False))
    found = search.decide(lambda _: True)
    assert found is not None
    return found.round


def observed(text: str, hidden: str) -> list[list[str]]:
    """The first leader of slot A1 for who sees everything, and for who lacks `hidden`."""
    drawing = Drawing(4, in_order("A"))
    drawing.draw(text)
    drawing.full_rounds(6, 12, "BCD")
    seen: list[list[str]] = []
    for but in ("", hidden):
        observer = Observer(drawing)
        observer.see_all(but)
        seen.append(observer.leaders[:1])
    return seen


def lost_vote() -> list[list[str]]:
    """D's lost block is of round 3, and its peers had reached round 2 when it asked."""
    text = ROUND_1_AND_2 + "A3:[ABCD2] A3':[A2' BC2] B3:[BC2 A2'] C3:[CD2 A2 B2] D3:[D2 AC2 B2] "
    text += "A4:[A3 CD3 B3] B4:[B3 ACD3] C4:[CAD3 B3] A4':[A3' BC3] "
    after = restart_round(2)
    if after <= 4:
        text += "D4:[D1 B3 A3' C3] A5':[A4' BCD4] BCD5:[BCD4 A4'] "
    else:
        text += "A5':[A4' BC4] BC5:[BC4 A4'] D5:[D1 BC4 A4'] "
    return observed(text, hidden="A4")


def old_vote() -> list[list[str]]:
    """D's lost block is of round 2, and its peers had reached round 1 when it asked."""
    text = ROUND_1_AND_2 + "A3:[A2 BC2] A3':[A2' BC2] B3:[BC2 A2'] C3:[CB2 A2] "
    text += "A4:[A3 BC3 D2] B4:[B3 AC3 D2] C4:[C3 AB3 D2] A4':[A3' BC3] "
    assert restart_round(1) == 4
    text += "D4:[D1 B3 A3' C3] "
    text += "A5':[A4' BCD4] BCD5:[BCD4 A4'] "
    return observed(text, hidden="A4")


def restart_too_soon(patcher: pytest.MonkeyPatch) -> None:
    """The restart floor is off by one."""
    patcher.setattr(floor, "RESUME_DISTANCE", 2)


def any_parent_certifies(patcher: pytest.MonkeyPatch) -> None:
    """Certificates count the votes of all parents, not only those of the vote round."""

    def certificates(vertex: Vertex, waves: tuple[int, ...], quorum: int) -> dict:
        return {
            wave: tuple(
                support.certified(column, quorum)
                for column in zip(
                    *(votes(one, vertex.round - wave + 1) for one in vertex.parents), strict=True
                )
            )
            for wave in waves
        }

    def votes(parent: Vertex, slot_round: int) -> tuple[Vertex | None, ...]:
        distance = parent.round - slot_round
        return parent.supports[distance - 1] if 1 <= distance <= 3 else (None,) * 4

    patcher.setattr(support, "certificates", certificates)


@pytest.mark.parametrize(
    ("world", "fault"), [(lost_vote, restart_too_soon), (old_vote, any_parent_certifies)]
)
def test_two_observers_agree_and_would_not_with_the_fault(
    world: Callable[[], list[list[str]]],
    fault: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = world()
    assert first == second
    fault(monkeypatch)
    first, second = world()
    assert first != second, "the fault must show"
