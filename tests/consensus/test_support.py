"""Support and certificates as the index computes them, beside their definitions word by word."""

from collections import Counter

import pytest

from ccp2p.consensus.decide import Slot
from ccp2p.consensus.index import Index
from ccp2p.consensus.vertex import Vertex
from tests.consensus.drawing import Drawing
from tests.consensus.generator import RandomDag
from tests.consensus.world import committee_of


def met_first(vertex: Vertex, slot: Slot) -> Vertex | None:
    """The first block of `slot` met when parents are walked in their signed order."""
    for parent in vertex.parents:
        found: Vertex | None = None
        if (parent.round, parent.author) == slot:
            found = parent
        elif parent.round > slot.round:
            found = met_first(parent, slot)
        if found is not None:
            return found
    return None


def certified(vertex: Vertex, slot: Slot, quorum: int) -> Vertex | None:
    """The block of `slot` that Q parents one round below support, if there is one."""
    votes = [met_first(one, slot) for one in vertex.parents if one.round == vertex.round - 1]
    named = Counter(vote for vote in votes if vote is not None)
    return next((block for block, count in named.items() if count >= quorum), None)


@pytest.mark.parametrize(("size", "faulty", "seeds"), [(4, 1, 40), (7, 2, 8), (3, 0, 5), (1, 0, 1)])
def test_vectors_are_what_the_definitions_say(size: int, faulty: int, seeds: int) -> None:
    quorum = committee_of(size).quorum
    compared = 0
    for seed in range(seeds):
        dag = RandomDag(seed, size, 8, faulty)
        index = Index(size, quorum, (4, 5))
        for vertex in [index.add(block) for block in dag.blocks]:
            for author in range(size):
                for distance, vector in enumerate(vertex.supports, 1):
                    slot = Slot(vertex.round - distance, author)
                    assert vector[author] is met_first(vertex, slot), f"seed {seed}"
                for wave, vector in vertex.certificates.items():
                    slot = Slot(vertex.round - wave + 1, author)
                    assert vector[author] is certified(vertex, slot, quorum), f"seed {seed}"
                    compared += vector[author] is not None
    assert compared > 4


def test_vertices_that_support_the_same_share_one_vector() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 5, "ABCD")
    index = drawing.index()
    one, two = drawing.vertex(index, "A5"), drawing.vertex(index, "D5")
    assert all(mine is theirs for mine, theirs in zip(one.supports, two.supports, strict=True))
    assert one.certificates[4] is two.certificates[4] is one.supports[2]
