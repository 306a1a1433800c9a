from dataclasses import dataclass

import pytest

from ccp2p.model.block import BlockReference
from ccp2p.node.floor import RESUME_DISTANCE, Floor, FloorAnswer, FloorSearch


def at(round_: int, author: int = 0) -> BlockReference:
    return BlockReference(round_, author, bytes(32))


def answer(own: int = 0, yours: int = 0, *, starting: bool = False) -> FloorAnswer:
    return FloorAnswer(at(own) if own else None, at(yours) if yours else None, starting)


@dataclass(frozen=True)
class Case:
    """Answers by peer, and the floor that they give (None: keep waiting)."""

    name: str
    answers: dict[int, FloorAnswer]
    floor: Floor | None
    size: int = 4
    disk_round: int = 0
    disks: bool = True
    unadmitted: int = 0


STARTING = {"starting": True}
CASES = [
    Case("nobody answered", {}, None),
    Case("two of three are too few", {1: answer(9), 2: answer(8)}, None),
    Case("a quorum of others", {1: answer(9), 2: answer(8), 3: answer(7)}, Floor(12, "peers")),
    Case(
        "what peers hold of us counts",
        {1: answer(5, 20), 2: answer(8), 3: answer(7)},
        Floor(23, "peers"),
    ),
    Case(
        "our own disk counts",
        {1: answer(9), 2: answer(8), 3: answer(7)},
        Floor(33, "peers"),
        disk_round=30,
    ),
    Case(
        "a starting peer is none of the quorum",
        {1: answer(9), 2: answer(8), 3: answer(7, **STARTING)},
        Floor(31, "disks"),
        disk_round=30,
    ),
    Case(
        "running peers with nothing to show still count",
        {1: answer(), 2: answer(), 3: answer()},
        Floor(3, "peers"),
    ),
    Case("three of five, who may wait for us", {i: answer(9) for i in (1, 2, 3)}, None, size=5),
    Case(
        "three of five, and one that starts like us",
        {1: answer(4), 2: answer(4), 3: answer(4), 4: answer(3, **STARTING)},
        Floor(4, "disks"),
        size=5,
        disk_round=3,
    ),
    Case("four of five", {i: answer(9) for i in range(1, 5)}, Floor(12, "peers"), size=5),
    Case(
        "five of seven",
        {i: answer(i) for i in range(1, 6)},
        Floor(8, "peers"),
        size=7,
    ),
    Case("four of seven", {i: answer(i) for i in range(1, 5)}, None, size=7),
    Case(
        "all are new",
        {i: answer(**STARTING) for i in (1, 2, 3)},
        Floor(1, "start"),
    ),
    Case(
        "all restart from their disks",
        {i: answer(8, 9, **STARTING) for i in (1, 2, 3)},
        Floor(10, "disks"),
        disk_round=9,
    ),
    Case(
        "all restart, one is still away",
        {i: answer(8, 9, **STARTING) for i in (1, 2)},
        None,
        disk_round=9,
    ),
    Case(
        "a peer holds a newer block of us than our disk",
        {1: answer(8, 10, **STARTING), 2: answer(8, 9, **STARTING), 3: answer(8, 9, **STARTING)},
        None,
        disk_round=9,
    ),
    Case(
        "resume by governors waits for them",
        {i: answer(8, 9, **STARTING) for i in (1, 2, 3)},
        None,
        disk_round=9,
        disks=False,
    ),
    Case(
        "resume by governors lets a new network begin",
        {i: answer(**STARTING) for i in (1, 2, 3)},
        Floor(1, "start"),
        disks=False,
    ),
    Case(
        "resume by governors goes on by its peers",
        {i: answer(8, 9) for i in (1, 2, 3)},
        Floor(12, "peers"),
        disk_round=9,
        disks=False,
    ),
    Case(
        "a block that was not admitted does not count",
        {1: answer(99), 2: answer(8), 3: answer(7)},
        None,
        unadmitted=99,
    ),
    Case(
        "a block of ours that was not admitted does not count",
        {1: answer(9, 99), 2: answer(8), 3: answer(7)},
        None,
        unadmitted=99,
    ),
    Case("three nodes have no f to spare", {1: answer(9), 2: answer(9)}, Floor(6, "disks"), 3, 5),
    Case("three nodes wait for both", {1: answer(9)}, None, 3, 5),
    Case("two nodes wait for each other", {}, None, 2, 5),
    Case("two nodes", {1: answer(9, 5)}, Floor(6, "disks"), 2, 5),
    Case("a network of one has nobody to ask", {}, Floor(1, "start"), 1),
    Case("a network of one goes on from its disk", {}, Floor(6, "disks"), 1, 5),
    Case("a network of one goes on whatever its rule", {}, Floor(6, "disks"), 1, 5, disks=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_the_floor_of_a_start(case: Case):
    faulty = (case.size - 1) // 3
    search = FloorSearch(case.size, faulty, 0, case.disk_round, case.disks)
    for peer, given in case.answers.items():
        search.add(peer, given)
    found = search.decide(lambda shown: shown.round != case.unadmitted or not case.unadmitted)
    assert found == case.floor


def test_the_floor_is_three_rounds_beyond_what_anybody_saw():
    assert RESUME_DISTANCE == 3


def test_whoever_was_starting_is_asked_again():
    search = FloorSearch(4, 1, 2, 0, True)
    assert search.missing(lambda _: True) == [0, 1, 3]
    search.add(0, answer(5))
    search.add(1, answer(5, **STARTING))
    assert search.missing(lambda _: True) == [1, 3]
    search.add(1, answer(6))
    assert search.missing(lambda _: True) == [3]


def test_a_block_of_ours_that_a_peer_showed_once_is_not_forgotten():
    search = FloorSearch(4, 1, 0, 5, True)
    for shown in (answer(6, 6, **STARTING), answer(6, **STARTING)):
        for peer in (1, 2, 3):
            search.add(peer, shown)
        assert search.decide(lambda _: True) is None


def test_whoever_showed_what_is_not_admitted_is_asked_again():
    search = FloorSearch(4, 1, 0, 5, True)
    for peer in (1, 2, 3):
        search.add(peer, answer(5 + peer))
    assert search.missing(lambda shown: shown.round != 7) == [2]


def test_a_peers_newest_answer_replaces_its_earlier_one():
    search = FloorSearch(4, 1, 0, 0, True)
    for peer in (1, 2, 3):
        search.add(peer, answer(50 + peer))
    search.add(3, answer(9))
    assert search.decide(lambda _: True) == Floor(55, "peers")


@pytest.mark.parametrize("peer", [0, -1, 4])
def test_answers_of_no_other_seat_are_ignored(peer: int):
    search = FloorSearch(4, 1, 0, 0, True)
    for seat in (1, 2, peer):
        search.add(seat, answer(9))
    assert search.decide(lambda _: True) is None


def test_f_liars_alone_cannot_give_a_floor_below_what_honest_peers_saw():
    search = FloorSearch(4, 1, 0, 0, True)
    search.add(1, answer(1, 1))
    search.add(2, answer(40, 40))
    search.add(3, answer(40, 41))
    floor = search.decide(lambda _: True)
    assert floor is not None
    assert floor.round > 41


def test_who_founded_the_epoch_just_now_asks_nobody():
    search = FloorSearch(4, 1, 0, 0, False, just_founded=True)
    assert search.decide(lambda _: False) == Floor(1, "start")


def test_a_block_on_the_disk_belies_a_founding_just_now():
    search = FloorSearch(4, 1, 0, 7, True, just_founded=True)
    assert search.decide(lambda _: True) is None
