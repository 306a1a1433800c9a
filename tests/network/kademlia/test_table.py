"""The routing table: nobody is in it on hearsay, nobody who answers is driven out."""

from collections import Counter
from random import Random

from ccp2p.model import limits
from ccp2p.network.kademlia.contacts import Contact, distance, may_dial, place_of
from ccp2p.network.kademlia.core import Asker, Kademlia
from ccp2p.network.kademlia.messages import Find
from ccp2p.network.kademlia.table import RoutingTable
from tests.network.kademlia.stage import NOW_MS, contact, key

OWN = key(0)


def test_a_full_bucket_keeps_who_answers_and_makes_room_of_who_does_not():
    table = RoutingTable(OWN)
    own = place_of(OWN)
    far = [
        one
        for one in (contact(number) for number in range(1, 200))
        if distance(place_of(one.node), own) >> 255
    ]
    first, late = far[: limits.NEAREST], far[limits.NEAREST]
    assert all(table.answered(one) for one in first)
    assert not table.answered(late)
    table.failed(first[3].node)
    assert table.answered(late)
    assert first[3] not in set(table)
    for _ in range(limits.CONTACT_FAILURES):
        table.failed(late.node)
    assert late not in set(table)
    assert not table.answered(contact(0))


def test_a_subnet_has_its_share_of_every_bucket():
    table = RoutingTable(OWN)
    for number in range(1, 2000):
        table.answered(contact(number, "66.66.1.1", 1000 + number))
    buckets = Counter(distance(place_of(one.node), place_of(OWN)).bit_length() for one in table)
    assert max(buckets.values()) <= limits.ORIGIN_CONTACTS
    # A node that comes back from another subnet is its own successor, within that one's share.
    moved = next(iter(table))
    assert table.answered(Contact(moved.node, contact(1, "77.7.1.1").address)) in (True, False)
    assert len({one.node for one in table}) == len(table)


def test_on_one_machine_and_one_local_network_nobody_is_kept_out():
    table = RoutingTable(OWN)
    for number in range(1, 9):
        assert table.answered(contact(number, "127.0.0.1", 1000 + number))
        assert table.answered(contact(100 + number, f"10.77.0.{number}"))


def test_who_asks_is_told_of_nobody_that_it_cannot_dial():
    table = RoutingTable(OWN)
    loopback, local, public = (
        contact(1, "127.0.0.1"),
        contact(2, "10.77.0.2"),
        contact(3, "20.1.1.1"),
    )
    for one in (loopback, local, public):
        table.answered(one)
    assert set(table.nearest(OWN, 2)) == {public}
    assert set(table.nearest(OWN, 1)) == {local, public}
    assert len(table.nearest(OWN, 0)) == 3
    far_away = contact(9, "20.9.9.9").address
    assert not may_dial(loopback, far_away)
    assert not may_dial(local, far_away)
    assert may_dial(public, far_away)
    assert may_dial(public, contact(9, "10.77.0.9").address)
    for bad in (
        "",
        "/ip4/20.1.1.1/tcp/1",
        "/dns4/example.org/tcp/1/p2p/" + public.address.split("/")[-1],
        public.address.replace("20.1.1.1", "224.0.0.1"),
        public.address.replace("20.1.1.1", "0.0.0.0"),
        public.address.replace("/4001/", "/0/"),
        public.address + "x" * 300,
        contact(4).address,
    ):
        assert not may_dial(Contact(public.node, bad), far_away)


def test_who_asks_is_a_contact_only_once_it_answered_and_crowds_are_forgotten():
    core = Kademlia(OWN)
    for number in range(1, 3 * limits.CONTACTS_UNTRIED):
        core.answer(Find(bytes(32), 4001), Asker(key(number), "20.1.1.1"), NOW_MS)
    core.answer(Find(bytes(32)), Asker(key(5000), "20.1.1.1"), NOW_MS)
    assert not len(core.table)
    untried = []
    while (one := core.untried()) is not None:
        untried.append(one)
    assert len(untried) == limits.CONTACTS_UNTRIED
    assert key(5000) not in {one.node for one in untried}, "it said that it does not listen"
    known = untried[0]
    assert core.table.answered(known)
    core.answer(Find(bytes(32), 4001), Asker(known.node, "20.1.1.1"), NOW_MS)
    assert core.untried() is None, "whom we know is not tried each time that it asks"


def test_every_part_of_the_table_is_looked_into_in_turn():
    table = RoutingTable(OWN)
    for number in range(1, 200):
        table.answered(contact(number))
    own, randomness = place_of(OWN), Random(1)
    buckets = {distance(place_of(one.node), own).bit_length() for one in table}
    depth = 256 - min(buckets)
    seen = {
        distance(table.place_to_refresh(now_ms, randomness), own).bit_length()
        for now_ms in range(1, depth + 2)
    }
    assert seen == set(range(256 - depth, 257))
