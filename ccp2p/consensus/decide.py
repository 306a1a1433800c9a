"""Decisions: which block of each slot is committed, or that none is (a skip).

Direct rules look at the blocks three and four rounds above a slot; the indirect rule looks at the
history of the first committed leader five rounds or more above it. A decision is final. Slots come
out in order and stop at the first undecided one. Skips are decided in the last wave only, and for
the slot as a whole: both are what keeps two nodes from deciding differently.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ccp2p.consensus.coin import CoinBook
from ccp2p.consensus.index import History, Index
from ccp2p.consensus.vertex import Vertex
from ccp2p.model.committee import Committee

SKIP_WAVE = 5  # skipping in the wave of 4 would contradict its own certificates
ANCHOR_ROUNDS = 5  # an anchor this far above holds Q blocks of every wave's certificate round


class Slot(NamedTuple):
    """A place for one block in the order of leaders."""

    round: int
    author: int


def are_quorum(vertices: Iterable[Vertex], quorum: int) -> bool:
    """Whether the authors of `vertices` are a quorum; an equivocator counts once."""
    return len({vertex.author for vertex in vertices}) >= quorum


def committed(index: Index, slot: Slot, wave: int, quorum: int) -> Vertex | None:
    """The block of `slot` for which Q authors have certificates of `wave`."""
    certifiers: dict[Vertex, list[Vertex]] = {}
    witnesses = index.at(slot.round + wave - 1)
    if len(witnesses) < quorum:
        return None
    for vertex in witnesses:
        vector = vertex.certificates.get(wave)
        block = vector[slot.author] if vector else None
        if block is not None:
            certifiers.setdefault(block, []).append(vertex)
    for block, vertices in certifiers.items():
        if len(vertices) >= quorum and are_quorum(vertices, quorum):
            return block
    return None


def refusers(index: Index, slot: Slot, block: Vertex | None, wave: int) -> list[Vertex]:
    """The vertices of `wave`'s vote round that do not vote for `block` (None: all of them)."""
    distance = wave - 2
    return [
        vertex
        for vertex in index.at(slot.round + distance)
        if block is None or vertex.supports[distance - 1][slot.author] is not block
    ]


def skipped(index: Index, slot: Slot, quorum: int) -> bool:
    """Whether, for every known block of `slot` and for none, Q authors do not vote for it."""
    candidates: Sequence[Vertex | None] = index.slot(*slot) or (None,)
    return all(are_quorum(refusers(index, slot, block, SKIP_WAVE), quorum) for block in candidates)


def certified_in(history: History, slot: Slot, waves: tuple[int, ...]) -> Vertex | None:
    """The block of `slot` for which `history` holds a certificate of any wave."""
    for wave in waves:
        for vertex in history.at(slot.round + wave - 1):
            vector = vertex.certificates.get(wave)
            block = vector[slot.author] if vector else None
            if block is not None:
                return block
    return None


class Decider:
    """Memoised decisions from a head slot on.

    `observe` each admitted vertex; `next_leaders` then gives the blocks that became committed, in
    order. `after` is the last committed leader's slot of an earlier run.
    """

    def __init__(
        self,
        index: Index,
        book: CoinBook,
        committee: Committee,
        waves: tuple[int, ...],
        after: Slot | None = None,
    ) -> None:
        self._index = index
        self._book = book
        self._size = committee.size
        self._quorum = committee.quorum
        self._waves = waves
        self._decided: dict[Slot, Vertex | None] = {}
        self._touched: dict[int, None] = {}
        self._highest_commit = 0
        self._direct_decisions = 0
        self._scanned = (0, 0)
        self._round = after.round if after else 1
        self._after = after
        self._position = 0

    def observe(self, vertex: Vertex) -> None:
        """Note that `vertex` was admitted."""
        self._touched[vertex.round] = None

    def next_leaders(self) -> list[Vertex]:
        """The leaders that are now decided to be committed, in order, each once."""
        self._decide_directly()
        leaders: list[Vertex] = []
        is_scanned = False
        while (slot := self._head()) is not None:
            if slot not in self._decided and not is_scanned:
                self._decide_indirectly()
                is_scanned = True
            if slot not in self._decided:
                break
            leader = self._decided[slot]
            if leader is not None:
                leaders.append(leader)
            self._position += 1
        return leaders

    def _head(self) -> Slot | None:
        """The first slot not yet given out; None while its round's order is unknown."""
        order = self._book.order(self._round)
        if order is not None and self._after is not None:
            self._position = order.index(self._after.author) + 1
            self._after = None
        if order is not None and self._position >= len(order):
            for author in range(self._size):
                self._decided.pop(Slot(self._round, author), None)
            self._round += 1
            self._position = 0
            order = self._book.order(self._round)
        return None if order is None else Slot(self._round, order[self._position])

    def _decide_directly(self) -> None:
        """Look again at the slots whose vote or certificate round gained a vertex."""
        rounds: dict[int, None] = {}
        for touched in sorted(self._touched):
            if are_quorum(self._index.at(touched), self._quorum):
                rounds[touched - 4] = rounds[touched - 3] = None
        self._touched.clear()
        for round_ in rounds:
            if round_ >= self._round:
                self._decide_round(round_)

    def _decide_round(self, round_: int) -> None:
        for author in range(self._size):
            if (round_, author) in self._decided:
                continue
            slot = Slot(round_, author)
            block = self._committed(slot)
            if block is not None:
                self._highest_commit = max(self._highest_commit, round_)
            elif not skipped(self._index, slot, self._quorum):
                continue
            self._decided[slot] = block
            self._direct_decisions += 1

    def _committed(self, slot: Slot) -> Vertex | None:
        for wave in self._waves:
            block = committed(self._index, slot, wave, self._quorum)
            if block is not None:
                return block
        return None

    def _decide_indirectly(self) -> None:
        """Decide what the anchors permit, from the highest committed round downwards."""
        known = (self._direct_decisions, self._book.newest)
        if known == self._scanned or self._highest_commit < self._round + ANCHOR_ROUNDS:
            return
        self._scanned = known
        anchors: dict[int, Vertex | None] = {}
        histories: dict[Vertex, History] = {}
        for round_ in range(self._highest_commit, self._round - 1, -1):
            anchor = anchors.get(round_ + ANCHOR_ROUNDS)
            if anchor is not None:
                history = histories.setdefault(anchor, History(anchor))
                self._decide_by(history, round_)
            anchors[round_] = self._first_not_skipped(round_, anchors.get(round_ + 1))

    def _decide_by(self, history: History, round_: int) -> None:
        for author in range(self._size):
            if (round_, author) not in self._decided:
                slot = Slot(round_, author)
                self._decided[slot] = certified_in(history, slot, self._waves)

    def _first_not_skipped(self, round_: int, above: Vertex | None) -> Vertex | None:
        """The first committed block from `round_` on, `above` being that of the next round.

        None when an undecided slot comes before it.
        """
        order = self._book.order(round_)
        if order is None:
            return None
        for author in order:
            slot = Slot(round_, author)
            if slot not in self._decided:
                return None
            block = self._decided[slot]
            if block is not None:
                return block
        return above
