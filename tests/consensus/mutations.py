"""Wrong rules, each known to let two honest nodes decide differently; the tests must catch them."""

from collections.abc import Callable, Sequence

import pytest

from ccp2p.consensus import decide, support
from ccp2p.consensus.index import History, Index
from ccp2p.consensus.vertex import Vector, Vertex

Mutation = tuple[object, str, object]  # what to patch: owner, attribute, replacement


def apply(mutation: Callable[[], list[Mutation]], patcher: pytest.MonkeyPatch) -> None:
    """Put a wrong rule in place of the right one."""
    for owner, attribute, replacement in mutation():
        patcher.setattr(owner, attribute, replacement)


def skip_any_block() -> list[Mutation]:
    """Skip when any one block of the slot is refused, instead of every one."""

    def skipped(index: Index, slot: decide.Slot, quorum: int) -> bool:
        candidates: Sequence[Vertex | None] = index.slot(*slot) or (None,)
        return any(
            decide.are_quorum(decide.refusers(index, slot, block, 5), quorum)
            for block in candidates
        )

    return [(decide, "skipped", skipped)]


def skip_early() -> list[Mutation]:
    """Skip at the wave of 4 too."""
    honest = decide.skipped

    def skipped(index: Index, slot: decide.Slot, quorum: int) -> bool:
        candidates: Sequence[Vertex | None] = index.slot(*slot) or (None,)
        is_early = all(
            decide.are_quorum(decide.refusers(index, slot, block, 4), quorum)
            for block in candidates
        )
        return is_early or honest(index, slot, quorum)

    return [(decide, "skipped", skipped)]


def own_block_last() -> list[Mutation]:
    """Walk the own last block after the others."""
    honest: Callable[[Vertex, int], tuple[Vector, ...]] = support.supports

    def supports(vertex: Vertex, size: int) -> tuple[Vector, ...]:
        parents = vertex.parents
        vertex.parents = parents[1:] + parents[:1]
        try:
            return honest(vertex, size)
        finally:
            vertex.parents = parents

    return [(support, "supports", supports)]


def commit_on_votes() -> list[Mutation]:
    """Commit on a quorum of votes, without certificates."""

    def committed(index: Index, slot: decide.Slot, wave: int, quorum: int) -> Vertex | None:
        votes: dict[Vertex, list[Vertex]] = {}
        for vertex in index.at(slot.round + wave - 2):
            block = vertex.supports[wave - 3][slot.author]
            if block is not None:
                votes.setdefault(block, []).append(vertex)
        for block, vertices in votes.items():
            if decide.are_quorum(vertices, quorum):
                return block
        return None

    return [(decide, "committed", committed)]


def small_quorum() -> list[Mutation]:
    """A quorum of one less, in commits and skips."""

    def are_quorum(vertices: Sequence[Vertex], quorum: int) -> bool:
        return len({vertex.author for vertex in vertices}) >= quorum - 1

    return [(decide, "are_quorum", are_quorum)]


def small_certificate() -> list[Mutation]:
    """Certificates of one vote less."""
    honest = support.certified

    def certified(column: Vector, quorum: int) -> Vertex | None:
        return honest(column, quorum - 1)

    return [(support, "certified", certified)]


def indirect_late_only() -> list[Mutation]:
    """The indirect rule sees certificates of the longest wave only."""
    honest = decide.certified_in

    def certified_in(history: History, slot: decide.Slot, waves: tuple[int, ...]) -> Vertex | None:
        return honest(history, slot, waves[-1:])

    return [(decide, "certified_in", certified_in)]


def near_anchor() -> list[Mutation]:
    """Anchors three rounds above their slots."""
    return [(decide, "ANCHOR_ROUNDS", 3)]


ALL = {
    mutation.__name__: mutation
    for mutation in (
        skip_any_block,
        skip_early,
        own_block_last,
        commit_on_votes,
        small_quorum,
        small_certificate,
        indirect_late_only,
        near_anchor,
    )
}
