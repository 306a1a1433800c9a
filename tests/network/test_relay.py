"""Relays: who cannot be reached is reached through one that reads nothing and has its limits."""

import os
from contextlib import suppress
from random import Random

import pytest
import trio

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.errors import AttestationFault, Fault, PeerFault, Unreachable
from ccp2p.network import ClientListener, Connected, EndOfStream, connect
from ccp2p.network.addresses import parse_address, relayed_address
from ccp2p.network.circuits import (
    MEMBERS,
    NODES,
    PROTOCOL,
    Accept,
    Connect,
    Granted,
    Incoming,
    Probe,
    Reserve,
    decode_message,
    encode_message,
)
from ccp2p.network.relay import Relay
from ccp2p.network.reservation import probe, reserve
from tests.network.stage import ToyAttestor, echo, eventually, frame_of, network, next_of, start
from tests.strangers.test_node import spoiled


class Site:
    """A relay at a real listener, and a node that takes what it passes on."""

    def __init__(self, nursery):
        self.nursery = nursery
        self.relay = Relay(lambda node: node in self.served)
        self.served: set[bytes] = set()
        self.address = ""

    async def open(self):
        listener = ClientListener(key_seed=os.urandom(32), handler=echo)
        listener.services[PROTOCOL] = self.relay.serve
        await self.nursery.start(listener.run)
        self.address = listener.addresses[0]
        return self

    async def hide(self, seed: bytes, peers, listener=None) -> str:
        """Reserve for a node; its address behind the relay."""
        node = SigningKey(seed).public
        self.served.add(node)
        held = trio.Event()

        async def take(door, stream):
            if door == MEMBERS:
                await listener.take(stream, "relay")
            else:
                await peers.reception.take(stream, "relay")

        async def hold():
            with suppress(Fault):
                await reserve(self.address, seed, take, held.set)

        self.nursery.start_soon(hold)
        with trio.fail_after(30):
            await held.wait()
        return relayed_address(self.address, node)


async def hidden(nursery) -> tuple[Site, object, ClientListener, str]:
    """A relay, and a node behind it whose own listeners nobody is told of."""
    site = await Site(nursery).open()
    attestor = ToyAttestor(os.urandom(32))
    peers = network(attestor)
    await nursery.start(peers.run)
    listener = ClientListener(key_seed=attestor.seed, handler=echo)
    await nursery.start(listener.run)
    return site, peers, listener, await site.hide(attestor.seed, peers, listener)


async def test_nodes_attest_each_other_and_members_talk_through_a_relay(nursery):
    site, behind, _, address = await hidden(nursery)
    [dialler] = await start(nursery, 1)
    assert await dialler.dial(address) == behind.node
    assert (await next_of(behind, Connected)).node == dialler.node
    assert (await next_of(dialler, Connected)).verdict.startswith("verdict on")
    for size in (1, 100_000, 3_000_000):
        assert dialler.send(behind.node, bytes(size))
        assert len(await frame_of(behind)) == size
        assert behind.send(dialler.node, b"y" * size)
        assert len(await frame_of(dialler)) == size
    assert dialler.peers()[behind.node].address == address
    async with connect(address, timeout_ms=30_000) as stream:
        assert stream.remote == behind.node
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        assert site.relay.circuits == 2
    dialler.disconnect(behind.node, "done")
    await eventually(lambda: site.relay.circuits == 0)
    assert site.relay.carried_bytes > 6_000_000


async def test_what_a_relay_carries_shows_nothing_of_what_is_said(nursery):
    site, behind, _, address = await hidden(nursery)
    seen: list[bytes] = []
    carry = site.relay._carry

    async def listening(one, other):
        for stream in (one, other):
            receive = stream.receive

            async def overheard(receive=receive):
                seen.append(await receive())
                return seen[-1]

            stream.receive = overheard
        await carry(one, other)

    site.relay._carry = listening
    [dialler] = await start(nursery, 1)
    await dialler.dial(address)
    assert dialler.send(behind.node, b"a secret of ours" * 100)
    assert await frame_of(behind)
    carried = b"".join(seen)
    assert len(carried) > 1000
    assert b"secret" not in carried
    assert dialler.node not in carried
    assert b"toy evidence" not in carried


