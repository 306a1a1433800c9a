"""Votes and certificates: what a vertex says about the slots two to four rounds below it.

A vertex supports, in a slot, the first block of it that is met when its parents are walked in
their signed order. A k-vote is a vertex k-2 rounds above a slot that supports a block of it; a
k-certificate is a vertex k-1 rounds above whose parents include Q k-votes for one block.
"""

from collections.abc import Sequence

from ccp2p.consensus.vertex import Vector, Vertex

SUPPORT_ROUNDS = 3  # the vote round of the longest wave, k = 5, is three above its slot


def supports(vertex: Vertex, size: int) -> tuple[Vector, ...]:
    """What `vertex` supports in each slot of the three rounds below it (see `vertex`)."""
    return tuple(
        _supported(vertex.parents, vertex.round - distance, size)
        for distance in range(1, SUPPORT_ROUNDS + 1)
    )


def _supported(parents: Sequence[Vertex], slot_round: int, size: int) -> Vector:
    found: list[Vertex | None] = [None] * size
    open_authors: Sequence[int] = range(size)
    for parent in parents:
        distance = parent.round - slot_round
        if distance < 0:
            continue
        if distance == 0:
            if found[parent.author] is None:
                found[parent.author] = parent
            continue
        vector = parent.supports[distance - 1]
        for author in open_authors:
            if found[author] is None:
                found[author] = vector[author]
        open_authors = [author for author in open_authors if found[author] is None]
        if not open_authors:
            break
    return tuple(found)


def voters(vertex: Vertex) -> list[Vertex]:
    """The parents whose votes count in a certificate: those of the round below, no others."""
    vote_round = vertex.round - 1
    return [parent for parent in vertex.parents if parent.round == vote_round]


def certificates(vertex: Vertex, waves: tuple[int, ...], quorum: int) -> dict[int, Vector]:
    """Per wave k, which block of each slot k-1 rounds below `vertex` it certifies.

    Empty where the round below was collected before `vertex` came.
    """
    votes = voters(vertex)
    return {
        wave: tuple(
            certified(column, quorum)
            for column in zip(*(vote.supports[wave - 3] for vote in votes), strict=True)
        )
        for wave in waves
        if len(votes) >= quorum
    }


def certified(column: Vector, quorum: int) -> Vertex | None:
    """The block that at least `quorum` of these votes, one an author, name."""
    # A block named Q times is among the first len-Q+1.
    for candidate in column[: max(0, len(column) - quorum + 1)]:
        if candidate is not None and column.count(candidate) >= quorum:
            return candidate
    return None
