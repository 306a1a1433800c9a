"""What waits for the next epoch stays within limits, and a flood costs only its sender."""

from hypothesis import given
from hypothesis import strategies as st

from ccp2p.node.early_frames import BYTES, FRAMES, EarlyFrames

HONEST, HOSTILE, THIRD = b"h" * 32, b"x" * 32, b"t" * 32


def test_frames_come_back_in_the_order_in_which_they_came() -> None:
    early = EarlyFrames()
    sent = [(node, bytes([number])) for number in range(20) for node in (HONEST, THIRD)]
    for node, frame in sent:
        early.append(node, frame)
    assert list(early.in_order()) == sent


def test_a_flood_of_large_frames_displaces_only_its_own() -> None:
    early = EarlyFrames()
    early.append(HONEST, b"record")
    for number in range(40):
        early.append(HOSTILE, bytes([number]) * (BYTES // 16))
    early.append(HONEST, b"block")
    kept = early.in_order()
    assert [frame for node, frame in kept if node == HONEST] == [b"record", b"block"]
    assert sum(len(frame) for _, frame in kept) <= BYTES
    assert kept[-2][1][0] == 39, "of a peer's frames the newest stay"


def test_a_flood_of_small_frames_displaces_only_its_own() -> None:
    early = EarlyFrames()
    early.append(HONEST, b"record")
    for _ in range(10 * FRAMES):
        early.append(HOSTILE, b"")
    kept = early.in_order()
    assert kept[0] == (HONEST, b"record")
    assert len(kept) == FRAMES


@given(st.lists(st.tuples(st.sampled_from((HONEST, HOSTILE, THIRD)), st.integers(0, BYTES // 3))))
def test_the_limits_hold_whatever_comes(sizes: list[tuple[bytes, int]]) -> None:
    early = EarlyFrames()
    for node, size in sizes:
        early.append(node, bytes(size))
        kept = early.in_order()
        assert len(kept) <= FRAMES
        assert sum(len(frame) for _, frame in kept) <= BYTES
        assert kept[-1][0] == node
