"""What the network's tests share: a toy vendor with real signatures, networks, raw connections."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.model.errors import AttestationFault
from ccp2p.network import (
    Connected,
    Disconnected,
    Event,
    FrameReceived,
    FrameStream,
    PeerNetwork,
    Timing,
)
from ccp2p.network.addresses import parse_address

NETWORK_ID = b"n" * 32
VENDOR = SigningKey(b"v" * 32)
CLOSED = ("the peer closed the connection", "the connection broke")
PATIENCE_S = 30  # a machine may be busy; only a test that fails waits so long
HASTY = Timing(
    heartbeat_ms=400,
    silence_ms=2500,
    write_timeout_ms=1500,
    handshake_timeout_ms=10_000,
    inbox_patience_ms=300,
)


class ToyAttestor:
    """A platform whose vendor signs the binding; `vendor` may be a forger."""

    def __init__(self, seed: bytes, vendor: SigningKey = VENDOR) -> None:
        self.seed = seed
        self.key = SigningKey(seed)
        self.vendor = vendor

    @property
    def node(self) -> bytes:
        return self.key.public

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)

    def evidence(self, binding: bytes) -> bytes:
        return self.vendor.sign(b"toy evidence" + binding)

    def check(self, node: bytes, binding: bytes, evidence: bytes) -> Any:
        if not verify(VENDOR.public, evidence, b"toy evidence" + binding):
            raise AttestationFault("evidence refused", ("not signed by the vendor",))
        return f"verdict on {node.hex()[:8]}"


def network(attestor: ToyAttestor | None = None, **arguments: Any) -> PeerNetwork:
    """A network of a fresh node, with hasty timing."""
    attestor = attestor or ToyAttestor(os.urandom(32))
    arguments = {"timing": HASTY, "network_id": NETWORK_ID} | arguments
    return PeerNetwork(key_seed=attestor.seed, attestor=attestor, **arguments)


async def start(nursery: trio.Nursery, count: int, **arguments: Any) -> list[PeerNetwork]:
    """`count` running networks."""
    networks = [network(**arguments) for _ in range(count)]
    for each in networks:
        await nursery.start(each.run)
    return networks


async def connected_pair(nursery: trio.Nursery, **arguments: Any) -> list[PeerNetwork]:
    """Two running networks, connected, with the Connected events taken."""
    pair = await start(nursery, 2, **arguments)
    await pair[0].dial(pair[1].addresses[0])
    for each in pair:
        assert isinstance(await each.events.receive(), Connected)
    return pair


async def next_of(network: PeerNetwork, kind: type, timeout_s: float = PATIENCE_S) -> Any:
    """The next event of a kind; others are skipped."""
    with trio.fail_after(timeout_s):
        while True:
            event: Event = await network.events.receive()
            if isinstance(event, kind):
                return event


async def frame_of(network: PeerNetwork, timeout_s: float = PATIENCE_S) -> bytes:
    return (await next_of(network, FrameReceived, timeout_s)).frame


async def reason_of(network: PeerNetwork, timeout_s: float = PATIENCE_S) -> str:
    return (await next_of(network, Disconnected, timeout_s)).reason


async def eventually(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    with trio.fail_after(timeout_s):
        while not condition():
            await trio.sleep(0.01)


async def echo(stream: FrameStream) -> None:
    """A member's handler that answers every frame with itself."""
    while True:
        await stream.send(await stream.receive())


async def raw(address: str) -> trio.SocketStream:
    """A bare TCP connection to a listener."""
    target = parse_address(address)
    return await trio.open_tcp_stream(target.host, target.port)


def delimited(name: bytes) -> bytes:
    """A multistream-select message."""
    return bytes([len(name) + 1]) + name + b"\n"


MULTISTREAM = delimited(b"/multistream/1.0.0")


async def read_until(stream: Any, wanted: bytes, timeout_s: float = PATIENCE_S) -> bytes:
    """Everything received up to and with `wanted`, or to the end of the stream."""
    data = b""
    with trio.move_on_after(timeout_s):
        while wanted not in data:
            try:
                chunk = await stream.receive_some(4096)
            except trio.BrokenResourceError:
                break
            if not chunk:
                break
            data += chunk
    return data


@asynccontextmanager
async def relay(address: str, piece_bytes: int) -> AsyncIterator[str]:
    """A TCP relay before `address` that passes bytes on in small segments."""
    target = parse_address(address)

    async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            async for chunk in source:
                for start_at in range(0, len(chunk), piece_bytes):
                    await sink.send_all(chunk[start_at : start_at + piece_bytes])
                    await trio.sleep(0)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def serve(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream(target.host, target.port)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(pump, near, far)
            nursery.start_soon(pump, far, near)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        port = listeners[0].socket.getsockname()[1]
        yield f"/ip4/127.0.0.1/tcp/{port}/p2p/{address.rsplit('/', 1)[1]}"
        nursery.cancel_scope.cancel()
