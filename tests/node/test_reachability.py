"""Whether a process is reached: one look for all of its networks."""

import os
from random import Random

import trio

from ccp2p.network import ClientListener, PeerNetwork, Reception
from ccp2p.network.circuits import PROTOCOL
from ccp2p.network.relay import Relay
from ccp2p.node import reachability
from ccp2p.node.reachability import Reachability
from tests.network.stage import HASTY, ToyAttestor, echo, eventually, network


async def test_a_peer_in_any_network_is_asked_and_an_address_that_is_none_is_passed_over(
    nursery: trio.Nursery, monkeypatch
):
    monkeypatch.setattr(reachability, "_may_be_reached", lambda _: True)
    attestor = ToyAttestor(os.urandom(32))
    reception = Reception(key_seed=attestor.seed, timing=HASTY)
    listener = ClientListener(key_seed=attestor.seed, handler=echo)
    reach = Reachability(attestor.seed, reception, listener, Random(1))
    for one in (reception, listener):
        await nursery.start(one.run)
    alone, met = (network(attestor, reception=reception, network_id=id * 32) for id in (b"1", b"2"))
    peer, relay = await friend(nursery, met, b"2" * 32)
    for one in (alone, met):
        await nursery.start(one.run)
    await met.dial(peer.addresses[0])

    nursery.start_soon(reach.run)
    with reach.among(alone, lambda: ("junk", "/ip4/nonsense", "")):
        await trio.sleep(3 * reachability._GLANCE_S)
        assert reach.state == "unknown"
        with reach.among(met, lambda: ("junk", relay)):
            await eventually(lambda: reach.state == "direct")
            assert reach.relay._serves(peer.node)
        assert not reach.relay._serves(peer.node), "a network that is gone has no peers"


async def friend(nursery: trio.Nursery, met: PeerNetwork, network_id: bytes):
    """Another node of that network, and where it serves as a relay."""
    attestor = ToyAttestor(os.urandom(32))
    peer = network(attestor, network_id=network_id)
    listener = ClientListener(key_seed=attestor.seed, handler=echo)
    listener.services[PROTOCOL] = Relay(lambda node: node == met.node).serve
    for one in (peer, listener):
        await nursery.start(one.run)
    return peer, listener.addresses[0]
