"""Addresses that others tell may be anything: nothing of it may stop this node."""

from random import Random

import pytest

from ccp2p.model import limits
from ccp2p.network import PeerNetwork
from ccp2p.network.addresses import format_address
from ccp2p.node.acquaintances import Acquaintances
from ccp2p.node.network_record import NodeAddresses
from tests.network import stage

OWN = b"o" * 32
GARBAGE = (
    "",
    "not an address",
    "/ip4/256.0.0.1/tcp/1",
    "\ud7ff" * 50,
    "/ip4/192.0.2.1/tcp/1/p2p/x",
)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def at(number: int, owner: int) -> str:
    return format_address(f"192.0.2.{number}", 4001, key(owner))


def around() -> tuple[Acquaintances, PeerNetwork]:
    """Acquaintances over a network that does not run."""
    peers = stage.network()
    found = Acquaintances(OWN, peers, Random(1))
    return found, peers


@pytest.mark.parametrize("bad", [*GARBAGE, at(1, 2)], ids=[*map(str, range(len(GARBAGE))), "other"])
def test_an_address_that_leads_nowhere_is_passed_over(bad: str):
    found, peers = around()
    wanted = [NodeAddresses(key(1), (bad, at(1, 1)), ()), NodeAddresses(key(2), (bad[:9],), ())]
    found.keep_only(wanted)
    assert peers.kept() == {key(1): (at(1, 1),)}
    found.connect(key(3), (bad, bad))
    found.connect(key(4), (bad, at(4, 4)))
    assert set(peers.kept()) == {key(1), key(4)}


def test_a_peer_that_names_nodes_without_end_makes_us_dial_a_bounded_number():
    found, peers = around()
    for number in range(2 * limits.BOOK_NODES):
        found.connect(key(number), (format_address(f"10.0.{number % 256}.1", 1, key(number)),))
    assert len(peers.kept()) == limits.BOOK_NODES
