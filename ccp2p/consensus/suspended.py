"""Blocks that wait for ancestors.

Every author has an even share of the room, so that no author's flood displaces another's blocks;
within a share the lowest rounds stay, because they are the first that can be admitted.
"""

from bisect import insort
from collections.abc import Iterable

from ccp2p.model import limits
from ccp2p.model.block import BlockReference, VerifiedBlock


class Waiting:
    """One suspended block, who sent it, and the parents it lacks."""

    __slots__ = ("block", "missing", "sender")

    def __init__(
        self, block: VerifiedBlock, sender: int | None, missing: Iterable[BlockReference]
    ) -> None:
        self.block = block
        self.sender = sender
        self.missing = dict.fromkeys(missing)


class SuspendedBlocks:
    """Suspended blocks, by reference and by the ancestors that they lack. `size` is n."""

    def __init__(self, size: int) -> None:
        self._waiting: dict[BlockReference, Waiting] = {}
        self._children: dict[BlockReference, dict[BlockReference, None]] = {}
        self._shares: list[list[BlockReference]] = [[] for _ in range(size)]
        self._bytes = [0] * size
        self._share_blocks = max(2, limits.MAX_SUSPENDED_BLOCKS // size)
        self._share_bytes = max(2 * limits.MAX_BLOCK_BYTES, limits.MAX_SUSPENDED_BYTES // size)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, reference: BlockReference) -> bool:
        return reference in self._waiting

    def is_wanted(self, reference: BlockReference) -> bool:
        """Whether a suspended block lacks the block of `reference`."""
        return reference in self._children

    @property
    def highest_round(self) -> int:
        """The highest round of a suspended block, or 0."""
        return max((share[-1].round for share in self._shares if share), default=0)

    def add(self, waiting: Waiting) -> list[Waiting]:
        """Suspend a block; the blocks that had to make room, perhaps itself, are returned."""
        reference = waiting.block.reference
        self._waiting[reference] = waiting
        for parent in waiting.missing:
            self._children.setdefault(parent, {})[reference] = None
        share = self._shares[reference.author]
        insort(share, reference)
        self._bytes[reference.author] += len(waiting.block.payload_bytes)
        displaced = []
        while len(share) > self._share_blocks or self._bytes[reference.author] > self._share_bytes:
            displaced.append(self.remove(share[-1]))
        return displaced

    def remove(self, reference: BlockReference) -> Waiting:
        """Forget a suspended block. Those that wait for it go on waiting."""
        waiting = self._waiting.pop(reference)
        self._shares[reference.author].remove(reference)
        self._bytes[reference.author] -= len(waiting.block.payload_bytes)
        for parent in waiting.missing:
            children = self._children[parent]
            del children[reference]
            if not children:
                del self._children[parent]
        return waiting

    def resolve(self, parent: BlockReference) -> list[Waiting]:
        """The block `parent` came: the blocks that now lack nothing leave, in order."""
        ready = []
        for reference in self._children.pop(parent, {}):
            waiting = self._waiting[reference]
            del waiting.missing[parent]
            if not waiting.missing:
                ready.append(self.remove(reference))
        return ready

    def collect(self, gc_round: int) -> tuple[list[Waiting], list[BlockReference], list[Waiting]]:
        """Forget what `gc_round` makes irrelevant.

        Returns the blocks at or below it, the references that nobody needs any more, and the
        blocks that now lack nothing.
        """
        stale = [
            self.remove(reference)
            for share in self._shares
            for reference in [one for one in share if one.round <= gc_round]
        ]
        needless = [parent for waiting in stale for parent in waiting.missing]
        ready = []
        for reference, waiting in list(self._waiting.items()):
            for parent in [one for one in waiting.missing if one.round <= gc_round]:
                needless.append(parent)
                del waiting.missing[parent]
                del self._children[parent][reference]
                if not self._children[parent]:
                    del self._children[parent]
            if not waiting.missing:
                ready.append(self.remove(reference))
        return stale, [one for one in needless if one not in self._children], ready
