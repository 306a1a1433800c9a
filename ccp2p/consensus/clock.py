"""The threshold clock: which round comes next.

The clock stands at round r once Q distinct authors have blocks of round r-1. A block has Q parents
in the round before, so an admitted block moves the clock to its own round at least.
"""


class ThresholdClock:
    """`round` is the round for which a node may propose."""

    def __init__(self, quorum: int) -> None:
        self._quorum = quorum
        self._authors: set[int] = set()
        self.round = 1

    def accept(self, round: int, author: int) -> int | None:
        """Count an admitted block; the round that now has its quorum, if this completes one."""
        if round > self.round:
            self.round = round
            self._authors = set()
        if round == self.round:
            self._authors.add(author)
            if len(self._authors) >= self._quorum:
                self.round += 1
                self._authors = set()
                return round
        return None
