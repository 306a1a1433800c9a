"""An experiment: slots only for the Q authors that recent leaders heard best.

Every slot is decided by the rules as they are, and all of them may be anchors; what changes is
which of the committed slots lead. The choice for a round follows from the leaders before it, which
all nodes agree on, so the order stays one. Restarts are not provided for: this is for study.py.
"""

from collections import deque
from typing import Any

from ccp2p.consensus.decide import Decider, Slot
from ccp2p.consensus.vertex import Vertex

ROUNDS = 3  # as many full rounds of leaders are looked at


class RecentDecider(Decider):
    """A decider whose slots are those of the best heard authors."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._heard: deque[set[int]] = deque(maxlen=ROUNDS * self._quorum)
        self._chosen: dict[int, tuple[int, ...]] = {}

    def next_leaders(self) -> list[Vertex]:
        """See `Decider`."""
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
                below = (one for one in leader.parents if one.round == leader.round - 1)
                self._heard.append({one.author for one in below})
            self._position += 1
        return leaders

    def _head(self) -> Slot | None:
        order = self._slots_of(self._round)
        if order is not None and self._position >= len(order):
            for author in range(self._size):
                self._decided.pop(Slot(self._round, author), None)
            self._chosen.pop(self._round, None)
            self._round += 1
            self._position = 0
            order = self._slots_of(self._round)
        return None if order is None else Slot(self._round, order[self._position])

    def _slots_of(self, round_: int) -> tuple[int, ...] | None:
        """Fixed when the round becomes the first that is open: all leaders before it are known."""
        if round_ in self._chosen:
            return self._chosen[round_]
        order = self._book.order(round_)
        if order is None:
            return None
        scores = [sum(author in heard for heard in self._heard) for author in range(self._size)]
        best = sorted(order, key=lambda author: -scores[author])[: self._quorum]
        chosen = tuple(author for author in order if author in best)
        self._chosen[round_] = chosen if self._heard else order
        return self._chosen[round_]
