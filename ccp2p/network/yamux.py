"""Yamux 1.0.0: many streams over one session, every buffer bounded.

Speaks the wire of hashicorp/yamux `spec.md`, as libp2p does. libp2p's own Python muxer is not
used: it resets a stream whose reader stalls for 5 s, buffers without a limit what a peer sends
beyond its window, and awaits a dozen times for each frame.

Rules: whoever reads the session never waits for a write (so two full sockets cannot deadlock);
what a peer sends beyond its window, or in control frames faster than we can answer, ends the
connection; streams beyond `max_streams` are reset at once.
"""

import struct
from collections import deque
from typing import Final

import trio

from ccp2p.network.session import ConnectionLost, Session

PROTOCOL: Final = "/yamux/1.0.0"

_HEADER: Final = struct.Struct(">BBHII")
_HEADER_BYTES: Final = _HEADER.size
_DATA, _WINDOW_UPDATE, _PING, _GO_AWAY = range(4)
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8
_INITIAL_WINDOW_BYTES: Final = 256 * 1024  # the specification's, before any update
_MAX_FRAME_BYTES: Final = 64 * 1024  # as other implementations cut their writes
_MAX_OUTGOING_BYTES: Final = 256 * 1024  # one write's worth: writers wait above it
_MAX_CONTROL_BYTES: Final = 1024 * 1024  # answers that pile up because the peer does not read


class StreamEnded(Exception):
    """The other side closed its direction of the stream, between two reads."""


class YamuxStream:
    """One stream; one reader and one writer at a time."""

    def __init__(self, connection: "YamuxConnection", stream_id: int) -> None:
        self.stream_id = stream_id
        self.send_window = _INITIAL_WINDOW_BYTES
        self.receive_window = _INITIAL_WINDOW_BYTES
        self.buffer = bytearray()
        self.changed = trio.Event()
        self.sent_bytes = 0
        self.is_ended = False
        self.is_reset = False
        self._is_finished = False
        self._consumed = 0
        self._connection = connection

    async def read(self, size: int | None = None) -> bytes:
        """Exactly `size` bytes, or all that is here (at least one byte) for None.

        StreamEnded at the peer's end of stream, ConnectionLost when reset or cut.
        """
        while len(self.buffer) < (size or 1):
            if size is not None and size > _INITIAL_WINDOW_BYTES:
                raise ConnectionLost("the peer announced too many bytes")
            if self.is_ended and not self.is_reset:
                raise StreamEnded
            self._check_alive()
            await self._wait()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        self._consumed += len(data)
        if self._consumed * 2 >= self._connection.window_bytes:
            self._grant(self._consumed)
            self._consumed = 0
        return data

    def takes(self, size_bytes: int) -> bool:
        """Whether so much may be `put` now: there is room for it, and nothing else waits."""
        room_bytes = min(self.send_window, _MAX_FRAME_BYTES)
        return size_bytes <= room_bytes and not self.is_reset and self._connection.is_idle

    def put(self, data: bytes) -> None:
        """Queue all of `data` for sending; the caller knows that the peer's window allows it."""
        self.send_window -= len(data)
        self.sent_bytes += len(data)
        self._connection.queue(_DATA, 0, self.stream_id, len(data), data)

    async def write(self, data: bytes) -> None:
        """Queue all of `data` for sending, as the peer's window allows."""
        start, end = 0, len(data)
        while start < end:
            while not self.send_window:
                self._check_alive()
                await self._wait()
            await self._connection.wait_for_room()
            self._check_alive()
            size = min(self.send_window, end - start, _MAX_FRAME_BYTES)
            if not size:
                continue
            self.put(data[start : start + size])
            start += size

    async def close(self) -> None:
        """Say that we write no more; what was written still arrives."""
        if not self._is_finished and not self.is_reset:
            self._is_finished = True
            self._connection.queue(_WINDOW_UPDATE, _FIN, self.stream_id, 0)
            self._connection.forget_if_done(self)

    def reset(self) -> None:
        """Drop the stream in both directions."""
        if not self.is_reset:
            self._connection.queue(_WINDOW_UPDATE, _RST, self.stream_id, 0)
            self._connection.drop(self)

    @property
    def is_done(self) -> bool:
        """Whether both directions ended."""
        return self._is_finished and self.is_ended

    def wake(self) -> None:
        """Let whoever waits look again."""
        self.changed.set()

    def open_window(self, flag: int) -> None:
        """Announce the stream with `flag`, and our whole receive window."""
        extra = self._connection.window_bytes - _INITIAL_WINDOW_BYTES
        self.receive_window += extra
        self._connection.queue(_WINDOW_UPDATE, flag, self.stream_id, extra)

    def _grant(self, size: int) -> None:
        if not self.is_ended and not self.is_reset:
            self.receive_window += size
            self._connection.queue(_WINDOW_UPDATE, 0, self.stream_id, size)

    def _check_alive(self) -> None:
        if self.is_reset:
            raise ConnectionLost("the stream was reset")
        if self._connection.is_closed:
            raise ConnectionLost(self._connection.reason)

    async def _wait(self) -> None:
        if self.changed.is_set():
            self.changed = trio.Event()
        await self.changed.wait()


