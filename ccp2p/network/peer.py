"""One connected peer: its queue of frames out, its reader, and the watch over its silence."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from ccp2p.model import limits
from ccp2p.model.errors import PeerFault
from ccp2p.network import framing
from ccp2p.network.contract import PeerStatus
from ccp2p.network.inbox import Inbox
from ccp2p.network.session import ConnectionLost, SocketConnection
from ccp2p.network.yamux import StreamEnded, YamuxStream

_BATCH_BYTES: Final = 256 * 1024  # one write takes so much of the queue


@dataclass(frozen=True, slots=True)
class Timing:
    """Bounds of one connection, in milliseconds; tests shorten them."""

    heartbeat_ms: int = limits.HEARTBEAT_MS
    silence_ms: int = limits.PEER_SILENCE_MS
    write_timeout_ms: int = limits.WRITE_TIMEOUT_MS
    handshake_timeout_ms: int = limits.HANDSHAKE_TIMEOUT_MS
    inbox_patience_ms: int = limits.INBOX_PATIENCE_MS


class Peer:
    """A connection that passed its attestation, until it ends."""

    def __init__(
        self, node: bytes, address: str, stream: YamuxStream, connection: SocketConnection
    ) -> None:
        now = trio.current_time()
        self.node = node
        self.since = now
        self.last_heard = now
        self.frames_in = 0
        self.frames_out = 0
        self.dropped_frames = 0
        self._address = address
        self._stream = stream
        self._connection = connection
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._queued = trio.Event()
        self._is_writing = False
        self._sent_bytes = 0
        self._progressed_at = now
        self._wrote_at = now
        self._full_since: float | None = None
        self._reason = ""
        self._scope = trio.CancelScope()
        self.ended = trio.Event()

    @property
    def is_dialled(self) -> bool:
        """Whether the connection is one of ours."""
        return self._connection.is_initiator

    def send(self, frame: bytes) -> bool:
        """Queue a frame; False when the queue has no room for it."""
        if self._is_idle and self._stream.takes(framing.LENGTH_BYTES + len(frame)):
            self._stream.put(framing.encode([frame]))
            self.frames_out += 1
            self._wrote_at = trio.current_time()
            return True
        if (
            len(self._queue) >= limits.PEER_QUEUE_FRAMES
            or self._queued_bytes + len(frame) > limits.PEER_QUEUE_BYTES
        ):
            return False
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._queued.set()
        return True

    @property
    def _is_idle(self) -> bool:
        """Whether no frame waits for its turn: then the next one needs none."""
        return not self._queue and not self._is_writing

    def end(self, reason: str) -> None:
        """Let `run` return with this reason."""
        self._reason = self._reason or reason
        self._scope.cancel()

    async def run(self, inbox: Inbox, timing: Timing) -> str:
        """Move frames until the connection ends; returns why it did."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._guard, self._read, inbox, timing)
                nursery.start_soon(self._guard, self._write)
                nursery.start_soon(self._watch, timing)
        return self._reason or "stopped"

    def status(self) -> PeerStatus:
        """The counters now."""
        return PeerStatus(
            connected=True,
            address=self._address,
            dialed=self.is_dialled,
            since=self.since,
            last_heard=self.last_heard,
            bytes_in=self._connection.bytes_in,
            bytes_out=self._connection.bytes_out,
            frames_in=self.frames_in,
            frames_out=self.frames_out,
            dropped_frames=self.dropped_frames,
            queued_frames=len(self._queue),
            queued_bytes=self._queued_bytes,
        )

    async def _guard(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await work(*arguments)
        except StreamEnded:
            self.end("the peer closed the connection")
        except ConnectionLost as error:
            self.end(str(error))
        except PeerFault as fault:
            self.end(fault.code)

    async def _read(self, inbox: Inbox, timing: Timing) -> None:
        parser = framing.FrameParser(limits.MAX_FRAME_BYTES)
        while True:
            try:
                data = await self._stream.read()
            except StreamEnded:
                if parser.is_between_frames:
                    raise
                raise PeerFault("truncated", "the stream ended inside a frame") from None
            self.last_heard = trio.current_time()
            frames = parser.feed(data)
            self.frames_in += len(frames)
            for frame in frames:
                if not inbox.offer(self.node, frame):
                    await self._insist(inbox, frame, timing.inbox_patience_ms / 1000)
                elif self._full_since is not None:
                    self._full_since = None

    async def _insist(self, inbox: Inbox, frame: bytes, patience_s: float) -> None:
        """Wait for room, but never so long that the peer thinks us frozen: then drop frames."""
        if self._full_since is None:
            self._full_since = trio.current_time()
        with trio.move_on_at(self._full_since + patience_s):
            while True:
                await inbox.room()
                if inbox.offer(self.node, frame):
                    self._full_since = None
                    return
        self.dropped_frames += 1

    async def _write(self) -> None:
        while True:
            if not self._queue:
                self._queued = trio.Event()
                await self._queued.wait()
            batch = self._take_batch()
            self._is_writing = True
            self._progressed_at = trio.current_time()
            await self._stream.write(batch)
            self._is_writing = False
            self._wrote_at = trio.current_time()

    def _take_batch(self) -> bytes:
        taken: list[bytes] = []
        size = 0
        while self._queue and size < _BATCH_BYTES:
            frame = self._queue.popleft()
            taken.append(frame)
            size += len(frame)
            self.frames_out += bool(frame)
        self._queued_bytes -= size
        return framing.encode(taken)

    async def _watch(self, timing: Timing) -> None:
        """Send heartbeats, and end what is silent or takes nothing of our writes.

        All peers of a process are looked at in the same moments: that wakes it once, not for each.
        """
        heartbeat_s = timing.heartbeat_ms / 1000
        while True:
            looks = trio.current_time() // (heartbeat_s / 2)
            await trio.sleep_until((looks + 1) * heartbeat_s / 2)
            now = trio.current_time()
            if now - self.last_heard > timing.silence_ms / 1000:
                self.end("silent")
            if self._sent_bytes != self._stream.sent_bytes:
                self._sent_bytes = self._stream.sent_bytes
                self._progressed_at = now
            if self._is_writing:
                if now - self._progressed_at > timing.write_timeout_ms / 1000:
                    self.end("write-timeout")
            elif not self._queue and now - self._wrote_at >= heartbeat_s / 2:
                self._queue.append(b"")
                self._queued.set()
