"""Frames on a byte stream: a 4-byte big-endian length, then that many bytes.

Pure. An empty frame is a heartbeat: it is written by the transport and never handed on.
"""

from collections.abc import Iterable

from ccp2p.model.errors import PeerFault

LENGTH_BYTES = 4
HEARTBEAT = bytes(LENGTH_BYTES)


def encode(frames: Iterable[bytes]) -> bytes:
    """The wire form of `frames`, one after another."""
    parts: list[bytes] = []
    for frame in frames:
        parts.append(len(frame).to_bytes(LENGTH_BYTES, "big"))
        parts.append(frame)
    return b"".join(parts)


class FrameParser:
    """Cuts received bytes into frames; it never holds more than one frame and one read."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pending = bytearray()

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without cutting a frame."""
        return not self._pending

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, heartbeats left out; PeerFault on an oversized one."""
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted_bytes():
                return []
            data = bytes(self._pending)
            self._pending.clear()
        frames: list[bytes] = []
        start, end = 0, len(data)
        while end - start >= LENGTH_BYTES:
            body = start + LENGTH_BYTES
            length = int.from_bytes(data[start:body], "big")
            self._check(length)
            if body + length > end:
                break
            if length:
                frames.append(data[body : body + length])
            start = body + length
        self._pending += data[start:]
        return frames

    def _wanted_bytes(self) -> int:
        if len(self._pending) < LENGTH_BYTES:
            return LENGTH_BYTES
        length = int.from_bytes(self._pending[:LENGTH_BYTES], "big")
        self._check(length)
        return LENGTH_BYTES + length

    def _check(self, length: int) -> None:
        if length > self._limit_bytes:
            raise PeerFault("oversized", f"a frame of {length} bytes; limit {self._limit_bytes}")
