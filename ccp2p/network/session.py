"""A TCP stream under Noise: buffered, bounded reads, and one send for each write.

`SocketConnection` is what libp2p's Noise handshake reads and writes; `Session` replaces libp2p's
own session after it, because that one gives up after 100 short reads, sends twice for a full
packet and awaits several times for each. Both read exactly what is asked or raise ConnectionLost.
"""

from typing import Any, Final

import trio

# One packet of the Noise transport (libp2p noise specification): 2 bytes of length, then at most
# 65,535 bytes, of which the authentication tag takes 16.
_LENGTH_BYTES: Final = 2
_MAX_PLAINTEXT_BYTES: Final = 65_535 - 16
# Small reads stay below the allocator's mmap threshold; after a full one, more is waiting.
_RECEIVE_BYTES: Final = (64 * 1024, 256 * 1024)
# Nothing reads more at once; a peer announces sizes, and this is where they end.
MAX_READ_BYTES: Final = 1024 * 1024


class ConnectionLost(Exception):
    """The other side closed, broke or violated the transport."""


class SocketConnection:
    """A byte stream with a read buffer; `is_initiator` says who dialed."""

    def __init__(self, stream: trio.abc.Stream, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.bytes_in = 0
        self.bytes_out = 0
        self._stream = stream
        self._buffer = bytearray()
        self._is_busy = False

    async def read(self, size: int | None = None) -> bytes:
        """Exactly `size` bytes."""
        if size is None or size > MAX_READ_BYTES:
            raise ConnectionLost("the peer announced too many bytes")
        while len(self._buffer) < size:
            self._buffer += await self._receive_some()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def receive(self) -> bytes:
        """Some bytes, at least one: first those that `read` left."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        return await self._receive_some()

    async def write(self, data: bytes) -> None:
        """Send all of `data`; cancelled, the connection must be closed."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionLost("the connection broke") from None
        self.bytes_out += len(data)

    async def close(self) -> None:
        """Close at once, without waiting for the peer."""
        await trio.aclose_forcefully(self._stream)

    async def _receive_some(self) -> bytes:
        try:
            data = await self._stream.receive_some(_RECEIVE_BYTES[self._is_busy])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionLost("the connection broke") from None
        if not data:
            raise ConnectionLost("the peer closed the connection")
        self.bytes_in += len(data)
        self._is_busy = len(data) >= _RECEIVE_BYTES[0]
        return data


class Session:
    """Encrypted reads and writes; `noise` is a finished handshake of the noise library."""

    def __init__(self, connection: SocketConnection, noise: Any, node: bytes) -> None:
        self.node = node
        self.verdict: Any = None
        self.is_initiator = connection.is_initiator
        self.connection = connection
        self._noise = noise
        self._sealed = bytearray()
        self._plain = bytearray()

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes, equal at both ends and in no other session."""
        return bytes(self._noise.get_handshake_hash())

    async def read(self, size: int | None = None) -> bytes:
        """Exactly `size` bytes of plaintext."""
        if size is None or size > MAX_READ_BYTES:
            raise ConnectionLost("the peer announced too many bytes")
        while len(self._plain) < size:
            self._plain += await self._receive_packets()
        data = bytes(self._plain[:size])
        del self._plain[:size]
        return data

    async def receive(self) -> bytes:
        """Some plaintext, perhaps none; first what `read` left."""
        if self._plain:
            data = bytes(self._plain)
            self._plain.clear()
            return data
        return await self._receive_packets()

    async def write(self, data: bytes) -> None:
        """Send `data` in as few packets as it takes; one writer at a time."""
        packets: list[bytes] = []
        for start in range(0, len(data), _MAX_PLAINTEXT_BYTES):
            packet = self._noise.encrypt(data[start : start + _MAX_PLAINTEXT_BYTES])
            packets += (len(packet).to_bytes(_LENGTH_BYTES, "big"), packet)
        await self.connection.write(b"".join(packets))

    async def close(self) -> None:
        """Close at once."""
        await self.connection.close()

    async def _receive_packets(self) -> bytes:
        self._sealed += await self.connection.receive()
        sealed, plain, start = bytes(self._sealed), [], 0
        while len(sealed) - start >= _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            stop = body + int.from_bytes(sealed[start:body], "big")
            if stop > len(sealed):
                break
            try:
                plain.append(self._noise.decrypt(sealed[body:stop]))
            except Exception:
                # The noise library raises several types; whichever it is, the session is over.
                raise ConnectionLost("a packet fails its authentication") from None
            start = stop
        del self._sealed[:start]
        return plain[0] if len(plain) == 1 else b"".join(plain)
