"""Which blocks the log holds, in memory: by reference, and every author's by round.

Rebuilt from the log's small reference records when a store opens. A question about what lies above
or below some rounds costs by its answer, not by the length of the log. Readers take what they need
in single steps, so a thread that writes does not disturb them.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge

from ccp2p.model.block import BlockReference

Entry = tuple[BlockReference, int, int]

# (round, sequence, reference) in ascending order; sequences differ, so references never compare.
_Chain = list[tuple[int, int, BlockReference]]


class LogIndex:
    """The log's references. An `Entry` is (reference, epoch, sequence number)."""

    def __init__(self) -> None:
        self._places: dict[BlockReference, tuple[int, int]] = {}
        self._chains: dict[int, dict[int, _Chain]] = {}
        self.next_sequence = 0

    def __contains__(self, reference: BlockReference) -> bool:
        return reference in self._places

    def add(self, entries: Iterable[Entry]) -> None:
        """Put entries in."""
        for reference, epoch, sequence in entries:
            chains = self._chains.setdefault(epoch, {})
            chain = chains.setdefault(reference.author, [])
            insort(chain, (reference.round, sequence, reference))
            self._places[reference] = (epoch, sequence)
            self.next_sequence = max(self.next_sequence, sequence + 1)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Forget blocks that were pruned."""
        for reference, epoch, sequence in entries:
            chains = self._chains[epoch]
            chain = chains[reference.author]
            del chain[bisect_left(chain, (reference.round, sequence))]
            if not chain:
                del chains[reference.author]
            if not chains:
                del self._chains[epoch]
            del self._places[reference]

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
        chains = list(self._chains.get(epoch, {}).values())
        entries = [(reference, epoch, seq) for chain in chains for _, seq, reference in list(chain)]
        return sorted(entries, key=lambda entry: entry[2])

    def above(self, epoch: int, rounds: Sequence[int]) -> Iterator[Entry]:
        """Entries of an epoch whose round is above `rounds[author]`, lowest rounds first."""
        newer = []
        for author, chain in list(self._chains.get(epoch, {}).items()):
            newest = rounds[author] if author < len(rounds) else 0
            newer.append(chain[bisect_left(chain, (newest + 1,)) :])
        return ((reference, epoch, sequence) for _, sequence, reference in merge(*newer))

    def below(self, epoch: int, round_: int, limit: int) -> list[Entry]:
        """At most `limit` entries of earlier epochs or of lower rounds of this one."""
        found: list[Entry] = []
        for held in sorted(each for each in list(self._chains) if each <= epoch):
            for chain in list(self._chains[held].values()):
                end = bisect_left(chain, (round_,)) if held == epoch else len(chain)
                end = min(end, limit - len(found))
                found += [(reference, held, sequence) for _, sequence, reference in chain[:end]]
        return found
