"""Connections through a relay: its messages, the stream that they give, and dialling either way.

    dialler -> relay   connect(node, door)          relay -> node     incoming(circuit, door)
    node -> relay      accept(circuit)              relay -> both     granted

then frames of bytes, passed on as they are. Inside run the handshake and the evidence of whoever
talks there, so that a relay reads nothing, changes nothing, and knows the two ends' addresses only.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar, Final, Literal

import trio
from msgspec import Meta

from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.network.addresses import Address, format_address
from ccp2p.network.members import EndOfStream, FrameStream, connect
from ccp2p.network.sockets import dial_tcp, keep_alive

PROTOCOL: Final = "/ccp2p/relay/1"

Door = Literal["nodes", "members"]
NODES: Final = "nodes"
MEMBERS: Final = "members"

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class Probe(Wire, frozen=True):
    """Dial me where I come from, at these ports for nodes and for members: do I answer there?"""

    kind: ClassVar[str] = "probe"
    node_port: Port
    client_port: Port


class Probed(Wire, frozen=True):
    """You come from `host`, and answer there or not."""

    kind: ClassVar[str] = "probed"
    host: Annotated[str, Meta(max_length=64)]
    is_reached: bool


class Reserve(Wire, frozen=True):
    """Take connections for me, and tell me of them here; again before RESERVATION_MS are over."""

    kind: ClassVar[str] = "reserve"


class Connect(Wire, frozen=True):
    """Connect me with a node that has a reservation, at one of its doors."""

    kind: ClassVar[str] = "connect"
    node: Key
    door: Door


class Accept(Wire, frozen=True):
    """I take this circuit."""

    kind: ClassVar[str] = "accept"
    circuit: Key


class Granted(Wire, frozen=True):
    """What was asked for is done, or, in a word, why not."""

    kind: ClassVar[str] = "granted"
    refusal: Annotated[str, Meta(max_length=32)] = ""


class Incoming(Wire, frozen=True):
    """Somebody waits for you at one of your doors."""

    kind: ClassVar[str] = "incoming"
    circuit: Key
    door: Door


RelayMessage = Probe | Probed | Reserve | Connect | Accept | Granted | Incoming

_KINDS: dict[str, type[Wire]] = {kind.kind: kind for kind in RelayMessage.__args__}


def encode_message(message: RelayMessage) -> bytes:
    """The frame of a message."""
    return codec.wrap(message.kind, codec.encode(message))


def decode_message(frame: bytes) -> RelayMessage:
    """Read a frame; PeerFault names what is wrong with it."""
    outer = codec.decode(frame, codec.Outer, limits.MAX_RELAY_MESSAGE_BYTES)
    kind = _KINDS.get(outer.type)
    if kind is None:
        raise PeerFault("wrong-type", f"unknown message {outer.type[:32]!r}")
    if outer.version != 1:
        raise PeerFault("unknown-version", f"{outer.type} version {outer.version} is not known")
    return codec.decode(bytes(outer.body), kind, limits.MAX_RELAY_MESSAGE_BYTES)  # type: ignore[return-value]


class CircuitStream(trio.abc.Stream):
    """The bytes that travel through a relay; one reader and one writer at a time."""

    def __init__(self, frames: FrameStream) -> None:
        self._frames = frames
        self._received = b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; trio.BrokenResourceError when the circuit ended."""
        rest = memoryview(data)
        try:
            for start in range(0, len(rest), limits.CIRCUIT_FRAME_BYTES):
                await self._frames.send(bytes(rest[start : start + limits.CIRCUIT_FRAME_BYTES]))
        except PeerFault:
            raise trio.BrokenResourceError from None

    async def wait_send_all_might_not_block(self) -> None:
        """Nothing is known of that."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes; none at the end."""
        if not self._received:
            try:
                self._received = await self._frames.receive()
            except EndOfStream:
                return b""
            except PeerFault:
                raise trio.BrokenResourceError from None
        data, self._received = self._received[:max_bytes], self._received[max_bytes or 1 << 62 :]
        return data

    async def aclose(self) -> None:
        """Say that no more bytes come."""
        await self._frames.aclose()


@asynccontextmanager
async def dial(target: Address, door: Door, timeout_ms: int) -> AsyncIterator[trio.abc.Stream]:
    """A byte stream to `target`, through its relay where it has one.

    Unreachable when nobody answers in time; PeerFault when the relay is not what it should be.
    """
    if target.relay is None or target.node is None:
        stream = await dial_tcp(target, timeout_ms)
        try:
            keep_alive(stream)
            yield stream
        finally:
            await trio.aclose_forcefully(stream)
        return
    relay = format_address(target.host, target.port, target.relay)
    message = Connect(target.node, door)
    async with circuit(relay, message, timeout_ms, b"") as stream:
        yield stream


@asynccontextmanager
async def circuit(
    relay: str, message: Connect | Accept, timeout_ms: int, key_seed: bytes
) -> AsyncIterator[CircuitStream]:
    """One end of a circuit through the relay at `relay`; faults as `dial`."""
    async with connect(
        relay, timeout_ms=timeout_ms, protocol=PROTOCOL, key_seed=key_seed
    ) as frames:
        await frames.send(encode_message(message))
        with trio.move_on_after(timeout_ms / 1000) as scope:
            granted = await granted_by(frames)
        if scope.cancelled_caught:
            raise Unreachable("the relay does not answer")
        if granted.refusal:
            raise Unreachable(f"the relay refuses: {granted.refusal}")
        yield CircuitStream(frames)


async def granted_by(frames: FrameStream) -> Granted:
    """The answer of a relay; Unreachable when there is none."""
    try:
        answer = decode_message(await frames.receive())
    except EndOfStream:
        raise Unreachable("the relay closed the connection") from None
    if not isinstance(answer, Granted):
        raise PeerFault("protocol", "the relay answered with something else")
    return answer
