"""One port, one identity, several networks: each peer comes in where it belongs."""

import os

import pytest
import trio

from ccp2p.model import limits
from ccp2p.model.errors import AttestationFault, Fault, LocalFault
from ccp2p.network import Reception, proof

from .stage import HASTY, ToyAttestor, eventually, frame_of, network, start

ONE, TWO, THREE = b"1" * 32, b"2" * 32, b"3" * 32


async def house(nursery, *ids):
    """A reception and the networks of these ids behind it."""
    attestor = ToyAttestor(os.urandom(32))
    reception = Reception(key_seed=attestor.seed, timing=HASTY)
    await nursery.start(reception.run)
    inside = [network(attestor, network_id=id_, reception=reception) for id_ in ids]
    for each in inside:
        await nursery.start(each.run)
    return reception, inside


async def test_each_peer_comes_in_where_it_belongs(nursery):
    reception, (one, two) = await house(nursery, ONE, TWO)
    [ann] = await start(nursery, 1, network_id=ONE)
    [bob] = await start(nursery, 1, network_id=TWO)
    for each, inside, frame in ((ann, one, b"for one"), (bob, two, b"for two")):
        await each.dial(reception.addresses[0])
        assert each.send(inside.node, frame)
        assert await frame_of(inside) == frame
    assert list(one.peers()) == [ann.node]
    assert list(two.peers()) == [bob.node]


async def test_the_same_two_nodes_are_connected_once_in_each_network(nursery):
    _, ours = await house(nursery, ONE, TWO)
    reception, theirs = await house(nursery, ONE, TWO)
    for mine in ours:
        await mine.dial(reception.addresses[0])
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.send(other.node, mine._network_id)
        assert await frame_of(other) == mine._network_id


async def test_whoever_means_no_network_here_gets_the_same_word_as_before(nursery):
    reception, (one, _) = await house(nursery, ONE, TWO)
    [stranger] = await start(nursery, 1, network_id=THREE)
    with pytest.raises(AttestationFault, match="another network"):
        await stranger.dial(reception.addresses[0])
    await eventually(lambda: reception.refusals == {"attestation": 1})
    assert one.refused == {}


async def test_a_network_that_stops_loses_its_peers_and_the_other_keeps_its_own(nursery):
    reception, (one,) = await house(nursery, ONE)
    two = network(ToyAttestor(one._attestor.seed), network_id=TWO, reception=reception)
    [ann] = await start(nursery, 1, network_id=ONE)
    [bob] = await start(nursery, 1, network_id=TWO)
    async with trio.open_nursery() as its_own:
        await its_own.start(two.run)
        await ann.dial(reception.addresses[0])
        await bob.dial(reception.addresses[0])
        await eventually(lambda: bob.node in two.peers())
        its_own.cancel_scope.cancel()
    await eventually(lambda: not bob.peers())
    with pytest.raises(Fault):
        await bob.dial(reception.addresses[0])
    assert ann.send(one.node, b"still")
    assert await frame_of(one) == b"still"


async def test_a_full_network_keeps_nobody_out_of_another(nursery, monkeypatch):
    monkeypatch.setattr(limits, "MAX_PEER_CONNECTIONS", 1)
    reception, (one, two) = await house(nursery, ONE, TWO)
    first, second = await start(nursery, 2, network_id=ONE)
    [bob] = await start(nursery, 1, network_id=TWO)
    await first.dial(reception.addresses[0])
    with pytest.raises(Fault):
        await second.dial(reception.addresses[0])
    await eventually(lambda: one.refused == {"full": 1})
    await bob.dial(reception.addresses[0])
    await eventually(lambda: bob.node in two.peers())


async def test_a_network_is_there_once(nursery):
    reception, (one,) = await house(nursery, ONE)
    with pytest.raises(LocalFault, match="already"):
        reception.open(ONE, one)


def test_a_route_is_of_one_handshake_and_hides_the_id():
    routes = {proof.route_of(id_, hash_) for id_ in (ONE, TWO) for hash_ in (b"h" * 32, b"g" * 32)}
    assert len(routes) == 4
    assert not any(id_ in route for route in routes for id_ in (ONE, TWO))
