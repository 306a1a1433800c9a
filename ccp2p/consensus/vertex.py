"""Vertices: blocks that the DAG admitted, with what the decision rules read off them.

`supports[d-1][author]` is what the vertex supports in the slot (round - d, author), d = 1..3.
`certificates[k][author]` is the block of the slot (round - k + 1, author) for which the vertex is a
k-certificate. Both are computed once, at admission, and hold vertices or None.
"""

from collections.abc import Mapping

from ccp2p.model.block import BlockReference, VerifiedBlock

Vector = tuple["Vertex | None", ...]


class Vertex:
    """One admitted block. Compared by identity: the index holds one vertex a block."""

    __slots__ = (
        "author",
        "block",
        "certificates",
        "is_covered",
        "is_urgent",
        "is_visited",
        "parents",
        "reference",
        "round",
        "supports",
        "timestamp_ms",
    )

    def __init__(self, block: VerifiedBlock, parents: tuple["Vertex", ...]) -> None:
        reference = block.reference
        self.reference: BlockReference = reference
        self.round: int = reference.round
        self.author: int = reference.author
        self.parents = parents
        self.block: VerifiedBlock | None = block
        self.timestamp_ms: int = block.header.timestamp_ms
        # Checkpoint votes alone do not hurry a round: commits make votes, and votes would make
        # commits, so that a large idle network would never rest.
        self.is_urgent = bool(block.payload.envelopes or block.payload.membership)
        self.is_visited = False  # part of the history of a committed leader
        self.is_covered = False  # part of the history of our own newest block
        self.supports: tuple[Vector, ...] = ()
        self.certificates: Mapping[int, Vector] = {}

    def forget(self) -> None:
        """Let go of everything that could keep older vertices in memory."""
        self.parents = ()
        self.supports = ()
        self.certificates = {}
        self.block = None
