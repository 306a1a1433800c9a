"""Which blocks the log holds, in memory: every author's by round.

Rebuilt from the log's small reference records when a store opens. A question about what lies above
or below some rounds costs by its answer, not by the length of the log. A thread that writes does
not disturb readers: they take what they need piece by piece, each from the place they have come to,
and nothing that came after they asked, as they may look at the disk of that moment.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from struct import Struct
from typing import Final

from ccp2p.model.block import BlockReference

Entry = tuple[BlockReference, int, int]
"""(reference, epoch, sequence number)."""

_Row = tuple[int, int, BlockReference]  # round, sequence number, reference

_row = Struct(">QQ32s")  # round, sequence, digest: rows of one author ascend by their bytes
_place = Struct(">QQ")
_PIECE_BYTES: Final = 256 * _row.size  # what a reader takes at once


class _Chain:
    """One author's blocks of one epoch.

    Packed, since a log keeps 20,000 rounds of each of two epochs: 48 bytes a block, where objects
    would take 320.
    """

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows = bytearray()

    @property
    def newest(self) -> int:
        """The highest round; -1 where there is none."""
        rows = self.rows
        return int(_place.unpack_from(rows, len(rows) - _row.size)[0]) if rows else -1

    def place(self, round_: int, sequence: int = 0) -> int:
        """Where the first row from this round and sequence number on begins; any integers."""
        rows = self.rows
        if round_ > self.newest:
            return len(rows)
        key = bytearray(_place.pack(max(0, round_), sequence))
        count = len(rows) // _row.size

        def key_at(number: int) -> bytearray:
            return rows[number * _row.size : number * _row.size + _place.size]

        return bisect_left(range(count), key, key=key_at) * _row.size

    def add(self, round_: int, sequence: int, digest: bytes) -> None:
        """Put one block in."""
        at = self.place(round_, sequence)
        self.rows[at:at] = _row.pack(round_, sequence, digest)

    def find(self, reference: BlockReference) -> int | None:
        """The sequence number of a block, or None."""
        at = self.place(reference.round)
        while at < len(self.rows):
            round_, sequence, digest = _row.unpack_from(self.rows, at)
            if round_ != reference.round:
                return None
            if digest == reference.digest:
                return int(sequence)
            at += _row.size
        return None

    def remove(self, places: Sequence[tuple[int, int]]) -> None:
        """Take out rows that are here, by round and sequence number."""
        rows = self.rows
        found = sorted(self.place(*one) for one in places)
        if found[-1] - found[0] == (len(found) - 1) * _row.size:
            del rows[found[0] : found[-1] + _row.size]
        else:
            for at in reversed(found):
                del rows[at : at + _row.size]


class LogIndex:
    """The log's references."""

    def __init__(self, next_sequence: int = 0) -> None:
        self._chains: dict[int, dict[int, _Chain]] = {}  # by epoch and author
        self._lock = threading.Lock()
        self.next_sequence = next_sequence

    def __contains__(self, reference: BlockReference) -> bool:
        return self.find(reference) is not None

    def add(self, entries: Iterable[Entry]) -> None:
        """Put entries in."""
        with self._lock:
            for reference, epoch, sequence in entries:
                chain = self._chains.setdefault(epoch, {}).setdefault(reference.author, _Chain())
                chain.add(reference.round, sequence, reference.digest)
                self.next_sequence = max(self.next_sequence, sequence + 1)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Forget blocks that were pruned."""
        places: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for reference, epoch, sequence in entries:
            key = epoch, reference.author
            places.setdefault(key, []).append((reference.round, sequence))
        with self._lock:
            for (epoch, author), gone in places.items():
                chains = self._chains[epoch]
                chains[author].remove(gone)
                if not chains[author].rows:
                    del chains[author]
                if not chains:
                    del self._chains[epoch]

    def number(self, references: Iterable[BlockReference], epoch: int) -> list[Entry]:
        """Entries for those references that are not here yet, each once, numbered onwards."""
        fresh = [each for each in dict.fromkeys(references) if each not in self]
        return [
            (reference, epoch, sequence)
            for sequence, reference in enumerate(fresh, self.next_sequence)
        ]

    def find(self, reference: BlockReference) -> Entry | None:
        """The entry of one block, or None."""
        with self._lock:
            for epoch, chains in self._chains.items():
                chain = chains.get(reference.author)
                sequence = None if chain is None else chain.find(reference)
                if sequence is not None:
                    return reference, epoch, sequence
        return None

    def of_epoch(self, epoch: int) -> list[Entry]:
        """All entries of an epoch in admission order."""
        end = self.next_sequence
        rows = [row for author in self._authors(epoch) for row in self._rows(epoch, author, 0, end)]
        rows.sort(key=itemgetter(1))
        return [(reference, epoch, sequence) for _, sequence, reference in rows]

    def above(self, epoch: int, rounds: Sequence[int]) -> Iterator[Entry]:
        """Entries of an epoch whose round is above `rounds[author]`, lowest rounds first."""
        end = self.next_sequence
        newer = [
            self._rows(epoch, author, rounds[author] + 1 if author < len(rounds) else 1, end)
            for author in self._authors(epoch)
        ]
        return ((reference, epoch, sequence) for _, sequence, reference in merge(*newer))

    def below(self, epoch: int, round_: int, limit: int) -> list[Entry]:
        """At most `limit` entries of earlier epochs or of lower rounds of this one."""
        with self._lock:
            found: list[Entry] = []
            for held in sorted(each for each in self._chains if each <= epoch):
                for author, chain in self._chains[held].items():
                    end = chain.place(round_) if held == epoch else len(chain.rows)
                    end = min(end, (limit - len(found)) * _row.size)
                    found += [
                        (BlockReference(at, author, digest), held, sequence)
                        for at, sequence, digest in _row.iter_unpack(chain.rows[:end])
                    ]
            return found

    def _authors(self, epoch: int) -> list[int]:
        with self._lock:
            return list(self._chains.get(epoch, ()))

    def _rows(self, epoch: int, author: int, round_: int, end: int) -> Iterator[_Row]:
        """One author's blocks from a round on with sequence numbers below `end`, ascending."""
        sequence, is_whole = 0, False
        while not is_whole:
            data = self._read(epoch, author, round_, sequence)
            for round_, sequence, digest in _row.iter_unpack(data):
                if sequence < end:
                    yield round_, sequence, BlockReference(round_, author, digest)
            sequence += 1
            is_whole = len(data) < _PIECE_BYTES

    def _read(self, epoch: int, author: int, round_: int, sequence: int) -> bytes:
        with self._lock:
            chain = self._chains.get(epoch, {}).get(author)
            if chain is None:
                return b""
            at = chain.place(round_, sequence)
            return bytes(chain.rows[at : at + _PIECE_BYTES])
