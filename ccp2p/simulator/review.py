"""The same blocks again, in other orders: whoever sees them must order them as the world did.

After a run every valid block that anybody was sent is shown to fresh observers, by orders that no
network needs to have chosen: an author late everywhere, rounds shuffled, one block at a time or
many at once. This finds what needs a rare schedule to show between nodes that run. And every
certificate in any of these blocks is compared: a slot has one block that can be certified.
"""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

from ccp2p.consensus.core import Consensus
from ccp2p.consensus.index import Index
from ccp2p.consensus.messages import BlocksReceived, Output
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.simulator.founding import START_MS, Founded

if TYPE_CHECKING:
    from ccp2p.simulator.world import View, World


def review(world: "World", random: Random, count: int) -> None:
    """Let `count` observers see all blocks, each in its own order; Violation if one differs."""
    for view in world.views:
        _review(world, view, random, count)


def _review(world: "World", view: "View", random: Random, count: int) -> None:
    held = {block.reference.digest: block for block in view.intake.blocks()}
    blocks = sorted(held.values(), key=lambda block: block.reference)
    _certificates(world, view, _causal(blocks, held))
    for _ in range(count):
        order = _causal(_shuffled(blocks, random), held)
        world.deliveries += len(blocks)
        chunk = random.choice((1, 1, 8))
        for number, digest in enumerate(_commits(world.founded, view, order, held, chunk), 1):
            world.checks.reviewed(view.committee.epoch, number, digest)


def _certificates(world: "World", view: "View", order: Iterable[VerifiedBlock]) -> None:
    """No slot has certificates for two blocks, whoever has seen them.

    A block that misnames a parent waits for what nobody made, and so does what is built on it.
    """
    committee = view.committee
    waves = world.founded.genesis.parameters.commit_waves
    index = Index(committee.size, committee.quorum, waves)
    admitted: set[BlockReference] = set()
    for block in order:
        if not admitted.issuperset(one for one in block.header.parents if one.round):
            continue
        admitted.add(block.reference)
        vertex = index.add(block)
        for wave, vector in vertex.certificates.items():
            for author, found in enumerate(vector):
                if found is not None:
                    slot = (committee.epoch, vertex.round - wave + 1, author)
                    world.checks.certified(slot, found.reference.digest)


def _shuffled(blocks: Sequence[VerifiedBlock], random: Random) -> list[VerifiedBlock]:
    """By rounds, where some authors' blocks count as several rounds later than they are."""
    authors = sorted({block.reference.author for block in blocks})
    delay = {author: random.choice((0, 0, 1, 3, 1000)) for author in authors}
    keys = [
        (block.reference.round + delay[block.reference.author], random.random()) for block in blocks
    ]
    return [block for _, block in sorted(zip(keys, blocks, strict=True), key=lambda one: one[0])]


def _causal(
    blocks: Iterable[VerifiedBlock], held: dict[bytes, VerifiedBlock]
) -> Iterator[VerifiedBlock]:
    """The same, but each block's ancestors before it; what lacks one is left out."""
    done: dict[bytes, bool] = {}
    for block in blocks:
        stack = [block]
        while stack:
            top = stack[-1]
            if top.reference.digest in done:
                stack.pop()
                continue
            parents = [one for one in top.header.parents if one.round]
            open_ones = [one for one in parents if one.digest in held and one.digest not in done]
            if open_ones:
                stack.extend(held[one.digest] for one in reversed(open_ones))
                continue
            is_whole = all(done.get(one.digest, False) for one in parents)
            done[top.reference.digest] = is_whole
            if is_whole:
                yield top


def _commits(
    founded: Founded,
    view: "View",
    order: Iterable[VerifiedBlock],
    held: dict[bytes, VerifiedBlock],
    chunk: int,
) -> Iterator[bytes]:
    """The digests of what an observer commits."""
    core = Consensus(
        network=founded.network,
        committee=view.committee,
        me=-1,
        parameters=founded.genesis.parameters,
        coin=view.secrets.coin,
        sign=founded.keys[0].sign,
        recovered=None,
        may_propose=False,
        ledger_time_ms=view.link.record.ledger_time_ms if view.committee.epoch else 0,
    )
    waiting: list[VerifiedBlock] = []
    for block in order:
        waiting.append(block)
        if len(waiting) >= chunk:
            yield from _shown(core, waiting, held)
            waiting = []
    yield from _shown(core, waiting, held)


def _shown(
    core: Consensus, blocks: Sequence[VerifiedBlock], held: dict[bytes, VerifiedBlock]
) -> Iterator[bytes]:
    """Show blocks, and answer what the observer asks for."""
    output: Output = core.handle(BlocksReceived(None, tuple(blocks)), START_MS)
    yield from (one.commit.digest for one in output.commits)
    while output.fetch:
        wanted = [one.digest for fetch in output.fetch for one in fetch.references]
        answer = tuple(held[digest] for digest in wanted if digest in held)
        output = core.handle(BlocksReceived(None, answer, solicited=True), START_MS)
        yield from (one.commit.digest for one in output.commits)
