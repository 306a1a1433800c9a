import pytest

from ccp2p.model import limits
from ccp2p.model.committee import Committee, Seat


def committee(size: int) -> Committee:
    seats = [Seat(bytes([i]) * 32, b"s" * 32, bytes([i]), "vendor") for i in range(size)]
    return Committee(0, tuple(seats))


@pytest.mark.parametrize(
    ("size", "faulty", "quorum"),
    [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 1, 3), (6, 1, 5), (7, 2, 5), (10, 3, 7), (200, 66, 134)],
)
def test_sizes_of_faults_and_quorums(size: int, faulty: int, quorum: int):
    counted = committee(size)
    assert (counted.size, counted.faulty, counted.quorum) == (size, faulty, quorum)


def test_two_quorums_share_an_honest_seat_and_the_honest_alone_are_one():
    for size in range(1, limits.MAX_COMMITTEE + 1):
        counted = committee(size)
        assert 2 * counted.quorum - size > counted.faulty
        assert size - counted.faulty >= counted.quorum


def test_a_seat_is_found_by_its_nodes_key():
    counted = committee(4)
    assert [counted.index_of(seat.node) for seat in counted.seats] == [0, 1, 2, 3]
    assert counted.index_of(b"x" * 32) is None
    assert counted.index_of(b"") is None
