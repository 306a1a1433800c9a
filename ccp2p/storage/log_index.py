"""Which blocks the log holds, in memory: reference -> (epoch, sequence number).

Rebuilt from the log's small reference records when a store opens. Readers take a snapshot in one
step, so a thread that writes cannot disturb them.
"""

from collections.abc import Iterable, Iterator, Sequence

from ccp2p.model.block import BlockReference

Entry = tuple[BlockReference, int, int]


class LogIndex:
    """The log's references in admission order. An `Entry` is (reference, epoch, sequence)."""

    def __init__(self) -> None:
        self._places: dict[BlockReference, tuple[int, int]] = {}
        self.next_sequence = 0

    def __contains__(self, reference: BlockReference) -> bool:
        return reference in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries; their sequence numbers must rise."""
        for reference, epoch, sequence in entries:
            self._places[reference] = (epoch, sequence)
            self.next_sequence = sequence + 1

    def remove(self, references: Iterable[BlockReference]) -> None:
        """Forget blocks that were pruned."""
        for reference in references:
            self._places.pop(reference, None)

    def number(self, references: Iterable[BlockReference], epoch: int) -> list[Entry]:
        """Entries for those references that are not here yet, each once, numbered onwards."""
        fresh = [each for each in dict.fromkeys(references) if each not in self._places]
        return [
            (reference, epoch, sequence)
            for sequence, reference in enumerate(fresh, self.next_sequence)
        ]

    def find(self, reference: BlockReference) -> Entry | None:
        """The entry of one block, or None."""
        place = self._places.get(reference)
        return None if place is None else (reference, *place)

    def of_epoch(self, epoch: int) -> list[Entry]:
        """All entries of an epoch in admission order."""
        return [entry for entry in self._snapshot() if entry[1] == epoch]

    def above(self, epoch: int, rounds: Sequence[int]) -> Iterator[Entry]:
        """Entries of an epoch whose round is above `rounds[author]`, in admission order."""
        known = len(rounds)
        for entry in self._snapshot():
            reference = entry[0]
            newest = rounds[reference.author] if reference.author < known else 0
            if entry[1] == epoch and reference.round > newest:
                yield entry

    def below(self, epoch: int, round_: int, limit: int) -> list[Entry]:
        """At most `limit` entries of earlier epochs or of lower rounds of this one."""
        found = []
        for entry in self._snapshot():
            if (entry[1], entry[0].round) < (epoch, round_):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def _snapshot(self) -> Iterator[Entry]:
        for reference, (epoch, sequence) in list(self._places.items()):
            yield reference, epoch, sequence
