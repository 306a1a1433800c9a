"""The member protocol's transport: ordinary libp2p, one stream of frames (docs/protocol.md).

A node listens for members apart from its peers: TCP or WebSocket on one port, Noise, Yamux. Whoever
speaks libp2p may connect. Members get their confidentiality from the session above, not from here.
Rules: whatever a client sends ends at most its own connection, and so does an exception of our
handler.
"""

import math
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, LocalFault, MemberFault, PeerFault, Unreachable, origin
from ccp2p.network import framing
from ccp2p.network.addresses import parse_address
from ccp2p.network.door import Door, Place, host_of, ip_of_peer
from ccp2p.network.session import ConnectionLost
from ccp2p.network.sockets import addresses_of, keep_alive, listen_tcp
from ccp2p.network.yamux import StreamEnded, YamuxStream

if TYPE_CHECKING:
    from ccp2p.network.link import Identity, Link

_log = structlog.get_logger()

MEMBER_PROTOCOL: Final = "/ccp2p/member/1"
_WINDOW_BYTES: Final = 256 * 1024
_WRITE_BYTES: Final = 64 * 1024  # the write timeout is for each so many bytes


class EndOfStream(PeerFault):
    """The other side closed the stream, or the connection is gone."""

    def __init__(self, message: str) -> None:
        super().__init__("end-of-stream", message)


class FrameStream:
    """Frames both ways; `remote` is the other side's Ed25519 key (a client's is ephemeral).

    `host` is the IP address that an inbound connection comes from, or empty.
    """

    def __init__(
        self,
        stream: YamuxStream,
        remote: bytes,
        write_timeout_ms: int,
        idle_timeout_ms: float = math.inf,
        host: str = "",
    ) -> None:
        """`idle_timeout_ms` bounds the wait for the other side's next bytes."""
        self.remote = remote
        self.host = host
        self._idle_timeout_s = idle_timeout_ms / 1000
        self._stream = stream
        self._write_timeout_s = write_timeout_ms / 1000
        self._parser = framing.FrameParser(limits.MAX_CLIENT_FRAME_BYTES)
        self._received: deque[bytes] = deque()
        self._sending = trio.Lock()

    async def send(self, *frames: bytes) -> None:
        """Send frames, coalesced; EndOfStream, or PeerFault when the other side takes nothing."""
        for frame in frames:
            if len(frame) > limits.MAX_CLIENT_FRAME_BYTES:
                raise LocalFault("oversized", f"a frame of {len(frame)} bytes is too large")
        async with self._sending:
            try:
                await self._write(framing.encode(frames))
            except ConnectionLost as error:
                raise EndOfStream(str(error)) from None

    async def receive(self) -> bytes:
        """The next frame; EndOfStream, or PeerFault (`oversized`, `truncated`, `idle`)."""
        while not self._received:
            try:
                with trio.fail_after(self._idle_timeout_s):
                    data = await self._stream.read()
                self._received.extend(self._parser.feed(data))
            except trio.TooSlowError:
                raise PeerFault("idle", "the other side has said nothing for long") from None
            except StreamEnded:
                if self._parser.is_between_frames:
                    raise EndOfStream("the other side closed the stream") from None
                raise PeerFault("truncated", "the stream ended inside a frame") from None
            except ConnectionLost as error:
                raise EndOfStream(str(error)) from None
        return self._received.popleft()

    async def _write(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), _WRITE_BYTES):
                with trio.fail_after(self._write_timeout_s):
                    await self._stream.write(data[start : start + _WRITE_BYTES])
        except BaseException as error:
            # Part of a frame may be gone out, and nothing can follow it.
            self._stream.reset()
            if isinstance(error, trio.TooSlowError):
                raise PeerFault("write-timeout", "the other side does not read") from None
            raise

    async def aclose(self) -> None:
        """Say that no more frames come."""
        await self._stream.close()


Handler = Callable[[FrameStream], Awaitable[None]]


