"""What is announced, and when: the same commits by all seats, and few of them."""

from random import Random

import pytest

from ccp2p.crypto.signatures import SigningKey
from ccp2p.gossip import commits
from ccp2p.gossip.messages import Announce
from ccp2p.model.block import BlockReference
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.errors import PeerFault
from ccp2p.node.herald import Herald

NETWORK, EPOCH = b"N" * 32, 3
KEYS = [SigningKey(bytes([at]) * 32) for at in range(4)]
PEER, OTHER = b"p" * 32, b"o" * 32
LEADER = BlockReference(1, 0, b"l" * 32)


def herald(me: int, newest: Commit | None = None) -> Herald:
    seats = tuple(Seat(key.public, b"x" * 32, b"p%d" % at, "sim") for at, key in enumerate(KEYS))
    signing = KEYS[me] if me >= 0 else SigningKey(b"o" * 32)
    made = Herald(NETWORK, Committee(EPOCH, seats), me, signing, newest, Random(1))
    made.meet({PEER: False, OTHER: True})
    made.heartbeat(0, 0)
    return made


def chain(*times_ms: int) -> list[Commit]:
    made: list[Commit] = []
    for index, time_ms in enumerate(times_ms, 1):
        previous = made[-1].digest if made else bytes(32)
        made.append(Commit(EPOCH, index, LEADER, (LEADER,), time_ms, previous))
    return made


def announced(sends: list) -> list[int]:
    """The commits that were announced, each to both peers."""
    said = [
        commits.read(message.data).commit for _, message in sends if isinstance(message, Announce)
    ]
    assert said[::2] == said[1::2]
    return said[::2]


def test_seats_announce_the_same_commits_however_they_come_by_them() -> None:
    news = chain(1_000, 1_010, 1_021, 1_022, 1_050, 1_260, 1_270)
    one_by_one, in_two = herald(0), herald(1)
    said = [announced(one_by_one.committed([commit], 40)) for commit in news]
    assert said == [[1], [], [], [], [], [6], []], "one in 420 ms of ledger time"
    assert announced(in_two.committed(news[:3], 40)) == [1]
    assert announced(in_two.committed(news[3:], 40)) == [6]
    assert announced(in_two.committed(news[:0], 40)) == []


def test_few_observers_are_told_more_often_and_none_nothing() -> None:
    news = chain(*range(1_000, 1_400, 10))
    counts = [
        sum(len(announced(made.committed([commit], observers))) for commit in news)
        for observers, made in ((0, herald(0)), (1, herald(1)), (40, herald(2)), (900, herald(3)))
    ]
    assert counts == [0, 14, 2, 1]


def test_who_restarts_goes_on_where_it_was() -> None:
    news = chain(1_000, 1_010, 1_260)
    again = herald(0, newest=news[0])
    assert announced(again.committed(news[1:2], 40)) == []
    assert announced(again.committed(news[2:], 40)) == [3]


def test_where_ledger_time_stands_a_heartbeat_announces() -> None:
    node, news = herald(0), chain(1_000, 1_000, 1_000)
    node.committed(news[:1], 1)
    node.committed(news[1:], 1)
    assert announced(node.heartbeat(1, 1_000)) == []
    assert announced(node.heartbeat(1, 2_000)) == [3]
    assert announced(node.heartbeat(1, 3_000)) == [], "said before"


def test_the_last_commit_of_an_epoch_is_announced_whenever_it_comes() -> None:
    node, news = herald(0), chain(1_000, 1_001)
    assert announced(node.committed(news, 40)) == [1]
    assert announced(node.closing()) == [2]


def test_an_observer_passes_on_and_announces_nothing_itself() -> None:
    node, (commit,) = herald(-1), chain(1_000)
    assert node.committed([commit], 40) == node.closing() == []
    data = commits.announce(NETWORK, EPOCH, 1, commit.digest, 2, KEYS[2])
    sends, said = node.hear(PEER, Announce(data), 0)
    assert sends == [(OTHER, Announce(data))]
    assert said == commits.read(data)
    assert node.hear(OTHER, Announce(data), 0) == ([], said), "a second one to ask"


def test_observers_tell_no_seat_of_commits_and_seats_do() -> None:
    seat = KEYS[1].public
    for me, told in ((-1, {OTHER}), (0, {OTHER, seat})):
        node, (commit,) = herald(me), chain(1_000)
        node.meet({PEER: False, OTHER: True, seat: True})
        node.heartbeat(0, 0)
        data = commits.announce(NETWORK, EPOCH, 1, commit.digest, 2, KEYS[2])
        sends, _ = node.hear(PEER, Announce(data), 0)
        assert {to for to, _ in sends} == told


def test_what_is_of_another_epoch_is_shown_and_not_passed_on() -> None:
    node = herald(-1)
    for epoch in (EPOCH - 1, EPOCH + 1, 1 << 60):
        data = commits.announce(NETWORK, epoch, 1, b"c" * 32, 2, KEYS[2])
        assert node.hear(PEER, Announce(data), 0) == ([], commits.read(data))


def test_whoever_lied_is_blamed_and_gives_no_hints_for_a_while() -> None:
    node = herald(-1)
    true = commits.announce(NETWORK, EPOCH, 7, b"c" * 32, 2, KEYS[2])
    for forged in (b"", true[:-1] + b"x", bytes(300)):
        with pytest.raises(PeerFault):
            node.hear(PEER, Announce(forged), 0)
    assert node.hear(PEER, Announce(true), 0) == ([], None)
    assert node.hear(OTHER, Announce(true), 0)[1] == commits.read(true)


def test_who_is_gone_is_not_known() -> None:
    node = herald(0)
    node.meet({OTHER: True})
    assert [node.knows(PEER), node.knows(OTHER)] == [False, True]
