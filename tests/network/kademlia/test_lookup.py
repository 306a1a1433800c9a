"""Lookups find what is nearest, and whoever has many keys in few subnets surrounds nobody."""

from collections import Counter
from dataclasses import replace
from random import Random

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import limits
from ccp2p.network.addresses import format_address, subnet_of
from ccp2p.network.kademlia.contacts import Contact, distance, place_of
from ccp2p.network.kademlia.core import Kademlia
from ccp2p.network.kademlia.lookup import Lookup
from ccp2p.network.kademlia.messages import Find, Found, Stored
from tests.network.kademlia.stage import (
    NETWORK,
    TOPIC,
    Node,
    Overlay,
    announcement,
    contact,
    grown,
    key,
)


def true_nearest(nodes: list[Node], target: bytes) -> list[bytes]:
    keys = [node.contact.node for node in nodes]
    return sorted(keys, key=lambda one: distance(place_of(one), target))[: limits.NEAREST]


def test_a_lookup_finds_the_nearest_of_many_and_asks_few():
    randomness = Random(1)
    overlay, nodes = grown(200, randomness)
    for _ in range(3):
        target = randomness.randbytes(32)
        newcomer = overlay.add(contact(1000 + randomness.randrange(1000)))
        before = overlay.asked
        lookup, _ = overlay.search(newcomer, target, [nodes[0].contact])
        assert [one.node for one in lookup.closest()] == true_nearest(nodes, target)
        assert overlay.asked - before <= limits.LOOKUP_QUERIES
        del overlay.nodes[newcomer.contact.address]


def test_what_is_published_is_found_by_whoever_knows_the_topic():
    overlay, nodes = grown(120, Random(2))
    signing = SigningKey(b"a" * 32)
    author = overlay.add(contact(900))
    author.contact = Contact(signing.public, format_address("30.200.1.1", 4001, signing.public))
    author.core = Kademlia(signing.public)
    overlay.nodes[author.contact.address] = author
    overlay.enter(author, nodes[3].contact)
    assert overlay.publish(author, signing, TOPIC, announcement(signing)) == limits.NEAREST
    newcomer = overlay.add(contact(901))
    _, records = overlay.search(newcomer, TOPIC.key, [nodes[50].contact])
    assert [record.node for record in records] == [signing.public]


def test_a_lookup_survives_that_a_third_is_gone():
    overlay, nodes = grown(150, Random(3))
    gone = Random(4).sample(nodes[1:], 50)
    for node in gone:
        del overlay.nodes[node.contact.address]
    left = [node for node in nodes if node not in gone]
    target = b"\x42" * 32
    lookup, _ = overlay.search(overlay.add(contact(999)), target, [nodes[0].contact])
    found = [one.node for one in lookup.closest()]
    assert len(set(found) & set(true_nearest(left, target))) >= 18


class Eclipser(Node):
    """Names its accomplices only, keeps nothing, and tells no record."""

    accomplices: tuple[Contact, ...] = ()

    def answer(self, request, asker):
        if not isinstance(request, Find):
            return Stored("")
        nearest = sorted(
            self.accomplices, key=lambda one: distance(place_of(one.node), request.target)
        )
        return Found(tuple(nearest[: limits.NEAREST]), ())


def eclipsed(hosts: list[str], count: int = 2000):
    """An overlay of 100 honest nodes and `count` attackers' keys spread over `hosts`."""
    overlay, nodes = grown(100, Random(5))
    attackers = [
        contact(10_000 + number, hosts[number % len(hosts)], 2000 + number)
        for number in range(count)
    ]
    for one in attackers:
        overlay.add(one, Eclipser).accomplices = tuple(attackers)
    return overlay, nodes, attackers


def publish(overlay: Overlay, nodes: list[Node], number: int = 0) -> bytes:
    signing = SigningKey(bytes([number + 1]) * 32)
    address = format_address(f"31.{number}.1.1", 4001, signing.public)
    author = overlay.add(Contact(signing.public, address))
    overlay.enter(author, nodes[number].contact)
    overlay.publish(author, signing, TOPIC, announcement(signing))
    return signing.public