class ClientListener:
    """Where members reach a node; `run` it in a nursery.

    `services` are protocols besides the members', with what serves one stream of each.
    """

    def __init__(
        self,
        *,
        key_seed: bytes,
        listen: str = "/ip4/127.0.0.1/tcp/0",
        handler: Handler,
        max_connections: int = limits.MAX_CLIENT_CONNECTIONS,
        handshake_timeout_ms: int = limits.HANDSHAKE_TIMEOUT_MS,
        write_timeout_ms: int = limits.WRITE_TIMEOUT_MS,
        idle_timeout_ms: int = limits.CLIENT_IDLE_MS,
    ) -> None:
        """`handler` serves one stream; the stream is closed when it returns or raises."""
        self.addresses: tuple[str, ...] = ()
        self.relayed: tuple[str, ...] = ()  # where relays take connections for us
        self._door = Door(max_connections, limits.CLIENTS_OF_HOST)
        self._handshaking = Door(limits.MAX_HANDSHAKES, limits.HANDSHAKES_OF_HOST)
        self._idle_timeout_ms = idle_timeout_ms
        self._key_seed = key_seed
        self._listen = parse_address(listen)
        self.services: dict[str, Handler] = {}
        self._handler = handler
        self._handshake_timeout_ms = handshake_timeout_ms
        self._write_timeout_ms = write_timeout_ms
        self._identity: Identity | None = None

    @property
    def announced(self) -> tuple[str, ...]:
        """Where others reach us, best first: who needs a relay is not reached otherwise."""
        return (*self.relayed, *self.addresses)

    @property
    def connections(self) -> int:
        """Clients that are connected, those in their handshake included."""
        return self._door.inside

    @property
    def handshakes(self) -> int:
        """Connections that have not finished their handshake."""
        return self._handshaking.inside

    @property
    def refused(self) -> int:
        """Connections that found no place."""
        return self._door.refused + self._handshaking.refused

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        from ccp2p.network.link import Identity

        self._identity = Identity(self._key_seed)
        listeners = await listen_tcp(self._listen)
        self.addresses = addresses_of(listeners, self._identity.node)
        task_status.started()
        await trio.serve_listeners(self._accept, listeners)

    async def _accept(self, stream: trio.SocketStream) -> None:
        keep_alive(stream)
        await self.take(stream, host_of(stream), str(ip_of_peer(stream) or ""))

    async def take(self, stream: trio.abc.Stream, host: str, ip: str = "") -> None:
        """Serve one connection of `host` to its end; `ip` is where it comes from, if that is known.

        One that came through a relay is taken as one that came by itself.
        """
        place, entering = self._door.take(host), self._handshaking.take(host)
        try:
            if place is not None and entering is not None:
                await self._serve(stream, entering, ip)
        except Fault as fault:
            _log.debug("client connection ended", code=fault.code)
        except Exception as error:
            _log.error("client connection failed", error=origin(error))
        finally:
            for taken in (place, entering):
                if taken is not None:
                    taken.give_back()
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream, entering: Place, ip: str) -> None:
        from ccp2p.network.link import link

        if self._identity is None:
            raise LocalFault("stopped", "the listener is not running")
        async with (
            link(
                await self._carrier(stream),
                self._identity,
                is_initiator=False,
                timeout_ms=self._handshake_timeout_ms,
                window_bytes=_WINDOW_BYTES,
                max_streams=limits.MAX_CLIENT_STREAMS,
            ) as established,
            trio.open_nursery() as nursery,
        ):
            entering.give_back()
            with suppress(ConnectionLost):
                await self._serve_streams(established, nursery, ip)
            nursery.cancel_scope.cancel()

    async def _carrier(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        """What carries libp2p's bytes: `stream` as it is, or the WebSocket inside it."""
        from ccp2p.network import websocket

        if not isinstance(stream, trio.SocketStream):
            return stream
        with trio.move_on_after(self._handshake_timeout_ms / 1000):
            if not await websocket.is_upgrade(stream):
                return stream
            return await websocket.accept(stream)
        raise Unreachable("the client says nothing")

    async def _serve_streams(self, established: "Link", nursery: trio.Nursery, host: str) -> None:
        """Handle each stream, until the connection ends or is idle without any."""
        timeout_ms = self._handshake_timeout_ms
        while True:
            idle_s = math.inf if nursery.child_tasks else timeout_ms / 1000
            with trio.move_on_after(idle_s) as scope:
                accepted = await established.accept(timeout_ms, MEMBER_PROTOCOL, *self.services)
            if scope.cancelled_caught:
                return
            if accepted is not None:
                protocol, stream = accepted
                frames = FrameStream(
                    stream, established.node, self._write_timeout_ms, self._idle_timeout_ms, host
                )
                nursery.start_soon(self._handle, self.services.get(protocol, self._handler), frames)

    async def _handle(self, handler: Handler, frames: FrameStream) -> None:
        try:
            await handler(frames)
        except EndOfStream:
            pass
        except Fault as fault:
            _log.debug("client stream ended", code=fault.code)
        except Exception as error:
            # The exception may hold what a member said, so only its type is told.
            _log.error("client handler failed", error=origin(error))
        finally:
            await frames.aclose()


@asynccontextmanager
async def connect(
    address: str, *, timeout_ms: int, protocol: str = MEMBER_PROTOCOL, key_seed: bytes = b""
) -> AsyncIterator[FrameStream]:
    """A connection to the client listener at `address`; under a fresh identity without a seed.

    The node must prove the key that `/p2p/` names. Unreachable when nobody answers within
    `timeout_ms` or the connection is cut, PeerFault when somebody or something else answers.
    """
    from ccp2p.network.circuits import MEMBERS, dial
    from ccp2p.network.link import Identity, link

    target = parse_address(address)
    if target.node is None:
        raise MemberFault("address", "this address does not name its node: /p2p/ is missing")
    deadline = trio.current_time() + timeout_ms / 1000
    async with (
        dial(target, MEMBERS, timeout_ms) as stream,
        link(
            stream,
            Identity(key_seed or os.urandom(32)),
            is_initiator=True,
            node=target.node,
            timeout_ms=max(1, int((deadline - trio.current_time()) * 1000)),
            window_bytes=_WINDOW_BYTES,
            max_streams=limits.MAX_CLIENT_STREAMS,
        ) as established,
    ):
        with trio.move_on_at(deadline) as scope:
            try:
                opened = await established.open(protocol)
            except ConnectionLost as error:
                raise Unreachable(f"{address} closed the connection: {error}") from None
        if scope.cancelled_caught:
            raise Unreachable(f"{address} does not answer")
        frames = FrameStream(opened, established.node, limits.WRITE_TIMEOUT_MS)
        try:
            yield frames
        finally:
            await frames.aclose()
