"""Changed buckets on their way into the store: at once in a journal, later in their places.

A commit changes buckets all over the file. Putting each into its place at once would rewrite a page
of the file for each, several times what changed. So a transaction appends what it changed as one
journal record, and puts into their places only the waiting buckets of one slice of the numbers,
whose pages lie together. Turns are counted; after as many as there are slices, every bucket of a
record has had one, and the record goes.
"""

import struct
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

from ccp2p.model import limits
from ccp2p.model.errors import LocalFault

SLICES: Final = 128
_SLICE_BUCKETS: Final = limits.STATE_BUCKETS // SLICES
_HURRIED_TURNS: Final = 16  # at once, when more waits than should

_row = struct.Struct(">II")


class BucketJournal:
    """The buckets that wait, also in memory, and whose turn it is. Empty bytes: no bucket."""

    def __init__(self) -> None:
        self._waiting: dict[int, bytes] = {}
        self._records: deque[tuple[int, int]] = deque()  # turn and bytes of those on disk
        self._record_bytes = 0
        self.next_turn = 0

    def get(self, index: int) -> bytes | None:
        """A waiting bucket; None when the store's own is the newest."""
        return self._waiting.get(index)

    def waiting(self) -> dict[int, bytes]:
        """All waiting buckets."""
        return dict(self._waiting)

    def recover(self, turn: int, record: bytes) -> None:
        """Take up a record that the store holds, oldest first."""
        self._add(turn, dict(decode(record)))
        self.next_turn = turn + 1

    def due(self, changed: Mapping[int, bytes]) -> dict[int, bytes]:
        """What the next transaction puts into place, while it journals all that it `changed`."""
        waiting = self._waiting
        return {
            index: changed[index] if index in changed else waiting[index]
            for index in self._due_places()
            if index in changed or index in waiting
        }

    def written(self, changed: Mapping[int, bytes]) -> None:
        """The transaction that `due` spoke of is on disk."""
        turns, places = self._turns(), self._due_places()
        if changed:
            self._add(self.next_turn, changed)
        while self._records and self._records[0][0] < self.oldest_needed:
            self._record_bytes -= self._records.popleft()[1]
        for index in places:
            self._waiting.pop(index, None)
        self.next_turn += len(turns)

    @property
    def oldest_needed(self) -> int:
        """Records of earlier turns have nothing that waits once the next transaction is done."""
        return self.next_turn - SLICES + 1

    def _turns(self) -> range:
        hurries = self._record_bytes > limits.JOURNAL_BYTES
        return range(self.next_turn, self.next_turn + (_HURRIED_TURNS if hurries else 1))

    def _due_places(self) -> list[int]:
        """The numbers of the slices whose turn it is, ascending."""
        firsts = sorted(turn % SLICES * _SLICE_BUCKETS for turn in self._turns())
        return [index for first in firsts for index in range(first, first + _SLICE_BUCKETS)]

    def _add(self, turn: int, changed: Mapping[int, bytes]) -> None:
        self._waiting.update(changed)
        size_bytes = sum(map(len, changed.values()))
        self._records.append((turn, size_bytes))
        self._record_bytes += size_bytes


def encode(changed: Mapping[int, bytes]) -> bytes:
    """One record: number, length and bytes of each bucket."""
    heads = map(_row.pack, changed.keys(), map(len, changed.values()))
    return b"".join(chain.from_iterable(zip(heads, changed.values(), strict=True)))


def decode(record: bytes) -> Iterator[tuple[int, bytes]]:
    """The buckets of a record; LocalFault `corrupt` when it is malformed."""
    at = 0
    while at < len(record):
        if at + _row.size > len(record):
            raise LocalFault("corrupt", "a journal record of the store is cut short")
        index, length = _row.unpack_from(record, at)
        at += _row.size
        if index >= limits.STATE_BUCKETS or at + length > len(record):
            raise LocalFault("corrupt", "a journal record of the store is malformed")
        yield index, record[at : at + length]
        at += length
