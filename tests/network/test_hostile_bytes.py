"""Whatever arrives on a port ends at most its own connection; memory and tasks stay bounded."""

import os

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccp2p.model import limits
from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.network import ClientListener, EndOfStream, connect, proof
from ccp2p.network.addresses import parse_address
from ccp2p.network.session import ConnectionLost

from .stage import (
    MULTISTREAM,
    NETWORK_ID,
    ToyAttestor,
    connected_pair,
    delimited,
    echo,
    eventually,
    raw,
    read_until,
    reason_of,
    start,
)

# Bytes that end an unguarded py-libp2p 0.8.1: a GossipSub RPC cut short, and a pubsub message
# whose `key` field is no public key.
MALFORMED_RPC = b"\x05\x0a\xff\xff\xff\xff"
MALFORMED_KEY = b"\x12\x12\x10\x0a\x01x\x12\x01y\x1a\x01z\x22\x01t\x32\x03\xff\xff\xff"


async def client_listener(nursery, **arguments):
    arguments = {"handler": echo, "handshake_timeout_ms": 1500} | arguments
    listener = ClientListener(key_seed=os.urandom(32), **arguments)
    await nursery.start(listener.run)
    return listener


async def assert_echoes(listener):
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"


def plain_link(stream, address=None, node=None):
    """A member's link by hand, to misbehave on."""
    from ccp2p.network.link import Identity, link

    return link(
        stream,
        Identity(os.urandom(32)),
        is_initiator=True,
        node=node,
        timeout_ms=15_000,
        window_bytes=1 << 18,
        max_streams=4,
    )


async def attested_stream(nursery, victim, seed):
    """A frame stream to `victim` by hand, from an attested node that then misbehaves."""
    from ccp2p.network.link import Identity, link

    async def hold(task_status=trio.TASK_STATUS_IGNORED):
        exchange = proof.Exchange(ToyAttestor(seed), NETWORK_ID, lambda node: "")
        async with link(
            await raw(victim.addresses[0]),
            Identity(seed),
            exchange.run,
            is_initiator=True,
            node=victim.node,
            timeout_ms=15_000,
            window_bytes=1 << 20,
            max_streams=1,
        ) as established:
            task_status.started((established, await established.open("/ccp2p/frames/1")))
            await trio.sleep_forever()

    return await nursery.start(hold)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=200), max_size=4), st.booleans())
async def test_garbage_on_the_port_harms_nobody(pieces, begins_well):
    async with trio.open_nursery() as nursery:
        listener = await client_listener(nursery)
        [victim] = await start(nursery, 1)
        for address in (listener.addresses[0], victim.addresses[0]):
            stream = await raw(address)
            try:
                if begins_well:
                    await stream.send_all(MULTISTREAM)
                for piece in pieces:
                    await stream.send_all(piece)
            except trio.BrokenResourceError:
                pass
            await stream.aclose()
        await eventually(lambda: listener.connections == 0 and victim.handshakes == 0)
        await assert_echoes(listener)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("protocol", [b"/plaintext/2.0.0", b"/secio/1.0.0", b"/tls/1.0.0", b"ls"])
async def test_no_other_security_is_spoken(nursery, protocol):
    listener = await client_listener(nursery)
    [victim] = await start(nursery, 1)
    answers = {}
    for name, address in (("member", listener.addresses[0]), ("node", victim.addresses[0])):
        stream = await raw(address)
        await stream.send_all(MULTISTREAM + delimited(protocol))
        answers[name] = await read_until(stream, delimited(b"na") if protocol != b"ls" else b"\n\n")
        await stream.aclose()
    if protocol == b"ls":
        assert b"/noise" in answers["member"]
        assert b"/ccp2p/attested-noise/1" in answers["node"]
        assert all(b"plaintext" not in answer for answer in answers.values())
    else:
        assert all(answer.endswith(delimited(b"na")) for answer in answers.values())


