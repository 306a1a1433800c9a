"""Frames of the next epoch that come before it begins here: kept, within limits."""

from collections import deque
from typing import Final

FRAMES: Final = 512  # more than all peers send in the seconds that a crossing takes
BYTES: Final = 32 * 1024 * 1024


class EarlyFrames:
    """(node, frame) pairs in the order in which they came.

    Whoever takes the most room loses its oldest frames first, so that a flood costs the others
    nothing. What is lost is sent or fetched again.
    """

    def __init__(self) -> None:
        self._by_node: dict[bytes, deque[tuple[int, bytes]]] = {}
        self._weights: dict[bytes, int] = {}
        self._weight = 0
        self._arrived = 0

    def append(self, node: bytes, frame: bytes) -> None:
        """Keep a frame, at the cost of the heaviest peer's oldest where there is no room."""
        self._by_node.setdefault(node, deque()).append((self._arrived, frame))
        self._weights[node] = self._weights.get(node, 0) + _weight(frame)
        self._weight += _weight(frame)
        self._arrived += 1
        while self._weight > BYTES:
            self._drop_oldest(max(self._weights, key=self._weights.__getitem__))

    def in_order(self) -> tuple[tuple[bytes, bytes], ...]:
        """All that is kept."""
        found = [
            (number, node, frame)
            for node, frames in self._by_node.items()
            for number, frame in frames
        ]
        return tuple((node, frame) for _, node, frame in sorted(found))

    def _drop_oldest(self, node: bytes) -> None:
        _, frame = self._by_node[node].popleft()
        self._weights[node] -= _weight(frame)
        self._weight -= _weight(frame)
        if not self._by_node[node]:
            del self._by_node[node], self._weights[node]


def _weight(frame: bytes) -> int:
    """What a frame takes of BYTES; so much at least that no more than FRAMES fit."""
    return max(len(frame), BYTES // FRAMES)
