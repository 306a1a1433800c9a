"""WebSocket (RFC 6455) as a byte stream: how browsers reach the members' port.

The port is that of TCP; the first byte tells the two apart, since libp2p's negotiation never starts
with a letter. The bytes travel in binary messages, whose borders mean nothing: payload is handed on
as it comes, so nothing is collected. No origin is refused: a connection alone gives no right to
anything.
"""

import socket
from typing import Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from ccp2p.model.errors import PeerFault

_REQUEST_BYTES: Final = 4096  # one read; the library refuses a request of more than 16 KiB


async def is_upgrade(stream: trio.SocketStream) -> bool:
    """Whether the other side speaks HTTP; waits for its first byte and takes nothing."""
    try:
        return await stream.socket.recv(1, socket.MSG_PEEK) == b"G"
    except OSError:
        return False  # whoever reads next learns that the connection broke


async def accept(stream: trio.abc.Stream) -> "WebSocketStream":
    """Answer a request to upgrade; PeerFault (`websocket`) when it is none."""
    connection = WSConnection(ConnectionType.SERVER)
    try:
        while data := await stream.receive_some(_REQUEST_BYTES):
            connection.receive_data(data)
            for event in connection.events():
                if isinstance(event, Request):
                    await stream.send_all(connection.send(AcceptConnection()))
                    return WebSocketStream(stream, connection)
    except (ProtocolError, trio.BrokenResourceError):
        pass
    raise PeerFault("websocket", "not a request to upgrade to WebSocket")


class WebSocketStream(trio.abc.Stream):
    """The bytes inside the binary messages of an open `connection`; one reader at a time."""

    def __init__(self, stream: trio.abc.Stream, connection: WSConnection) -> None:
        self._stream = stream
        self._connection = connection
        self._sending = trio.Lock()  # the reader answers pings
        self._is_ended = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes, none at the end; BrokenResourceError when the peer breaks the protocol."""
        payload: list[bytes | bytearray] = []
        while not payload and not self._is_ended:
            data = await self._stream.receive_some(max_bytes)
            self._connection.receive_data(data or None)
            for event in self._connection.events():
                if isinstance(event, BytesMessage):
                    payload += [event.data] if event.data else []
                elif isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, CloseConnection):
                    self._is_ended = True
                elif isinstance(event, TextMessage):
                    raise trio.BrokenResourceError("a text message")
        return b"".join(payload)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` as one message."""
        await self._send(BytesMessage(bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the connection without a farewell."""
        await self._stream.aclose()

    async def _send(self, event: Event) -> None:
        async with self._sending:
            try:
                await self._stream.send_all(self._connection.send(event))
            except ProtocolError:
                raise trio.BrokenResourceError("the peer said goodbye") from None
