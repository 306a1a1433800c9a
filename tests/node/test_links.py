"""Whom a node stays connected to: the seats among themselves, the others to a few."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.client import rooms
from ccp2p.membership.roster import Change, Member, Roster, faulty_of
from ccp2p.model.genesis import Parameters
from ccp2p.node import links
from ccp2p.node.links import MOST_SEATS, OTHERS, wanted
from tests.node.stage import TIMEOUT_MS, eventually, network
from tests.node.test_epochs import join
from tests.node.test_lifecycle import ann_in_lobby


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def member(number: int) -> Member:
    return Member(key(number), b"s" * 32, b"p%d" % number, "sim-a", "sim", (), (), 0)


def roster(seats: int, observers: int, coming: tuple[int, ...] = ()) -> Roster:
    """Seats come first in the numbers; `coming` have a seat in the epoch that is prepared."""
    members = tuple(map(member, range(seats)))
    change = Change(1, 1, tuple(map(member, coming)), (), (), ()) if coming else None
    following = tuple(map(member, range(seats, seats + observers)))
    return Roster(1, members, following, change=change)


def test_seats_keep_to_seats_and_to_who_comes_in() -> None:
    made = roster(4, 20, coming=(1, 2, 3, 9))
    seats = {key(number) for number in (0, 1, 2, 3, 9)}
    for own in seats:
        assert wanted(made, own, b"s" * 32, ()) == seats - {own}


@given(st.integers(1, 40), st.integers(1, 60), st.binary(min_size=16, max_size=16), st.data())
def test_others_keep_to_an_honest_seat_at_least_and_to_few(
    seats: int, observers: int, secret: bytes, data: st.DataObject
) -> None:
    made = roster(seats, observers)
    own = key(data.draw(st.integers(seats, seats + observers - 1)))
    nodes = wanted(made, own, secret, ())
    places = {int.from_bytes(node, "big") for node in nodes}
    assert sum(place < seats for place in places) == min(faulty_of(seats) + 1, MOST_SEATS)
    assert sum(place >= seats for place in places) == min(OTHERS, observers - 1)
    assert own not in nodes
    away = set(data.draw(st.lists(st.sampled_from(sorted(nodes)), unique=True))) if nodes else set()
    more = wanted(made, own, secret, away)
    assert nodes <= more, "who is away is dialled on"
    seats_here = sum(int.from_bytes(node, "big") < seats for node in more - away)
    seats_away = sum(int.from_bytes(node, "big") < seats for node in away)
    assert seats_here == min(faulty_of(seats) + 1, MOST_SEATS, seats - seats_away)


def test_processes_choose_differently_and_evenly() -> None:
    made = roster(10, 100)
    chosen = Counter(
        node
        for number in range(10, 110)
        for node in wanted(made, key(number), b"%16d" % number, ())
        if node < key(10)
    )
    assert sum(chosen.values()) == 400
    assert min(chosen.values()) > 20, "40 each, by chance"
    assert max(chosen.values()) < 65


async def test_observers_part_with_whom_they_do_not_need_and_follow_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "OTHERS", 1)
    monkeypatch.setattr(links, "_SPARE_S", 0.5)
    parameters = Parameters(
        coin_length=1 << 14,
        min_round_delay_ms=20,
        max_round_delay_ms=100,
        committee_max=4,
    )
    async with network(tmp_path, 4, parameters=parameters, kind="mesh") as stage:
        for number in (4, 5, 6, 7):
            await join(stage, number)
        seats, others = stage.hosts[:4], stage.hosts[4:]
        names = {host.node.peers.node for host in seats}
        await eventually(lambda: all(host.ready.is_set() for host in others))

        def dialled(host: object) -> set[bytes]:
            return {node for node, ours in host.node.peers.connections().items() if ours}

        def have_parted() -> bool:
            return all(len(dialled(host)) <= 3 and dialled(host) & names for host in others)

        await eventually(have_parted)
        for host in seats:
            assert names - {host.node.peers.node} <= set(host.node.peers.connections())
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            await rooms.ask_post(ann, "lobby", "to all", TIMEOUT_MS)
        newest = max(host.commit for host in seats)
        await eventually(lambda: all(host.commit >= newest for host in others))
        assert have_parted()
