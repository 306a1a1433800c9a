"""The trace of a run: every event in order, under one running digest.

Two runs did the same exactly when their digests are equal. Lines are kept only where asked for.
"""

from hashlib import blake2b, sha256
from typing import NamedTuple

_REMEMBERED = 20_000  # digests of frames, which one sender sends to many


class Line(NamedTuple):
    """One event: microseconds since the start, a node (-1: the world), what, and about what."""

    at_us: int
    node: int
    what: str
    about: bytes


class Trace:
    """`keep` holds on to the lines as well."""

    def __init__(self, *, keep: bool = False) -> None:
        self._digest = sha256()
        self._frames: dict[bytes, bytes] = {}
        self.lines: list[Line] | None = [] if keep else None
        self.length = 0

    def note(self, at_us: int, node: int, what: str, about: bytes) -> None:
        """Add an event."""
        self._digest.update(b"%d %d %s %s\n" % (at_us, node, what.encode(), about.hex().encode()))
        self.length += 1
        if self.lines is not None:
            self.lines.append(Line(at_us, node, what, about))

    def frame(self, at_us: int, sender: int, receiver: int, frame: bytes) -> None:
        """A frame arrived."""
        name = self._frames.get(frame)
        if name is None:
            if len(self._frames) >= _REMEMBERED:
                self._frames.clear()
            name = self._frames[frame] = blake2b(frame, digest_size=8).digest()
        self.note(at_us, receiver, "frame", sender.to_bytes(2, "big") + name)

    @property
    def sha256(self) -> str:
        """The digest of everything so far, in hexadecimal."""
        return self._digest.copy().hexdigest()
