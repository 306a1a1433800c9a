"""Admission: a block enters the DAG when all its ancestors above the gc round are in.

A missing ancestor suspends a block and never rejects it. So does a parent reference that misnames
a block: nobody made the one that it names. Were it a fault, nodes would differ on it by when the
misnamed block came, as the gc round lets in what waits. What carries a wrong coin is dropped, and
its author blamed. A slot holds two unsolicited blocks at most: two prove equivocation, and more are
taken only where a suspended block lacks them.
"""

from collections import deque
from collections.abc import Iterable

from ccp2p.consensus.coin import CoinBook
from ccp2p.consensus.fetcher import Fetcher
from ccp2p.consensus.index import Index
from ccp2p.consensus.messages import Draft, Equivocation, SignedHeader
from ccp2p.consensus.suspended import SuspendedBlocks, Waiting
from ccp2p.consensus.vertex import Vertex
from ccp2p.model import limits
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.errors import PeerFault


class Dag:
    """Admits blocks into `index`, in an order where parents come first. `size` is n."""

    def __init__(self, size: int, index: Index, book: CoinBook, fetcher: Fetcher) -> None:
        self._index = index
        self._book = book
        self._fetcher = fetcher
        self._suspended = SuspendedBlocks(size)
        self._slots: dict[int, dict[int, dict[bytes, SignedHeader]]] = {}
        self._accused: set[int] = set()
        self._swept = 0
        self._admitted: list[Vertex] = []
        self.gc_round = 0

    @property
    def suspended(self) -> int:
        """How many blocks wait for ancestors."""
        return len(self._suspended)

    @property
    def highest_suspended_round(self) -> int:
        """The highest round of a block that waits, or 0."""
        return self._suspended.highest_round

    def take_admitted(self) -> list[Vertex]:
        """The vertices admitted since the last call, in order."""
        admitted, self._admitted = self._admitted, []
        return admitted

    def offer(self, block: VerifiedBlock, sender: int | None, draft: Draft) -> None:
        """Admit, suspend or ignore a block. Duplicates and blocks at the gc round are ignored."""
        reference = block.reference
        if reference.round <= self.gc_round or self._is_held(reference):
            return
        slot = self._slots.setdefault(reference.round, {}).setdefault(reference.author, {})
        is_full = len(slot) >= limits.MAX_UNSOLICITED_PER_SLOT
        if not is_full or self._suspended.is_wanted(reference):
            self._enter(block, sender, slot, draft)

    def restore(self, block: VerifiedBlock, draft: Draft) -> None:
        """Take a block of our own log: it was admitted once, however many its slot held then."""
        reference = block.reference
        slot = self._slots.setdefault(reference.round, {}).setdefault(reference.author, {})
        self._enter(block, None, slot, draft)

    def _enter(
        self,
        block: VerifiedBlock,
        sender: int | None,
        slot: dict[bytes, SignedHeader],
        draft: Draft,
    ) -> None:
        self._note(block, slot, draft)
        self._fetcher.drop(block.reference)
        missing = self._missing(block)
        if missing:
            self._suspend(Waiting(block, sender, missing))
        else:
            self._admit([block], draft)

    def collect(self, gc_round: int, draft: Draft) -> None:
        """Move the gc round: what waited only for ancestors at or below it is admitted."""
        if gc_round <= self.gc_round:
            return
        self.gc_round = gc_round
        self._index.collect(gc_round)
        if not self._slots:
            self._swept = gc_round + 1
        for round_ in range(self._swept, gc_round + 1):
            self._slots.pop(round_, None)
        self._swept = max(self._swept, gc_round + 1)
        if self._suspended:
            stale, needless, ready = self._suspended.collect(gc_round)
            for waiting in stale:
                self._forget(waiting.block.reference)
            for parent in needless:
                self._fetcher.drop(parent)
            self._admit([waiting.block for waiting in ready], draft)

    def _is_held(self, reference: BlockReference) -> bool:
        return self._index.get(reference.digest) is not None or reference in self._suspended

    def _missing(self, block: VerifiedBlock) -> list[BlockReference]:
        get, floor = self._index.get, self.gc_round
        return [
            parent
            for parent in block.header.parents
            if parent.round > floor
            and ((vertex := get(parent.digest)) is None or vertex.reference != parent)
        ]

    def _note(self, block: VerifiedBlock, slot: dict[bytes, SignedHeader], draft: Draft) -> None:
        """Enter a block in its slot; a second one is evidence, reported once an author."""
        header = SignedHeader(block.header_bytes, block.signature)
        author = block.reference.author
        if slot and author not in self._accused:
            self._accused.add(author)
            first = next(iter(slot.values()))
            draft.evidence.append(Equivocation(author, block.reference.round, first, header))
        slot[block.reference.digest] = header

    def _suspend(self, waiting: Waiting) -> None:
        for parent in waiting.missing:
            if parent not in self._suspended:
                self._fetcher.want(parent, waiting.sender)
        for displaced in self._suspended.add(waiting):
            reference = displaced.block.reference
            self._forget(reference)
            self._drop_needless(displaced.missing)
            if self._suspended.is_wanted(reference):
                self._fetcher.want(reference, None)

    def _drop_needless(self, parents: Iterable[BlockReference]) -> None:
        """Stop asking for blocks that no suspended block lacks."""
        for parent in parents:
            if not self._suspended.is_wanted(parent):
                self._fetcher.drop(parent)

    def _forget(self, reference: BlockReference) -> None:
        """Empty a block's place in its slot: it may come again.

        Nothing is left of a round without blocks: those that no gc round comes to are without end.
        """
        slots = self._slots.get(reference.round, {})
        slot = slots.get(reference.author, {})
        slot.pop(reference.digest, None)
        if not slot:
            slots.pop(reference.author, None)
        if not slots:
            self._slots.pop(reference.round, None)

    def _admit(self, blocks: Iterable[VerifiedBlock], draft: Draft) -> None:
        """Admit blocks that lack nothing, and whatever waited for them."""
        ready = deque(blocks)
        while ready:
            block = ready.popleft()
            reference = block.reference
            if not self._book.accepts(reference.round, block.header.coin):
                self._forget(reference)
                fault = PeerFault("coin", "a block carries a wrong coin")
                draft.faults.append((reference.author, fault))
                continue
            self._admitted.append(self._index.add(block))
            draft.persist.append(block)
            ready.extend(waiting.block for waiting in self._suspended.resolve(reference))