async def test_a_relay_that_answers_itself_is_found_out(nursery):
    """It cannot pose as who is behind it: the key that the address names has to answer."""
    site, behind, _, address = await hidden(nursery)
    [impostor] = await start(nursery, 1)

    async def steal(stream, asked):
        await stream.send(encode_message(Granted()))
        from ccp2p.network.circuits import CircuitStream

        await impostor.reception.take(CircuitStream(stream), "relay")

    site.relay._connect = steal
    [dialler] = await start(nursery, 1)
    with pytest.raises(PeerFault):
        await dialler.dial(address)
    assert behind.node not in dialler.peers()


async def test_an_unattested_node_gets_no_further_through_a_relay(nursery):
    _, behind, _, address = await hidden(nursery)
    forger = network(ToyAttestor(os.urandom(32), SigningKey(b"f" * 32)))
    await nursery.start(forger.run)
    with pytest.raises(AttestationFault):
        await forger.dial(address)
    assert not behind.peers()
    assert behind.refusals["attestation"] == 1


async def test_a_reservation_is_for_peers_and_for_so_many(nursery, monkeypatch):
    monkeypatch.setattr(limits, "RESERVATIONS", 2)
    site = await Site(nursery).open()

    async def take(door, stream):
        raise AssertionError

    with pytest.raises(Unreachable, match="not-attested"):
        await reserve(site.address, os.urandom(32), take, lambda: None)
    [peers] = await start(nursery, 1)
    for _ in range(2):
        await site.hide(os.urandom(32), peers)
    seed = os.urandom(32)
    site.served.add(SigningKey(seed).public)
    with pytest.raises(Unreachable, match="full"):
        await reserve(site.address, seed, take, lambda: None)
    with pytest.raises(Unreachable, match="not-here"):
        async with connect(relayed_address(site.address, bytes(32)), timeout_ms=30_000):
            pass


async def test_a_reservation_ends_unless_it_is_renewed_and_when_its_node_is_no_peer(
    nursery, monkeypatch
):
    monkeypatch.setattr(limits, "RESERVATION_MS", 600)
    monkeypatch.setattr(limits, "RENEWAL_MS", 150)
    site = await Site(nursery).open()
    [peers] = await start(nursery, 1)
    await site.hide(os.urandom(32), peers)
    await trio.sleep(1.5)
    assert site.relay.reservations == 1, "renewed"
    site.served.clear()
    await eventually(lambda: site.relay.reservations == 0)
    seed = os.urandom(32)
    site.served.add(SigningKey(seed).public)
    async with connect(site.address, timeout_ms=30_000, protocol=PROTOCOL, key_seed=seed) as silent:
        await silent.send(encode_message(Reserve()))
        assert decode_message(await silent.receive()) == Granted("")
        assert site.relay.reservations == 1
        with pytest.raises(EndOfStream), trio.fail_after(30):
            await silent.receive()
    assert site.relay.reservations == 0


async def test_circuits_are_bounded_in_bytes_time_and_number(nursery, monkeypatch):
    site, behind, _, address = await hidden(nursery)
    monkeypatch.setattr(limits, "CIRCUITS_OF_NODE", 1)
    async with connect(address, timeout_ms=30_000) as stream:
        with pytest.raises(Unreachable, match="full"):
            async with connect(address, timeout_ms=30_000):
                pass
        await stream.send(b"still here")
        assert await stream.receive() == b"still here"
    await eventually(lambda: site.relay.circuits == 0)
    monkeypatch.setattr(limits, "CIRCUIT_BYTES", 200_000)
    async with connect(address, timeout_ms=30_000) as stream:
        answered = 0
        with pytest.raises(PeerFault), trio.fail_after(30):  # noqa: PT012
            while True:
                await stream.send(bytes(50_000))
                await stream.receive()
                answered += 1
        assert 1 <= answered <= 2, "of 100,000 bytes there and back"
    await eventually(lambda: site.relay.circuits == 0)
    monkeypatch.setattr(limits, "CIRCUIT_BYTES", 1 << 30)
    monkeypatch.setattr(limits, "CIRCUIT_MS", 500)
    async with connect(address, timeout_ms=30_000) as stream:
        with pytest.raises(PeerFault), trio.fail_after(30):
            await stream.receive()
    assert behind.handshakes == 0