class YamuxConnection:
    """All streams of a session. `run` does the reading and writing until the end."""

    def __init__(self, session: Session, *, window_bytes: int, max_streams: int) -> None:
        self.window_bytes = window_bytes
        self.is_closed = False
        self.reason = "the connection is closed"
        self.accepted: deque[YamuxStream] = deque()
        self.arrived = trio.Event()
        self._session = session
        self._max_streams = max_streams
        self._streams: dict[int, YamuxStream] = {}
        self._next_id = 1 if session.is_initiator else 2
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._has_outgoing = trio.Event()
        self._has_room = trio.Event()
        self._is_writing = False
        self._incoming = bytearray()
        self._wanted_bytes = _HEADER_BYTES

    async def run(self) -> None:
        """Serve until the connection ends, then return."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_all, nursery.cancel_scope)
                nursery.start_soon(self._write_all, nursery.cancel_scope)
        finally:
            self._end()

    def open(self) -> YamuxStream:
        """A new stream; ConnectionLost when the connection is over."""
        if self.is_closed:
            raise ConnectionLost(self.reason)
        stream = self._streams[self._next_id] = YamuxStream(self, self._next_id)
        self._next_id += 2
        stream.open_window(_SYN)
        return stream

    async def accept(self) -> YamuxStream:
        """The next stream that the peer opened; ConnectionLost when there will be none."""
        while not self.accepted:
            if self.is_closed:
                raise ConnectionLost(self.reason)
            self.arrived = trio.Event()
            await self.arrived.wait()
        return self.accepted.popleft()

    def queue(self, kind: int, flags: int, stream_id: int, length: int, data: bytes = b"") -> None:
        """Put one frame behind those that wait to be written."""
        self._outgoing.append(_HEADER.pack(0, kind, flags, stream_id, length))
        if data:
            self._outgoing.append(data)
        self._outgoing_bytes += _HEADER_BYTES + len(data)
        self._has_outgoing.set()

    @property
    def is_idle(self) -> bool:
        """Whether the connection lives, and has nothing to send."""
        return not (self._outgoing or self._is_writing or self.is_closed)

    async def wait_for_room(self) -> None:
        """Return once less than a write's worth of frames is waiting."""
        while self._outgoing_bytes >= _MAX_OUTGOING_BYTES and not self.is_closed:
            if self._has_room.is_set():
                self._has_room = trio.Event()
            await self._has_room.wait()

    async def flush(self) -> None:
        """Return once all that was queued is handed to the operating system."""
        while not (self.is_idle or self.is_closed):
            if self._has_room.is_set():
                self._has_room = trio.Event()
            await self._has_room.wait()

    def forget_if_done(self, stream: YamuxStream) -> None:
        """Free the stream's number once both directions ended."""
        if stream.is_done:
            self._streams.pop(stream.stream_id, None)

    def drop(self, stream: YamuxStream) -> None:
        """Mark a stream as reset and free its number and buffer."""
        stream.is_reset = True
        stream.buffer.clear()
        self._streams.pop(stream.stream_id, None)
        stream.wake()

    def _end(self) -> None:
        self.is_closed = True
        self.arrived.set()
        self._has_room.set()
        for stream in tuple(self._streams.values()):
            stream.wake()

    async def _write_all(self, scope: trio.CancelScope) -> None:
        try:
            while True:
                await self._has_outgoing.wait()
                self._has_outgoing = trio.Event()
                batch = b"".join(self._outgoing)
                self._outgoing.clear()
                self._outgoing_bytes = 0
                self._has_room.set()
                self._is_writing = True
                await self._session.write(batch)
                self._is_writing = False
                self._has_room.set()
        except ConnectionLost as error:
            self._break(error, scope)

    async def _read_all(self, scope: trio.CancelScope) -> None:
        try:
            while True:
                self._incoming += await self._session.receive()
                if len(self._incoming) >= self._wanted_bytes:
                    self._take_frames()
        except ConnectionLost as error:
            self._break(error, scope)

    def _break(self, error: ConnectionLost, scope: trio.CancelScope) -> None:
        self.reason = str(error)
        scope.cancel()

    def _take_frames(self) -> None:
        data, start = bytes(self._incoming), 0
        self._wanted_bytes = _HEADER_BYTES
        while len(data) - start >= _HEADER_BYTES:
            version, kind, flags, stream_id, length = _HEADER.unpack_from(data, start)
            body = start + _HEADER_BYTES
            if self._outgoing_bytes > _MAX_CONTROL_BYTES:
                raise ConnectionLost("the peer asks without reading the answers")
            if version != 0 or kind > _GO_AWAY:
                raise ConnectionLost("not a Yamux frame")
            if kind != _DATA:
                start = body
                self._take_control(kind, flags, stream_id, length)
                continue
            if length > self.window_bytes:
                raise ConnectionLost("a frame larger than any window")
            if body + length > len(data):
                self._wanted_bytes = _HEADER_BYTES + length
                break
            start = body + length
            self._take_data(flags, stream_id, data[body:start])
        del self._incoming[:start]

    def _take_control(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if kind == _GO_AWAY:
            raise ConnectionLost("the peer said goodbye")
        if kind == _PING:
            if flags & _SYN:
                self.queue(_PING, _ACK, 0, length)
            return
        stream = self._stream_of(flags, stream_id)
        if stream is not None:
            stream.send_window += length
            self._take_flags(stream, flags)
            stream.wake()

    def _take_data(self, flags: int, stream_id: int, data: bytes) -> None:
        stream = self._stream_of(flags, stream_id)
        if stream is None:
            return  # in flight when we reset or refused the stream
        stream.receive_window -= len(data)
        if stream.receive_window < 0 or (data and stream.is_ended):
            raise ConnectionLost("the peer sent more than its window")
        stream.buffer += data
        self._take_flags(stream, flags)
        stream.wake()

    def _stream_of(self, flags: int, stream_id: int) -> YamuxStream | None:
        if not flags & _SYN:
            return self._streams.get(stream_id)
        if stream_id in self._streams or stream_id % 2 == self._next_id % 2 or not stream_id:
            raise ConnectionLost("the peer opened a stream under a wrong number")
        if max(len(self._streams), len(self.accepted)) >= self._max_streams:
            self.queue(_WINDOW_UPDATE, _RST, stream_id, 0)
            return None
        stream = self._streams[stream_id] = YamuxStream(self, stream_id)
        stream.open_window(_ACK)
        self.accepted.append(stream)
        self.arrived.set()
        return stream

    def _take_flags(self, stream: YamuxStream, flags: int) -> None:
        if flags & _RST:
            self.drop(stream)
        elif flags & _FIN:
            stream.is_ended = True
            self.forget_if_done(stream)