async def test_a_security_name_that_is_not_utf8_harms_nobody(nursery):
    listener = await client_listener(nursery)
    stream = await raw(listener.addresses[0])
    await stream.send_all(MULTISTREAM + delimited(b"/\xff\xfe"))
    assert (await read_until(stream, b"never")).endswith(MULTISTREAM)
    await assert_echoes(listener)


@pytest.mark.parametrize(
    "announced", [b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x08", b"\xff" * 12]
)
async def test_an_announced_length_is_not_believed(nursery, announced):
    listener = await client_listener(nursery)
    stream = await raw(listener.addresses[0])
    await stream.send_all(announced + b"x" * 100)
    assert b"never" not in await read_until(stream, b"never")
    await eventually(lambda: listener.connections == 0)
    await assert_echoes(listener)


@pytest.mark.parametrize(
    "request_bytes",
    [
        MULTISTREAM + delimited(b"/\xff\xfe\xfd"),
        MULTISTREAM + delimited(b"/meshsub/1.1.0") + MALFORMED_RPC,
        MULTISTREAM + delimited(b"/floodsub/1.0.0") + MALFORMED_KEY,
        MULTISTREAM + b"\xff" * 20,
        b"\x00" * 64,
    ],
)
async def test_a_stream_that_asks_for_anything_else_is_refused_alone(nursery, request_bytes):
    listener = await client_listener(nursery)
    node = parse_address(listener.addresses[0]).node
    async with plain_link(await raw(listener.addresses[0]), node=node) as established:
        stream = established._streams.open()
        await stream.write(request_bytes)
        with trio.fail_after(30), pytest.raises(ConnectionLost, match="reset"):
            await stream.read(100_000)
        good = await established.open("/ccp2p/member/1")
        await good.write(b"\x00\x00\x00\x02ok")
        assert await good.read(6) == b"\x00\x00\x00\x02ok"
    await assert_echoes(listener)


async def test_a_pubsub_stream_between_nodes_is_refused(nursery):
    [victim] = await start(nursery, 1)
    established, frames = await attested_stream(nursery, victim, os.urandom(32))
    await eventually(lambda: len(victim.peers()) == 1)
    stream = established._streams.open()
    await stream.write(MULTISTREAM + delimited(b"/meshsub/1.1.0") + MALFORMED_RPC + MALFORMED_KEY)
    with trio.fail_after(30), pytest.raises(ConnectionLost, match="reset"):
        await stream.read()
    await frames.write(b"\x00\x00\x00\x02ok")
    await eventually(lambda: [peer.frames_in for peer in victim.peers().values()] == [1])


async def test_hundreds_of_connections_in_a_lifetime_leave_nothing_behind(nursery):
    listener = await client_listener(nursery)
    [victim] = await start(nursery, 1)
    await assert_echoes(listener)
    before = trio.lowlevel.current_statistics().tasks_living
    for _ in range(270):
        await assert_echoes(listener)
        stranger = await raw(victim.addresses[0])
        await stranger.send_all(MULTISTREAM + delimited(b"/noise"))
        await stranger.aclose()
    await eventually(lambda: victim.refusals.total() == 270 and listener.connections == 0)
    await eventually(lambda: trio.lowlevel.current_statistics().tasks_living <= before)
    [honest] = await start(nursery, 1)
    assert await honest.dial(victim.addresses[0]) == victim.node


async def test_an_attested_peer_with_an_oversized_frame_is_cut(nursery):
    [victim] = await start(nursery, 1)
    _, frames = await attested_stream(nursery, victim, os.urandom(32))
    await frames.write((limits.MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    assert await reason_of(victim) == "oversized"


async def test_a_frame_cut_short_by_the_end_is_not_delivered(nursery):
    [victim] = await start(nursery, 1)
    _, frames = await attested_stream(nursery, victim, os.urandom(32))
    await frames.write(b"\x00\x00\x00\x05whole\x00\x00\x00\x09cut")
    await frames.close()
    assert await reason_of(victim) == "truncated"
    assert victim.peers() == {}


async def test_a_peer_that_does_not_read_is_cut_after_the_write_timeout(nursery):
    [victim] = await start(nursery, 1)
    seed = os.urandom(32)
    _, frames = await attested_stream(nursery, victim, seed)
    await eventually(lambda: len(victim.peers()) == 1)

    async def seem_alive():
        while True:
            await frames.write(bytes(4))
            await trio.sleep(0.1)

    async with trio.open_nursery() as heart:
        heart.start_soon(seem_alive)
        for _ in range(8):
            victim.send(ToyAttestor(seed).node, bytes(1_000_000))
        assert await reason_of(victim) == "write-timeout"
        heart.cancel_scope.cancel()


async def test_a_reader_that_stalls_for_six_seconds_still_gets_everything(nursery):
    """py-libp2p's muxer resets the stream after five."""
    received = trio.Event()

    async def slow(stream):
        await trio.sleep(6)
        for _ in range(4):
            assert len(await stream.receive()) == 500_000
        received.set()

    listener = await client_listener(nursery, handler=slow)
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        await stream.send(*[bytes(500_000)] * 4)
        with trio.fail_after(30):
            await received.wait()


async def test_an_exception_in_a_handler_ends_its_stream_only(nursery):
    async def fail(stream):
        text = (await stream.receive()).decode()
        if text == "group":
            raise ExceptionGroup("several", [ValueError("secret"), KeyError("secret")])
        raise RuntimeError("secret")

    listener = await client_listener(nursery, handler=fail)
    for text in (b"plain", b"group", b"\xff"):
        async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
            await stream.send(text)
            with pytest.raises(EndOfStream):
                await stream.receive()


async def test_a_handler_error_is_logged_without_what_it_says(nursery, capsys):
    async def fail(stream):
        raise RuntimeError("what the member wrote")

    listener = await client_listener(nursery, handler=fail)
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        with pytest.raises(EndOfStream):
            await stream.receive()
    captured = capsys.readouterr()
    assert "RuntimeError" in captured.out + captured.err
    assert "member wrote" not in captured.out + captured.err


async def test_connections_above_the_limit_are_closed_and_freed_places_taken(nursery):
    listener = await client_listener(nursery, max_connections=2)
    async with connect(listener.addresses[0], timeout_ms=15_000) as one:
        async with connect(listener.addresses[0], timeout_ms=15_000):
            with pytest.raises(Unreachable):
                async with connect(listener.addresses[0], timeout_ms=15_000):
                    pytest.fail("a third connection")
        await eventually(lambda: listener.connections == 1)
        await assert_echoes(listener)
        await one.send(b"still")
        assert await one.receive() == b"still"


async def test_silent_and_idle_connections_are_closed_in_time(nursery):
    listener = await client_listener(nursery, handshake_timeout_ms=300)
    silent = await raw(listener.addresses[0])
    node = parse_address(listener.addresses[0]).node
    async with plain_link(await raw(listener.addresses[0]), node=node):
        await eventually(lambda: listener.connections == 2)
        await eventually(lambda: listener.connections == 0)
    await silent.aclose()


async def test_a_handshake_flood_leaves_connected_peers_alone(nursery, monkeypatch):
    monkeypatch.setattr(limits, "MAX_HANDSHAKES", 3)
    one, two = await connected_pair(nursery)
    strangers = [await raw(one.addresses[0]) for _ in range(5)]
    await eventually(lambda: one.refusals == {"full": 2})
    assert two.send(one.node, b"through")
    await eventually(lambda: one.peers()[two.node].frames_in == 1)
    for stranger in strangers:
        await stranger.aclose()
    await eventually(lambda: one.handshakes == 0)


async def test_the_peer_that_answers_with_garbage_is_refused(nursery):
    async def babble(stream):
        await stream.send_all(MULTISTREAM + b"\xff" * 300)
        await read_until(stream, b"never", timeout_s=1)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, babble, listeners)
    port = listeners[0].socket.getsockname()[1]
    [one] = await start(nursery, 1)
    with pytest.raises(PeerFault):
        await one.dial(f"/ip4/127.0.0.1/tcp/{port}")