async def test_a_node_that_takes_nothing_holds_nobody_up_for_long(nursery, monkeypatch):
    monkeypatch.setattr(limits, "CIRCUIT_WAIT_MS", 300)
    site = await Site(nursery).open()
    seed = os.urandom(32)
    site.served.add(SigningKey(seed).public)
    async with connect(site.address, timeout_ms=30_000, protocol=PROTOCOL, key_seed=seed) as deaf:
        await deaf.send(encode_message(Reserve()))
        assert decode_message(await deaf.receive()) == Granted("")
        with pytest.raises(Unreachable, match="no-answer"):
            async with connect(
                relayed_address(site.address, SigningKey(seed).public), timeout_ms=30_000
            ):
                pass
        incoming = decode_message(await deaf.receive())
        assert isinstance(incoming, Incoming)
        async with connect(site.address, timeout_ms=30_000, protocol=PROTOCOL) as thief:
            await thief.send(encode_message(Accept(incoming.circuit)))
            assert decode_message(await thief.receive()) == Granted("not-here")
    assert site.relay.circuits == 0


async def test_a_probe_tells_whether_both_ports_answer_with_our_key(nursery):
    site = await Site(nursery).open()
    seed = os.urandom(32)
    listener = ClientListener(key_seed=seed, handler=echo)
    await nursery.start(listener.run)
    peers = network(ToyAttestor(seed))
    await nursery.start(peers.run)
    node_port, client_port = (parse_address(one.addresses[0]).port for one in (peers, listener))
    told = await probe(site.address, seed, node_port, client_port)
    assert (told.host, told.is_reached) == ("127.0.0.1", True)
    other = await probe(site.address, os.urandom(32), node_port, client_port)
    assert not other.is_reached, "another key answers there"
    assert not (await probe(site.address, seed, 1, client_port)).is_reached
    assert not (await probe(site.address, seed, node_port, 1)).is_reached


async def test_whatever_is_said_to_a_relay_it_goes_on(nursery):
    randomness = Random(3)
    site, behind, _, address = await hidden(nursery)
    messages = [
        Reserve(),
        Connect(behind.node, NODES),
        Connect(behind.node, MEMBERS),
        Accept(bytes(32)),
        Probe(1, 2),
        Granted("x"),
        Incoming(bytes(32), NODES),
    ]
    assert [decode_message(encode_message(one)) for one in messages] == messages
    for frame in (
        codec.wrap("connect", codec.encode((bytes(32), "attic"))),
        codec.wrap("connect", codec.encode((bytes(31), "nodes"))),
        codec.wrap("probe", codec.encode((0, 1))),
        codec.wrap("granted", codec.encode(("x" * 33,))),
        codec.wrap("reserve", codec.encode(()), version=2),
    ):
        with pytest.raises(PeerFault):
            decode_message(frame)
    for number in range(70):
        message = encode_message(messages[number % len(messages)])
        try:
            async with connect(site.address, timeout_ms=30_000, protocol=PROTOCOL) as stranger:
                await stranger.send(spoiled(message, randomness), message)
                with trio.move_on_after(0.05):
                    await stranger.receive()
        except Fault:
            pass
    async with connect(address, timeout_ms=30_000) as stream:
        await stream.send(b"through")
        assert await stream.receive() == b"through"
    await eventually(lambda: site.relay.circuits == 0)
    assert site.relay.reservations == 1
