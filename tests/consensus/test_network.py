"""Small networks of real `Consensus` objects in virtual time: they agree, and they stay live."""

import pytest

from ccp2p.consensus.messages import PayloadOffered
from ccp2p.model.genesis import Parameters
from tests.consensus.world import COIN, START_MS, VirtualNetwork, agreed_commits


def events(member) -> list[bytes]:
    return [
        envelope
        for one in member.commits
        for block in one.blocks
        for envelope in block.payload.envelopes
    ]


@pytest.mark.parametrize(
    ("size", "crashed"),
    [(1, ()), (2, ()), (3, ()), (4, ()), (4, (2,)), (7, ()), (7, (0, 6))],
)
def test_events_commit_everywhere_with_up_to_f_nodes_down(
    size: int, crashed: tuple[int, ...]
) -> None:
    network = VirtualNetwork(size, seed=size, crashed=crashed)
    live = [me for me in range(size) if me not in crashed]
    offered = [b"event %d" % number for number in range(20)]
    for number, event in enumerate(offered):
        network.handle(live[number % len(live)], PayloadOffered(envelopes=(event,)))
        network.run(100)
    network.run(2_000)
    members = [network.members[me] for me in live]
    assert agreed_commits(members) > 10
    for member in members:
        assert sorted(events(member)) == sorted(offered)


def test_more_than_f_nodes_down_stop_commits_and_one_back_lets_them_go_on() -> None:
    network = VirtualNetwork(4, seed=1)
    network.run(5_000)
    network.members[2].is_up = network.members[3].is_up = False
    network.run(3_000)
    before = len(network.members[0].commits)
    network.handle(0, PayloadOffered(envelopes=(b"event",)))
    network.run(10_000)
    assert len(network.members[0].commits) <= before + 4
    assert events(network.members[0]) == []
    network.restart(2)
    network.run(5_000)
    assert events(network.members[0]) == events(network.members[2]) == [b"event"]


def test_an_idle_network_stays_slow_and_an_event_wakes_it() -> None:
    network = VirtualNetwork(4, seed=2)
    network.run(20_000)
    round_ = network.members[0].core.round
    assert round_ < 25
    network.handle(1, PayloadOffered(envelopes=(b"event",)))
    network.run(1_000)
    assert all(events(member) == [b"event"] for member in network.members)
    network.run(20_000)
    assert network.members[0].core.round < round_ + 40


def test_a_network_recovers_from_losing_every_message_for_a_while() -> None:
    lost_until_ms = START_MS + 8_000

    def is_lost(sender: int, receiver: int, now_ms: int) -> bool:
        return START_MS + 3_000 <= now_ms < lost_until_ms

    network = VirtualNetwork(4, seed=4, is_lost=is_lost)
    network.run(8_500)
    network.handle(3, PayloadOffered(envelopes=(b"event",)))
    network.run(6_000)
    assert agreed_commits(network.members) > 20
    assert all(events(member) == [b"event"] for member in network.members)


def test_lossy_links_only_slow_it_down() -> None:
    def is_lost(sender: int, receiver: int, now_ms: int) -> bool:
        return (now_ms * 7 + sender * 3 + receiver) % 5 == 0

    network = VirtualNetwork(4, seed=5, is_lost=is_lost)
    for number in range(10):
        network.handle(number % 4, PayloadOffered(envelopes=(b"%d" % number,)))
        network.run(500)
    network.run(20_000)
    agreed_commits(network.members)
    assert all(len(events(member)) == 10 for member in network.members)


def test_two_halves_cannot_commit_and_agree_after_they_meet() -> None:
    def is_lost(sender: int, receiver: int, now_ms: int) -> bool:
        return now_ms < START_MS + 10_000 and (sender < 2) != (receiver < 2)

    network = VirtualNetwork(4, seed=6, is_lost=is_lost)
    network.run(9_000)
    assert all(member.commits == [] for member in network.members)
    network.run(15_000)
    assert agreed_commits(network.members) > 5


def test_nodes_that_restart_one_after_the_other_agree() -> None:
    parameters = Parameters(coin_length=COIN.length, gc_depth=10, max_round_delay_ms=100)
    network = VirtualNetwork(4, seed=7, parameters=parameters)
    for turn in range(12):
        me = turn % 4
        network.handle((me + 1) % 4, PayloadOffered(envelopes=(b"%d" % turn,)))
        network.members[me].is_up = False
        network.run(700)
        network.restart(me)
        network.run(700)
    network.run(2_000)
    assert agreed_commits(network.members) > 100
    assert all(len(set(events(member))) == 12 for member in network.members)
    assert all(member.evidence == [] for member in network.members)


def test_memory_is_bounded_by_the_gc_depth() -> None:
    parameters = Parameters(coin_length=COIN.length, gc_depth=10, max_round_delay_ms=40)
    network = VirtualNetwork(4, seed=9, parameters=parameters)
    network.run(10_000)
    core = network.members[0].core
    assert core.round > 100
    assert core.admitted <= 4 * 20
    assert core.suspended == 0
