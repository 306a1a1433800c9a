"""Members reach a node over WebSocket on the port that others use for TCP."""

import os
import secrets

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, connect_websocket

from ccp2p.model import limits
from ccp2p.network import ClientListener, EndOfStream, connect
from ccp2p.network.addresses import parse_address
from ccp2p.network.link import Identity, link
from ccp2p.network.members import MEMBER_PROTOCOL, FrameStream

from .stage import MULTISTREAM, PATIENCE_S, delimited, echo, raw, read_until
from .test_members import stock_host

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"mask"


class Messages(trio.abc.Stream):
    """Bytes cut into messages of `piece_bytes`, by another implementation's client."""

    def __init__(self, client: WebSocketConnection, piece_bytes: int) -> None:
        self.client = client
        self.piece_bytes = piece_bytes

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self.client.get_message()
        except ConnectionClosed:
            return b""

    async def send_all(self, data: bytes) -> None:
        for start in range(0, len(data), self.piece_bytes):
            await self.client.send_message(data[start : start + self.piece_bytes])

    async def wait_send_all_might_not_block(self) -> None:
        pass

    async def aclose(self) -> None:
        await self.client.aclose()


async def listening(nursery, **arguments):
    listener = ClientListener(key_seed=os.urandom(32), handler=echo, **arguments)
    await nursery.start(listener.run)
    return listener


def frame(first: int, payload: bytes) -> bytes:
    """A masked frame of less than 126 bytes; `first` holds FIN and the opcode."""
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([first, 0x80 | len(payload)]) + MASK + masked


async def upgraded(address: str) -> trio.SocketStream:
    """A raw connection after the upgrade."""
    stream = await raw(address)
    await stream.send_all(REQUEST)
    assert b"101 Switching Protocols" in await read_until(stream, b"\r\n\r\n")
    return stream


@pytest.mark.parametrize("piece_bytes", [1 << 20, 1000, 1])
async def test_frames_come_back_however_they_are_cut(nursery, piece_bytes):
    listener = await listening(nursery)
    target = parse_address(listener.addresses[0])
    client = await connect_websocket(
        nursery, target.host, target.port, "/any/path", use_ssl=False, message_queue_size=100
    )
    frames = [secrets.token_bytes(size) for size in (1, 500)]
    if piece_bytes > 1:
        frames.append(secrets.token_bytes(limits.MAX_CLIENT_FRAME_BYTES))
    with trio.fail_after(PATIENCE_S):
        async with link(
            Messages(client, piece_bytes),
            Identity(os.urandom(32)),
            is_initiator=True,
            node=target.node,
            timeout_ms=15_000,
            window_bytes=256 * 1024,
            max_streams=4,
        ) as established:
            stream = FrameStream(await established.open(MEMBER_PROTOCOL), b"", 10_000)
            nursery.start_soon(stream.send, *frames)
            assert [await stream.receive() for _ in frames] == frames


async def test_a_stock_libp2p_host_is_served(nursery):
    import multiaddr
    from libp2p.peer.peerinfo import info_from_p2p_addr

    listener = await listening(nursery)
    place, peer_id = listener.addresses[0].split("/p2p/")
    host = stock_host(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0/ws")])
    body = secrets.token_bytes(300_000)
    async with host.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0/ws")]):
        info = info_from_p2p_addr(multiaddr.Multiaddr(f"{place}/ws/p2p/{peer_id}"))
        with trio.fail_after(PATIENCE_S):
            await host.connect(info)
            stream = await host.new_stream(info.peer_id, [MEMBER_PROTOCOL])
            nursery.start_soon(stream.write, len(body).to_bytes(4, "big") + body)
            received = b""
            while len(received) < 4 + len(body):
                received += await stream.read(65_536)
    assert received[4:] == body


async def test_a_ping_is_answered_also_between_the_pieces_of_a_message(nursery):
    listener = await listening(nursery)
    stream = await upgraded(listener.addresses[0])
    half = len(MULTISTREAM) // 2
    await stream.send_all(frame(0x02, MULTISTREAM[:half]) + frame(0x89, b"alive?"))
    assert (await read_until(stream, b"alive?")).endswith(b"\x8a\x06alive?")
    await stream.send_all(frame(0x80, b"") + frame(0x82, b"") + frame(0x82, MULTISTREAM[half:]))
    await stream.send_all(frame(0x82, delimited(b"/unknown")))
    assert b"na\n" in await read_until(stream, b"na\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET \xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + bytes(100_000),
        REQUEST + frame(0x81, b"text"),
        REQUEST + frame(0x81, b"\xff\xff"),
        REQUEST + frame(0x83, b"unknown opcode"),
        REQUEST + frame(0xF2, b"reserved bits"),
        REQUEST + b"\x82\x05naked",
        REQUEST + b"\x09\x80mask",
        REQUEST + b"\x82\xff" + b"\xff" * 8 + MASK + b"endless" * 20_000,
        REQUEST + frame(0x88, b"\x03\xe8bye"),
        REQUEST + frame(0x82, b"\x05hello"),
        REQUEST[:50],
    ],
)
async def test_what_is_not_libp2p_in_binary_messages_ends_its_own_connection(nursery, sent):
    listener = await listening(nursery, handshake_timeout_ms=500)
    stream = await raw(listener.addresses[0])
    with trio.fail_after(PATIENCE_S):
        try:
            await stream.send_all(sent)
            while await stream.receive_some(4096):
                pass
        except trio.BrokenResourceError:
            pass
        while listener.connections:
            await trio.sleep(0.01)
    async with connect(listener.addresses[0], timeout_ms=15_000) as other:
        await other.send(b"still there?")
        assert await other.receive() == b"still there?"


async def test_whoever_leaves_in_the_middle_is_forgotten(nursery):
    listener = await listening(nursery)
    for sent in (b"", b"G", REQUEST, REQUEST + frame(0x82, MULTISTREAM)):
        stream = await raw(listener.addresses[0])
        if sent:
            await stream.send_all(sent)
        await stream.aclose()
    with trio.fail_after(PATIENCE_S):
        while listener.connections:
            await trio.sleep(0.01)


async def test_the_peer_that_says_goodbye_is_at_its_end(nursery):
    ends = []

    async def note(stream):
        try:
            await stream.receive()
        except EndOfStream:
            ends.append(True)
            raise

    listener = ClientListener(key_seed=os.urandom(32), handler=note)
    await nursery.start(listener.run)
    target = parse_address(listener.addresses[0])
    client = await connect_websocket(nursery, target.host, target.port, "/", use_ssl=False)
    async with link(
        Messages(client, 1000),
        Identity(os.urandom(32)),
        is_initiator=True,
        node=target.node,
        timeout_ms=15_000,
        window_bytes=256 * 1024,
        max_streams=4,
    ) as established:
        await established.open(MEMBER_PROTOCOL)
        with trio.move_on_after(PATIENCE_S):
            await client.aclose()
    with trio.fail_after(PATIENCE_S):
        while not ends or listener.connections:
            await trio.sleep(0.01)
