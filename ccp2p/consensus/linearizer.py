"""The linearizer: each committed leader brings its new history, in one order everywhere.

A commit holds the leader's ancestors above the gc round that no earlier commit visited, sorted by
round and then by a hash keyed from the leader round's coin, so that nobody can choose a place.
Of two blocks of one slot only the first in this order is ever included. The gc round follows from
the last commit alone.
"""

from collections.abc import Sequence

from ccp2p.consensus.coin import CoinBook
from ccp2p.consensus.index import Index
from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.consensus.vertex import Vertex
from ccp2p.model import hashing, limits
from ccp2p.model.block import VerifiedBlock
from ccp2p.model.commit import Commit
from ccp2p.model.errors import LocalFault


class Linearizer:
    """Turns leaders into the commits of one epoch. Depth in rounds, time in milliseconds."""

    def __init__(
        self, epoch: int, gc_depth: int, index: Index, book: CoinBook, time_ms: int = 0
    ) -> None:
        """`time_ms` is the ledger time with which the epoch begins."""
        self._epoch = epoch
        self._gc_depth = gc_depth
        self._index = index
        self._book = book
        self._taken: dict[int, set[int]] = {}
        self._swept = 0
        self._time_ms = time_ms
        self.last: Commit | None = None

    @property
    def gc_round(self) -> int:
        """Blocks at or below this round never enter a later commit."""
        return max(0, self.last.leader.round - self._gc_depth) if self.last else 0

    @property
    def ledger_time_ms(self) -> int:
        """The ledger time of the last commit, or with which the epoch began."""
        return self.last.ledger_time_ms if self.last else self._time_ms

    def resume(self, commits: Sequence[Commit]) -> None:
        """Continue after `commits`, the newest last; LocalFault when they reach not far enough."""
        self.last = commits[-1]
        floor = self.gc_round
        self._swept = floor + 1
        if commits[0].index > 1 and commits[0].leader.round > floor:
            raise LocalFault("recovered-commits", "the retained commits end above the gc round")
        if self._index.get(self.last.leader.digest) is None:
            raise LocalFault("recovered-commits", "the last commit's leader is not in our log")
        for commit in commits:
            leader = self._index.get(commit.leader.digest)
            if leader is not None and not leader.is_visited:
                self._index.visit_history(leader, floor)
            for reference in commit.blocks:
                if reference.round > floor:
                    self._taken.setdefault(reference.round, set()).add(reference.author)

    def commit(self, leader: Vertex) -> CommittedBlocks:
        """The next commit: `leader` with its new history."""
        vertices = self._order(leader, self._index.visit_history(leader, self.gc_round))
        blocks = tuple(block for vertex in vertices if (block := self._take(vertex)) is not None)
        commit = Commit(
            epoch=self._epoch,
            index=self.last.index + 1 if self.last else 1,
            leader=leader.reference,
            blocks=tuple(block.reference for block in blocks),
            ledger_time_ms=max(self.ledger_time_ms, median_time(leader)),
            previous=self.last.digest if self.last else hashing.ZERO_DIGEST,
        )
        self.last = commit
        self._sweep()
        self._index.lighten(leader.round - limits.PUSH_ROUNDS, vertices)
        return CommittedBlocks(commit, blocks)

    def _order(self, leader: Vertex, vertices: list[Vertex]) -> list[Vertex]:
        if len(vertices) == 1:
            return vertices
        seed = self._book.seed(leader.round) or b""  # an ordered leader's seed is known
        digest = hashing.keyed
        keyed = [
            (vertex.round, digest(hashing.LINEAR_ORDER, seed, vertex.reference.digest), vertex)
            for vertex in vertices
        ]
        keyed.sort(key=lambda item: item[:2])
        return [vertex for _, _, vertex in keyed]

    def _take(self, vertex: Vertex) -> VerifiedBlock | None:
        """The block of `vertex`, unless its slot has given one already."""
        authors = self._taken.setdefault(vertex.round, set())
        if vertex.author in authors:
            return None
        authors.add(vertex.author)
        return vertex.block

    def _sweep(self) -> None:
        for round_ in range(self._swept, self.gc_round + 1):
            self._taken.pop(round_, None)
        self._swept = max(self._swept, self.gc_round + 1)


def median_time(leader: Vertex) -> int:
    """The lower median of the timestamps of the parents one round below; 0 for round 1."""
    times = sorted(
        parent.timestamp_ms for parent in leader.parents if parent.round == leader.round - 1
    )
    return times[(len(times) - 1) // 2] if times else 0
