"""Whether a process is reached: one look for all of its networks."""

import os
from random import Random

import pytest
import trio

from ccp2p.model.errors import PeerFault
from ccp2p.network import ClientListener, FrameStream, PeerNetwork, Reception
from ccp2p.network.addresses import format_address, parse_address
from ccp2p.network.circuits import PROTOCOL, Probed, encode_message
from ccp2p.network.relay import Relay
from ccp2p.network.reservation import probe
from ccp2p.node import reachability
from ccp2p.node.reachability import Reachability, _Said
from tests.network.stage import HASTY, ToyAttestor, echo, eventually, network

HOSTS = ("198.51.100.1", "192.0.2.1", "192.0.2.1")


def port_of(listener: ClientListener) -> int:
    return parse_address(listener.addresses[0]).port


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


@pytest.mark.parametrize("host", ["not an ip", "", "fe80::1%eth0", "192.0.2.1/tcp/1"])
async def test_a_peer_that_saw_us_nowhere_is_not_believed(nursery: trio.Nursery, host: str):
    async def lie(stream: FrameStream) -> None:
        await stream.receive()
        await stream.send(encode_message(Probed(host, True)))

    listener = ClientListener(key_seed=os.urandom(32), handler=echo)
    listener.services[PROTOCOL] = lie
    await nursery.start(listener.run)
    with pytest.raises(PeerFault, match="no answer"):
        await probe(listener.addresses[0], os.urandom(32), 1, 2)


async def test_of_where_peers_saw_us_what_most_of_them_say_counts(nursery: trio.Nursery):
    attestor = ToyAttestor(os.urandom(32))
    reception = Reception(key_seed=attestor.seed, timing=HASTY)
    listener = ClientListener(key_seed=attestor.seed, handler=echo)
    for one in (reception, listener):
        await nursery.start(one.run)
    reach = Reachability(attestor.seed, reception, listener, Random(1))
    said = [_Said(relay, host, True) for relay, host in zip("abc", HOSTS, strict=True)]
    reach._judge(said, nursery)
    assert listener.relayed == (format_address(HOSTS[1], port_of(listener), attestor.node),)
