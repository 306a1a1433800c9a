"""The overlay over real connections: nodes enter it, publish, find, and outlive strangers."""

import os
from random import Random

import pytest
import trio

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import limits
from ccp2p.model.errors import Fault, LocalFault, PeerFault
from ccp2p.network import ClientListener, EndOfStream, connect
from ccp2p.network.addresses import parse_address
from ccp2p.network.kademlia.messages import Find, decode_answer, encode_message
from ccp2p.network.kademlia.records import make_record, open_record
from ccp2p.network.kademlia.service import PROTOCOL, KademliaService
from tests.network.kademlia.stage import NOW_MS, TOPIC, announcement
from tests.network.stage import echo, eventually


async def member(nursery: trio.Nursery, *bootstrap: str) -> tuple[KademliaService, str]:
    """A node of the overlay behind a real listener."""
    seed = os.urandom(32)
    service = KademliaService(seed, SigningKey(seed).public, bootstrap, lambda: NOW_MS, Random(1))
    listener = ClientListener(key_seed=seed, handler=echo)
    listener.services[PROTOCOL] = service.serve
    await nursery.start(listener.run)
    service.port = parse_address(listener.addresses[0]).port
    nursery.start_soon(service.run)
    return service, listener.addresses[0]


async def test_who_is_published_is_found_by_a_stranger_and_the_overlay_outlives_garbage(nursery):
    first, entrance = await member(nursery)
    others = [(await member(nursery, entrance))[0] for _ in range(5)]
    await eventually(lambda: all(len(one.core.table) >= 4 for one in (first, *others)))
    author, _ = await member(nursery, entrance)
    await eventually(lambda: len(author.core.table) >= 4)
    signing = SigningKey(author._key_seed)
    said = announcement(signing)
    signed = make_record(TOPIC, said, signing.sign, NOW_MS)
    assert await author.publish(signed, TOPIC.key) >= 4
    assert len(others[2].core.records) == 1

    for garbage in (b"\xc1" * 40, encode_message(Find(b"t" * 32))[:-1], b"x" * 200_000):
        async with connect(entrance, timeout_ms=30_000, protocol=PROTOCOL) as stream:
            await stream.send(garbage)
            with pytest.raises(EndOfStream):
                await stream.receive()
    for name in (b"\x05\xff\xfe\xfd\xfc\n", b"\xff" * 64):  # ends a run of libp2p's own host
        raw = await trio.open_tcp_stream("127.0.0.1", parse_address(entrance).port)
        await raw.send_all(b"\x13/multistream/1.0.0\n" + name)
        await raw.aclose()
    async with connect(entrance, timeout_ms=30_000, protocol=PROTOCOL) as stream:
        for _ in range(limits.KADEMLIA_REQUESTS):
            await stream.send(encode_message(Find(TOPIC.key)))
            assert len(decode_answer(await stream.receive()).records) == 1
        with pytest.raises(EndOfStream):
            await stream.receive()
    with pytest.raises(PeerFault, match="no agreement"):
        async with connect(entrance, timeout_ms=30_000, protocol="/ccp2p/unknown/1"):
            pass
    async with connect(entrance, timeout_ms=30_000) as stream:
        await stream.send(b"members are served on the same port")
        assert await stream.receive()

    newcomer = KademliaService(
        os.urandom(32), os.urandom(32), [entrance], lambda: NOW_MS, Random(2)
    )
    found = []
    await newcomer.search(TOPIC.key, found.append)
    assert [open_record(TOPIC, record) for record in found] == [said]
    assert all(newcomer.core.own != one.node for one in first.core.table), "it only looked"


async def test_who_is_not_there_costs_time_and_nothing_else(nursery, monkeypatch):
    monkeypatch.setattr(limits, "KADEMLIA_ANSWER_MS", 500)
    _, entrance = await member(nursery)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")  # accepts and says nothing
    port = listeners[0].socket.getsockname()[1]
    silent = entrance.replace(f"/{parse_address(entrance).port}/", f"/{port}/")
    for bootstrap in ([silent], [silent, entrance]):
        alone = KademliaService(
            os.urandom(32), os.urandom(32), bootstrap, lambda: NOW_MS, Random(3)
        )
        found = []
        with trio.fail_after(20):
            closest = await alone.search(TOPIC.key, found.append)
        assert not found
        assert len(closest) <= 1
    with pytest.raises(LocalFault, match="does not name its node"):
        KademliaService(bytes(32), bytes(32), ["/ip4/10.0.0.1/tcp/1"], lambda: 0, Random(1))
    with pytest.raises(Fault):
        KademliaService(bytes(32), bytes(32), ["nonsense"], lambda: 0, Random(1))
