"""Members reach a node with any libp2p, and frames cross whole in both directions."""

import os
import secrets

import pytest
import trio

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import limits
from ccp2p.model.errors import LocalFault, MemberFault, PeerFault, Unreachable
from ccp2p.network import ClientListener, EndOfStream, connect
from ccp2p.network.addresses import format_address

from .stage import echo, relay

MEMBER = "/ccp2p/member/1"


async def listening(nursery, handler=echo):
    listener = ClientListener(key_seed=os.urandom(32), handler=handler)
    await nursery.start(listener.run)
    return listener


def stock_host(**arguments):
    """A host of py-libp2p as it comes, but for plaintext."""
    from libp2p import new_host
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
    from libp2p.security.noise.transport import PROTOCOL_ID, Transport

    pair = create_new_key_pair(secrets.token_bytes(32))
    noise = Transport(pair, create_x25519_key_pair().private_key)
    return new_host(key_pair=pair, sec_opt={PROTOCOL_ID: noise}, **arguments)


async def test_frames_of_all_sizes_come_back(nursery):
    listener = await listening(nursery)
    frames = [secrets.token_bytes(size) for size in (1, 70_000, limits.MAX_CLIENT_FRAME_BYTES)]
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        nursery.start_soon(stream.send, *frames)
        assert [await stream.receive() for _ in frames] == frames


async def test_several_tasks_may_send_at_once(nursery):
    listener = await listening(nursery)
    frames = {bytes([number]) * 100_000 for number in range(8)}
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        for frame in frames:
            nursery.start_soon(stream.send, frame)
        assert {await stream.receive() for _ in frames} == frames


async def test_each_side_knows_the_key_of_the_other(nursery):
    seen = []

    async def note(stream):
        seen.append(stream.remote)

    seed = os.urandom(32)
    listener = ClientListener(key_seed=seed, handler=note)
    await nursery.start(listener.run)
    for _ in range(2):
        async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
            assert stream.remote == SigningKey(seed).public
            with pytest.raises(EndOfStream):
                await stream.receive()
    assert len({*seen}) == 2
    assert all(len(remote) == 32 for remote in seen)


async def test_what_was_sent_last_still_arrives(nursery):
    done = trio.Event()

    async def count(stream):
        assert len(await stream.receive()) == 1_000_000
        done.set()

    listener = await listening(nursery, count)
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        await stream.send(bytes(1_000_000))
    with trio.fail_after(30):
        await done.wait()


async def test_an_exception_of_the_body_comes_out_unchanged(nursery):
    listener = await listening(nursery)
    with pytest.raises(KeyError, match="mine"):
        async with connect(listener.addresses[0], timeout_ms=15_000):
            raise KeyError("mine")


async def test_frames_above_the_limit_are_refused_on_both_sides(nursery):
    faults = []

    async def handle(stream):
        try:
            await stream.receive()
        except PeerFault as fault:
            faults.append(fault.code)

    listener = await listening(nursery, handle)
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        with pytest.raises(LocalFault, match="too large"):
            await stream.send(bytes(limits.MAX_CLIENT_FRAME_BYTES + 1))
        await stream._stream.write((limits.MAX_CLIENT_FRAME_BYTES + 1).to_bytes(4, "big"))
        with pytest.raises(EndOfStream):
            await stream.receive()
    assert faults == ["oversized"]


async def test_a_frame_cut_short_is_told_from_an_end(nursery):
    codes = []

    async def handle(stream):
        try:
            await stream.receive()
        except PeerFault as fault:
            codes.append(fault.code)

    listener = await listening(nursery, handle)
    for sent in (b"\x00\x00\x00\x09cut", b"\x00\x00\x00\x00"):
        async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
            await stream._stream.write(sent)
            await stream.aclose()
            with pytest.raises(EndOfStream):
                await stream.receive()
    assert codes == ["truncated", "end-of-stream"]


async def test_a_send_that_is_cancelled_half_way_ends_the_stream(nursery):
    async def ignore(stream):
        await trio.sleep_forever()

    listener = await listening(nursery, ignore)
    async with connect(listener.addresses[0], timeout_ms=15_000) as stream:
        with trio.move_on_after(0.2) as scope:
            await stream.send(bytes(1_000_000))
        assert scope.cancelled_caught
        with pytest.raises(EndOfStream):
            await stream.send(b"next")


async def test_a_reader_that_never_reads_times_the_sender_out(nursery):
    codes = []

    async def pour(stream):
        try:
            while True:
                await stream.send(bytes(500_000))
        except PeerFault as fault:
            codes.append(fault.code)

    listener = ClientListener(key_seed=os.urandom(32), handler=pour, write_timeout_ms=300)
    await nursery.start(listener.run)
    async with connect(listener.addresses[0], timeout_ms=15_000):
        with trio.fail_after(30):
            while not codes:
                await trio.sleep(0.02)
    assert codes == ["write-timeout"]


async def test_a_member_behind_a_dribbling_line_is_served(nursery):
    listener = await listening(nursery)
    async with (
        relay(listener.addresses[0], piece_bytes=500) as address,
        connect(address, timeout_ms=15_000) as stream,
    ):
        frame = secrets.token_bytes(200_000)
        await stream.send(frame)
        assert await stream.receive() == frame


@pytest.mark.parametrize("silent", [True, False])
async def test_whoever_does_not_answer_is_unreachable(nursery, silent):
    async def serve(stream):
        if silent:
            await trio.sleep_forever()
        await stream.aclose()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    address = format_address("127.0.0.1", listeners[0].socket.getsockname()[1], b"k" * 32)
    with trio.fail_after(30), pytest.raises(Unreachable):
        async with connect(address, timeout_ms=400):
            pytest.fail("connected to nobody")


async def test_the_address_must_name_the_node_and_name_it_right(nursery):
    listener, other = await listening(nursery), await listening(nursery)
    place, peer_id = listener.addresses[0].split("/p2p/")[0], other.addresses[0].split("/p2p/")[1]
    with pytest.raises(MemberFault, match="p2p"):
        async with connect(place, timeout_ms=1000):
            pytest.fail("connected to an unnamed node")
    with pytest.raises(PeerFault) as caught:
        async with connect(f"{place}/p2p/{peer_id}", timeout_ms=1000):
            pytest.fail("connected to another node")
    assert caught.value.code == "identity"


async def test_a_stock_libp2p_host_is_served(nursery):
    import multiaddr
    from libp2p.peer.peerinfo import info_from_p2p_addr

    listener = await listening(nursery)
    host = stock_host()
    body = secrets.token_bytes(300_000)
    async with host.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        info = info_from_p2p_addr(multiaddr.Multiaddr(listener.addresses[0]))
        with trio.fail_after(30):
            await host.connect(info)
            stream = await host.new_stream(info.peer_id, [MEMBER])
            nursery.start_soon(stream.write, len(body).to_bytes(4, "big") + body)
            received = b""
            while len(received) < 4 + len(body):
                received += await stream.read(65_536)
    assert received[4:] == body


async def test_a_stock_libp2p_listener_is_reached(nursery):
    import multiaddr

    async def reply(stream):
        received = b""
        while len(received) < 300_004:
            received += await stream.read(65_536)
        await stream.write(received)
        await stream.close()

    host = stock_host()
    host.set_stream_handler(MEMBER, reply)
    body = secrets.token_bytes(300_000)
    async with host.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        with trio.fail_after(30):
            async with connect(str(host.get_addrs()[0]), timeout_ms=15_000) as stream:
                await stream.send(body)
                assert await stream.receive() == body
