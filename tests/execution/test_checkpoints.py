import pytest

from ccp2p.execution.checkpoints import Certified, Diverged, Tally, checkpoint_of
from ccp2p.model import limits
from ccp2p.model.checkpoint import Checkpoint, CheckpointVote
from ccp2p.model.committee import Committee, Seat
from tests.execution.ledger import NETWORK, Ledger, commit_at


def committee(size: int) -> Committee:
    seats = (Seat(bytes([n]) * 32, bytes(32), b"", "simulated") for n in range(size))
    return Committee(0, tuple(seats))


def checkpoint(commit: int, state: bytes = b"s" * 32, epoch: int = 0) -> Checkpoint:
    return Checkpoint(NETWORK, epoch, commit, b"c" * 32, state, b"o" * 32, 1000)


def vote(author: int, commit: int = 64, state: bytes = b"s" * 32, epoch: int = 0):
    return CheckpointVote(checkpoint(commit, state, epoch), author, b"signature %d" % author)


@pytest.fixture
def tally() -> Tally:
    return Tally(NETWORK, committee(4))


def test_a_checkpoint_carries_the_roots_after_its_commit():
    ledger = Ledger("kv")
    applied = ledger.apply()
    made = checkpoint_of(NETWORK, commit_at(1), applied)
    assert made == Checkpoint(
        NETWORK, 0, 1, commit_at(1).digest, applied.state_root, applied.outcomes_root, 1000
    )


def test_a_quorum_of_equal_votes_certifies(tally: Tally):
    assert tally.executed(checkpoint(64)) is None
    assert tally.add(vote(3)) is None
    assert tally.add(vote(3)) is None
    assert tally.add(vote(0)) is None
    certified = tally.add(vote(1))
    signatures = tuple((author, b"signature %d" % author) for author in (0, 1, 3))
    assert certified == Certified(checkpoint(64), signatures)
    assert tally.newest == certified
    assert tally.add(vote(2)) is None, "once is enough"


def test_votes_that_come_before_we_executed_count_when_we_have(tally: Tally):
    for author in range(3):
        assert tally.add(vote(author)) is None
    assert isinstance(tally.executed(checkpoint(64)), Certified)


def test_a_quorum_for_other_roots_than_ours_says_diverged(tally: Tally):
    tally.executed(checkpoint(64, state=b"mine" * 8))
    assert tally.add(vote(0)) is None
    assert tally.add(vote(3, state=b"mine" * 8)) is None
    assert tally.add(vote(1)) is None
    found = tally.add(vote(2))
    assert found == Diverged(checkpoint(64, state=b"mine" * 8), checkpoint(64))
    assert tally.newest is None


def test_fewer_than_a_quorum_decide_nothing_whatever_they_say(tally: Tally):
    tally.executed(checkpoint(64))
    assert tally.add(vote(0)) is None
    assert tally.add(vote(1)) is None
    assert tally.add(vote(2, state=b"other" * 6)) is None
    assert tally.add(vote(2)) is None, "a seat's first vote counts"
    for stranger in (vote(4), vote(-1), vote(3, epoch=1)):
        assert tally.add(stranger) is None
    elsewhere = Checkpoint(b"m" * 32, 0, 64, b"c" * 32, b"s" * 32, b"o" * 32, 1000)
    assert tally.add(CheckpointVote(elsewhere, 3, b"signature")) is None
    assert isinstance(tally.add(vote(3)), Certified)


def test_a_network_of_one_certifies_by_its_own_vote():
    tally = Tally(NETWORK, committee(1))
    tally.executed(checkpoint(64))
    assert isinstance(tally.add(vote(0)), Certified)


def test_a_later_certificate_closes_what_is_before_it(tally: Tally):
    for commit in (64, 128):
        tally.executed(checkpoint(commit))
    assert [tally.add(vote(author, 128)) for author in range(3)][-1] is not None
    assert [tally.add(vote(author, 64)) for author in range(3)] == [None] * 3
    assert tally.newest is not None
    assert tally.newest.checkpoint.commit == 128


def test_liars_votes_take_bounded_memory_and_stop_nothing(tally: Tally):
    for number in range(1, 1000):
        tally.add(vote(3, commit=number))
        tally.add(vote(3, commit=1 << 40 | number))
    assert len(tally._open) <= limits.MAX_OPEN_CHECKPOINTS
    tally.executed(checkpoint(5000))
    assert tally.add(vote(3, commit=4999)) is None
    assert [tally.add(vote(author, 5000)) for author in range(3)][-1] is not None


def test_checkpoints_that_nobody_certifies_take_bounded_memory(tally: Tally):
    for number in range(1, 200):
        tally.executed(checkpoint(number))
    assert len(tally._open) <= limits.MAX_OPEN_CHECKPOINTS
    assert [tally.add(vote(author, 199)) for author in range(3)][-1] is not None
