"""When a node waits in vain: never while rounds end, however slow they are."""

from ccp2p.node.patience import FLOOR, QUORUM, STALLED_MS, WAITING, Patience

IDLE_MS = 1_000
LIMIT_MS = STALLED_MS + 3 * IDLE_MS


def test_a_round_that_does_not_end_is_told_once():
    patience = Patience(IDLE_MS)
    assert not patience.look(7, False, 0)
    assert not patience.look(7, False, LIMIT_MS - 1)
    assert patience.waits == ""
    assert patience.look(7, False, LIMIT_MS)
    assert patience.waits == QUORUM
    assert not patience.look(7, False, LIMIT_MS + 1), "it was told already"
    assert patience.waits == QUORUM


def test_a_starting_node_waits_for_its_floor():
    patience = Patience(IDLE_MS)
    patience.look(0, True, 0)
    assert patience.look(0, True, LIMIT_MS)
    assert patience.waits == FLOOR
    assert set(WAITING) == {FLOOR, QUORUM}


def test_rounds_that_end_without_this_node_show_that_a_quorum_lives():
    patience = Patience(IDLE_MS)
    for round_ in range(20):
        assert not patience.look(round_, True, round_ * (LIMIT_MS - 1))
        assert patience.waits == ""


def test_whoever_came_back_ends_the_wait():
    patience = Patience(IDLE_MS)
    patience.look(7, False, 0)
    patience.look(7, False, LIMIT_MS)
    assert not patience.look(8, False, LIMIT_MS + 1)
    assert patience.waits == ""
    assert patience.look(8, False, 2 * LIMIT_MS + 1)
