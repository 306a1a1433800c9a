"""The index of the DAG: admitted blocks by digest, round and author, above the gc round.

Adding a vertex computes its support and certificates; everything else is look-up. No rule of
admission or decision lives here, so that a native twin can take its place.
"""

from collections.abc import Callable, Sequence

from ccp2p.consensus import support
from ccp2p.consensus.vertex import Vector, Vertex
from ccp2p.model.block import VerifiedBlock


class Index:
    """Vertices above the gc round; `size` is n, `quorum` is Q."""

    def __init__(self, size: int, quorum: int, waves: tuple[int, ...]) -> None:
        self._size = size
        self._quorum = quorum
        self._waves = waves
        self._by_digest: dict[bytes, Vertex] = {}
        self.get: Callable[[bytes], Vertex | None] = self._by_digest.get
        """The vertex of a digest, if any: the dictionary's method, as all of admission asks."""
        self._by_round: dict[int, list[Vertex]] = {}
        self._chains: list[list[Vertex]] = [[] for _ in range(size)]
        self._lowest = 1
        self._lightened = 0
        self.last_rounds = [0] * size  # the highest admitted of each author, also once forgotten
        self.urgent = 0  # vertices with a payload that wants to be committed soon

    def __len__(self) -> int:
        return len(self._by_digest)

    def add(self, block: VerifiedBlock) -> Vertex:
        """Add a block whose parents are in, or at or below the gc round."""
        get = self.get
        parents = [
            known
            for parent in block.header.parents
            if (known := get(parent.digest)) is not None and known.reference == parent
        ]
        vertex = Vertex(block, tuple(parents))
        vertex.supports = self._shared(vertex.round, support.supports(vertex, self._size))
        vertex.certificates = support.certificates(vertex, self._waves, self._quorum)
        self._by_digest[vertex.reference.digest] = vertex
        self._by_round.setdefault(vertex.round, []).append(vertex)
        self._extend_chain(vertex)
        self.last_rounds[vertex.author] = max(self.last_rounds[vertex.author], vertex.round)
        self.urgent += vertex.is_urgent
        return vertex

    def _shared(self, round: int, supports: tuple[Vector, ...]) -> tuple[Vector, ...]:
        """The same vectors, each the very object that the round's last vertex has if that is equal.

        Most are: n nodes would hold n copies of each, which are most of a large committee's DAG.
        """
        neighbours = self.at(round)
        if not neighbours:
            return supports
        return tuple(
            theirs if theirs == ours else ours
            for theirs, ours in zip(neighbours[-1].supports, supports, strict=True)
        )

    def _extend_chain(self, vertex: Vertex) -> None:
        """Keep the first vertex of each slot, by author, in order of rounds."""
        chain = self._chains[vertex.author]
        at = len(chain)
        while at and chain[at - 1].round > vertex.round:
            at -= 1
        if not at or chain[at - 1].round < vertex.round:
            chain.insert(at, vertex)

    def at(self, round: int) -> Sequence[Vertex]:
        """The vertices of a round, in order of admission."""
        return self._by_round.get(round, ())

    def slot(self, round: int, author: int) -> list[Vertex]:
        """The known vertices of a slot: more than one when its author equivocated."""
        return [vertex for vertex in self.at(round) if vertex.author == author]

    def newest(self, author: int, below: int | None = None) -> Vertex | None:
        """An author's first-seen vertex of the highest round (below `below`)."""
        for vertex in reversed(self._chains[author]):
            if below is None or vertex.round < below:
                return vertex
        return None

    def visit_history(self, leader: Vertex, floor: int) -> list[Vertex]:
        """`leader` and its ancestors above round `floor` that were not visited; they are now."""
        leader.is_visited = True
        found = [leader]
        for vertex in found:
            for parent in vertex.parents:
                if not parent.is_visited and parent.round > floor:
                    parent.is_visited = True
                    found.append(parent)
        self.urgent -= sum(vertex.is_urgent for vertex in found)
        return found

    def cover_history(self, own: Vertex) -> None:
        """Mark `own` and its ancestors as part of our own newest block's history."""
        own.is_covered = True
        open_vertices = [own]
        for vertex in open_vertices:
            for parent in vertex.parents:
                if not parent.is_covered:
                    parent.is_covered = True
                    open_vertices.append(parent)

    def lighten(self, below: int, visited: Sequence[Vertex]) -> None:
        """Let go of the payloads of committed vertices under round `below`.

        `visited` are the newest of these; payloads are by far the most of the DAG's memory.
        """
        for round_ in range(max(self._lightened, self._lowest), below):
            for vertex in self.at(round_):
                if vertex.is_visited:
                    vertex.block = None
        self._lightened = max(self._lightened, below)
        for vertex in visited:
            if vertex.round < self._lightened:
                vertex.block = None

    def collect(self, gc_round: int) -> None:
        """Forget every vertex at or below `gc_round`."""
        if not self._by_digest:
            self._lowest = gc_round + 1
        for round_ in range(self._lowest, gc_round + 1):
            for vertex in self._by_round.pop(round_, ()):
                del self._by_digest[vertex.reference.digest]
                self.urgent -= vertex.is_urgent and not vertex.is_visited
                vertex.forget()
        self._lowest = max(self._lowest, gc_round + 1)
        for chain in self._chains:
            kept = 0
            while kept < len(chain) and chain[kept].round <= gc_round:
                kept += 1
            del chain[:kept]


class History:
    """The ancestors of one vertex, itself included, round by round downwards, walked lazily."""

    def __init__(self, anchor: Vertex) -> None:
        self._levels: dict[int, dict[Vertex, None]] = {anchor.round: {anchor: None}}
        self._expanded = anchor.round + 1

    def at(self, round: int) -> Sequence[Vertex]:
        """The ancestors of a round; never empty-handed because of an earlier question."""
        while self._expanded > round + 1:
            self._expanded -= 1
            for vertex in self._levels.get(self._expanded, ()):
                for parent in vertex.parents:
                    self._levels.setdefault(parent.round, {})[parent] = None
        return tuple(self._levels.get(round, ()))
