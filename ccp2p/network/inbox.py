"""What arrived and waits for the node: bounded in number, in bytes, and for each peer.

One peer can fill its own share only, so a flood from it does not cost the others their frames.
"""

from collections import deque
from dataclasses import dataclass
from typing import Self

import trio

from ccp2p.model import limits
from ccp2p.network.contract import Connected, Disconnected, Event, FrameReceived


@dataclass(slots=True)
class _Share:
    frames: int = 0
    bytes: int = 0


class Inbox:
    """The events of a network, in order of arrival; one consumer."""

    def __init__(self, limit_bytes: int = limits.INBOX_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._events: deque[Event] = deque()
        self._shares: dict[bytes, _Share] = {}
        self._frames = 0
        self._bytes = 0
        self._arrived = trio.Event()
        self._taken = trio.Event()

    def offer(self, node: bytes, frame: bytes) -> bool:
        """Append a frame, or say (False) that it has no room."""
        share = self._shares.get(node)
        if share is None:
            share = self._shares[node] = _Share()
        if (
            self._frames >= limits.INBOX_FRAMES
            or self._bytes >= self._limit_bytes
            or share.frames >= limits.PEER_INBOX_FRAMES
            or share.bytes >= limits.PEER_INBOX_BYTES
        ):
            return False
        share.frames += 1
        share.bytes += len(frame)
        self._frames += 1
        self._bytes += len(frame)
        self._append(FrameReceived(node, frame))
        return True

    def note(self, event: Connected | Disconnected) -> None:
        """Append a change of a connection; there are two for each connection at most."""
        self._append(event)

    async def room(self) -> None:
        """Return once the consumer has taken something."""
        if self._taken.is_set():
            self._taken = trio.Event()
        await self._taken.wait()

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no further connection should begin."""
        return len(self._events) >= limits.INBOX_FRAMES

    async def receive(self) -> Event:
        """The next event."""
        while not self._events:
            await self._wait()
        await trio.lowlevel.checkpoint()
        return self.receive_nowait()

    def receive_nowait(self) -> Event:
        """The next event; trio.WouldBlock when there is none."""
        if not self._events:
            raise trio.WouldBlock
        event = self._events.popleft()
        if isinstance(event, FrameReceived):
            self._release(event.node, len(event.frame))
        self._taken.set()
        return event

    async def receive_many(self) -> list[Event]:
        """All events that wait, at least one: the cheapest way under load."""
        while not self._events:
            await self._wait()
        await trio.lowlevel.checkpoint()
        events = list(self._events)
        self._events.clear()
        self._shares.clear()
        self._frames = self._bytes = 0
        self._taken.set()
        return events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self.receive()

    def _append(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.set()

    async def _wait(self) -> None:
        self._arrived = trio.Event()
        await self._arrived.wait()

    def _release(self, node: bytes, size: int) -> None:
        share = self._shares[node]
        share.frames -= 1
        share.bytes -= size
        if not share.frames:
            del self._shares[node]
        self._frames -= 1
        self._bytes -= size