def test_an_attacker_with_two_thousand_keys_in_one_subnet_does_not_eclipse_a_newcomer():
    """Its keys are the nearest to the target by far, and the newcomer hears of them first."""
    overlay, nodes, attackers = eclipsed(["66.66.1.1", "66.66.2.2", "66.66.3.3"])
    nearest = sorted(attackers, key=lambda one: distance(place_of(one.node), TOPIC.key))
    for node in nodes:  # they have entered, as everybody may
        for one in nearest[:40]:
            node.core.table.answered(one)
    author = publish(overlay, nodes)
    newcomer = overlay.add(contact(5000))
    lookup, records = overlay.search(newcomer, TOPIC.key, [nodes[0].contact, nearest[0]])
    assert [record.node for record in records] == [author]
    subnets = Counter(subnet_of(one.address) for one in lookup.closest())
    assert subnets[subnet_of(attackers[0].address)] <= limits.ORIGIN_CONTACTS
    assert sum(subnets.values()) == limits.NEAREST
    held = Counter(subnet_of(one.address) for one in nodes[7].core.table)
    assert held[subnet_of(attackers[0].address)] <= limits.ORIGIN_CONTACTS * 12


def test_without_a_subnets_share_the_same_attacker_wins(monkeypatch):
    """The share is what stops it, and not luck."""
    monkeypatch.setattr(limits, "ORIGIN_CONTACTS", 10_000)
    overlay, nodes, attackers = eclipsed(["66.66.1.1"])
    publish(overlay, nodes)
    newcomer = overlay.add(contact(5000))
    lookup, records = overlay.search(newcomer, TOPIC.key, [nodes[0].contact, attackers[0]])
    assert not records
    assert {subnet_of(one.address) for one in lookup.closest()} == {"4/4242"}


def lied_to() -> tuple[int, int]:
    """How many dials in vain one subnet's lies cost a newcomer: before it found, and in all."""
    overlay, nodes, attackers = eclipsed(["66.66.1.1"], 50)
    liars = sorted(
        (contact(20_000 + number, f"9{number % 10}.{number % 250}.1.1") for number in range(3000)),
        key=lambda one: distance(place_of(one.node), TOPIC.key),
    )
    for number, one in enumerate(attackers):
        overlay.nodes[one.address].accomplices = tuple(liars[20 * number : 20 * number + 20])
    author = publish(overlay, nodes)
    newcomer = overlay.add(contact(5000))
    overlay.in_vain = 0
    _, records = overlay.search(
        newcomer, TOPIC.key, [nodes[0].contact, *attackers[: limits.ORIGIN_CONTACTS]]
    )
    assert [record.node for record in records] == [author]
    return overlay.in_vain_before_found, overlay.in_vain


def test_whoever_names_nodes_that_are_not_there_wastes_little_of_our_time(monkeypatch):
    """Addresses in any subnet cost nothing to claim; the word of one subnet goes so far."""
    before, in_all = lied_to()
    assert before <= limits.INTRODUCED
    assert in_all <= limits.LIES_BORNE + limits.ASKED_AT_ONCE
    with monkeypatch.context() as patched:
        patched.setattr(limits, "INTRODUCED", 10_000)
        assert lied_to()[0] >= 2 * before
    monkeypatch.setattr(limits, "LIES_BORNE", 10_000)
    assert lied_to()[1] > 2 * in_all


def test_a_lookup_is_bounded_whatever_it_is_told():
    lookup = Lookup(b"\0" * 32, key(0), [contact(1)])
    number = 10
    asked = 0
    while (one := lookup.next()) is not None:
        asked += 1
        lookup.answered(one, [contact(number + extra) for extra in range(limits.NEAREST)])
        number += limits.NEAREST
    assert lookup.is_done
    assert asked <= limits.LOOKUP_QUERIES
    assert len(lookup._candidates) <= limits.LOOKUP_CANDIDATES


def test_our_own_key_is_nobody_to_ask():
    own = contact(0)
    lookup = Lookup(TOPIC.key, own.node, [own, own])
    assert lookup.next() is None
    assert lookup.is_done
    assert lookup.closest() == []
    assert replace(TOPIC, secret=NETWORK).key != TOPIC.key
