"""Votes and certificates: what a vertex says about the slots two to four rounds below it.

A vertex supports, in a slot, the first block of it that is met when its parents are walked in
their signed order. A k-vote is a vertex k-2 rounds above a slot that supports a block of it; a
k-certificate is a vertex k-1 rounds above whose parents include Q k-votes for one block.
"""

from collections.abc import Sequence

from ccp2p.consensus.vertex import Vector, Vertex


def supports(vertex: Vertex, size: int) -> tuple[Vector, ...]:
    """What `vertex` supports in each slot of the three rounds below it (see `vertex`)."""
    below = vertex.round - 1
    direct: list[Vertex | None] = [None] * size
    for parent in vertex.parents:
        if parent.round == below:
            direct[parent.author] = parent
    return (
        tuple(direct),
        _supported(vertex.parents, below - 1, size),
        _supported(vertex.parents, below - 2, size),
    )


def _supported(parents: Sequence[Vertex], slot_round: int, size: int) -> Vector:
    found: list[Vertex | None] = []
    open_authors: Sequence[int] = range(size)
    for parent in parents:
        distance = parent.round - slot_round
        if distance < 0:
            continue
        if distance == 0:
            found = found or [None] * size
            if found[parent.author] is None:
                found[parent.author] = parent
            continue
        vector = parent.supports[distance - 1]
        if not found:  # mostly the own last block, which leaves little to ask others
            if None not in vector:
                return vector
            found = list(vector)
        else:
            for author in open_authors:
                if found[author] is None:
                    found[author] = vector[author]
        open_authors = [author for author in open_authors if found[author] is None]
        if not open_authors:
            break
    return tuple(found or [None] * size)


def voters(vertex: Vertex) -> list[Vertex]:
    """The parents whose votes count in a certificate: those of the round below, no others."""
    vote_round = vertex.round - 1
    return [parent for parent in vertex.parents if parent.round == vote_round]


def certificates(vertex: Vertex, waves: tuple[int, ...], quorum: int) -> dict[int, Vector]:
    """Per wave k, which block of each slot k-1 rounds below `vertex` it certifies.

    Empty where the round below was collected before `vertex` came.
    """
    votes = voters(vertex)
    if len(votes) < quorum:
        return {}
    return {
        wave: _certified_each([vote.supports[wave - 3] for vote in votes], quorum) for wave in waves
    }


def _certified_each(votes: list[Vector], quorum: int) -> Vector:
    """What these votes certify, slot by slot; mostly a quorum of them says the same throughout."""
    if votes.count(votes[0]) >= quorum:
        return votes[0]
    return tuple(
        column[0] if column.count(column[0]) >= quorum else certified(column, quorum)
        for column in zip(*votes, strict=True)
    )


def certified(column: Vector, quorum: int) -> Vertex | None:
    """The block that at least `quorum` of these votes, one an author, name."""
    # A block named Q times is among the first len-Q+1.
    for candidate in column[: max(0, len(column) - quorum + 1)]:
        if candidate is not None and column.count(candidate) >= quorum:
            return candidate
    return None
