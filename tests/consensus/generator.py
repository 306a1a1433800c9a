"""Random DAGs with equivocators and unfair delivery, and what each honest node saw when.

Honest authors follow the proposer's rules over what was delivered to them; at most f others sign
several blocks a slot and show different ones to different nodes. Everything follows from the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from ccp2p.model.block import BlockReference, VerifiedBlock
from tests.consensus.drawing import ROOT, make_block
from tests.consensus.world import COIN, ChainCoin, committee_of


@dataclass
class View:
    """What one honest node holds: blocks in the order of their admission."""

    blocks: list[VerifiedBlock] = field(default_factory=list)
    held: set[bytes] = field(default_factory=set)
    first: dict[tuple[int, int], VerifiedBlock] = field(default_factory=dict)
    newest: dict[int, VerifiedBlock] = field(default_factory=dict)
    covered: set[bytes] = field(default_factory=set)


class RandomDag:
    """`rounds` rounds of `size` authors; `faulty` of them equivocate."""

    def __init__(
        self, seed: int, size: int, rounds: int, faulty: int, coin: ChainCoin = COIN
    ) -> None:
        self.size = size
        self._quorum = committee_of(size).quorum
        self._random = random = Random(seed)
        self._coin = coin
        self._by_digest: dict[bytes, VerifiedBlock] = {}
        self._rounds: list[dict[int, list[VerifiedBlock]]] = [{}]
        self.byzantine = sorted(random.sample(range(size), faulty))
        self.honest = [author for author in range(size) if author not in self.byzantine]
        self.views = {author: View() for author in self.honest}
        self._skew = random.choice((0.0, 1.0, 2.0, 4.0, 8.0))
        self._late = random.choice((0.0, 0.0, 0.2, 0.6))
        self._whim = random.choice((0.0, 0.2, 1.0))
        self._secrecy = random.choice((0.0, 0.4, 0.7))
        self._habit = random.choice((1, 2, 3, 5, rounds))
        self._weights: list[list[float]] = []
        for round_ in range(1, rounds + 1):
            if (round_ - 1) % self._habit == 0:
                self._weights = self._draw_weights()
            self._grow(round_)

    @property
    def blocks(self) -> list[VerifiedBlock]:
        """Every block, parents first."""
        return list(self._by_digest.values())

    def find(self, reference: BlockReference) -> VerifiedBlock:
        """The block that `reference` names."""
        return self._by_digest[reference.digest]

    def deliveries(self, author: int) -> Iterator[VerifiedBlock]:
        """What an honest author saw, in order, and then the rest."""
        view = self.views[author]
        yield from view.blocks
        yield from (block for block in self.blocks if block.reference.digest not in view.held)

    def late_deliveries(self, author: int) -> Iterator[VerifiedBlock]:
        """Every block, those of `author` only when others need them, and else at the end."""
        view = View()
        for block in self.blocks:
            if block.reference.author != author:
                self._deliver(view, block)
        yield from view.blocks
        yield from (block for block in self.blocks if block.reference.digest not in view.held)

    def orders(self) -> list[list[VerifiedBlock]]:
        """Orders in which different nodes may see everything."""
        return [
            *(list(self.deliveries(author)) for author in self.honest),
            *(list(self.late_deliveries(author)) for author in range(self.size)),
        ]

    def _draw_weights(self) -> list[list[float]]:
        """How gladly each node hears each author; skew makes for lasting partitions."""
        return [
            [self._random.random() ** self._skew for _ in range(self.size)]
            for _ in range(self.size)
        ]

    def _grow(self, round_: int) -> None:
        made: dict[int, list[VerifiedBlock]] = {}
        for author in self.honest:
            made[author] = [self._honest_block(author, round_)]
        for author in self.byzantine:
            made[author] = self._byzantine_blocks(author, round_)
        self._rounds.append(made)
        for blocks in made.values():
            for block in blocks:
                self._by_digest[block.reference.digest] = block

    def _pick(self, author: int, round_: int) -> list[int]:
        """The authors whose blocks of `round_` a node hears first: a quorum or a little more."""
        weights = self._weights[author]
        others = [one for one in self._rounds[round_] if self._is_shown(one, author)]
        others.sort(key=lambda one: weights[one] * self._random.random(), reverse=True)
        extra = self._random.random() < self._late
        return others[: self._quorum - 1 + extra]

    def _is_shown(self, sender: int, receiver: int) -> bool:
        """Whether a node may hear a sender at all this time: an equivocator may keep silent."""
        if sender == receiver:
            return False
        is_secret = sender in self.byzantine and receiver in self.honest
        return not (is_secret and self._random.random() < self._secrecy)

    def _honest_block(self, author: int, round_: int) -> VerifiedBlock:
        view = self.views[author]
        if round_ > 1:
            self._deliver(view, self._rounds[round_ - 1][author][0])
            for other in self._pick(author, round_ - 1):
                self._deliver(view, self._variant(author, self._rounds[round_ - 1][other]))
            if self._random.random() < self._late:
                self._deliver(view, self._random.choice(self.blocks))
        parents = self._honest_parents(view, author, round_) if round_ > 1 else [ROOT]
        block = make_block(author, round_, parents, round_, chain=self._coin)
        if round_ > 1:
            self._cover(view, parents)
        return block

    def _variant(self, author: int, variants: list[VerifiedBlock]) -> VerifiedBlock:
        """Which block of a slot a node is shown: mostly by halves."""
        if self._random.random() < self._whim:
            return self._random.choice(variants)
        return variants[author * len(variants) // self.size]

    def _deliver(self, view: View, block: VerifiedBlock) -> None:
        reference = block.reference
        if reference.digest in view.held:
            return
        for parent in block.header.parents:
            if parent.round:
                self._deliver(view, self._by_digest[parent.digest])
        view.held.add(reference.digest)
        view.blocks.append(block)
        view.first.setdefault((reference.round, reference.author), block)
        newest = view.newest.get(reference.author)
        if newest is None or newest.reference.round < reference.round:
            view.newest[reference.author] = block

    def _honest_parents(self, view: View, author: int, round_: int) -> list[BlockReference]:
        own = self._rounds[round_ - 1][author][0].reference
        others = []
        for other in range(self.size):
            below = round_ - 1
            while below and (below, other) not in view.first:
                below -= 1
            if other == author or not below:
                continue
            reference = view.first[below, other].reference
            if reference.digest not in view.covered:
                others.append(reference)
        others.sort(key=lambda reference: (-reference.round, reference.author))
        return [own, *others]

    def _cover(self, view: View, parents: list[BlockReference]) -> None:
        open_references = list(parents)
        while open_references:
            reference = open_references.pop()
            if reference.round and reference.digest not in view.covered:
                view.covered.add(reference.digest)
                open_references.extend(self._by_digest[reference.digest].header.parents)

    def _byzantine_blocks(self, author: int, round_: int) -> list[VerifiedBlock]:
        return [
            make_block(
                author,
                round_,
                self._byzantine_parents(author, round_, variant) if round_ > 1 else [ROOT],
                variant,
                chain=self._coin,
            )
            for variant in range(self._random.choice((1, 2, 2, 2, 3)))
        ]

    def _byzantine_parents(self, author: int, round_: int, variant: int) -> list[BlockReference]:
        """Each variant goes on with a chain of its own, unless on a whim."""
        below = self._rounds[round_ - 1]
        own = below[author][min(variant, len(below[author]) - 1)]
        if self._random.random() < self._whim:
            own = self._random.choice(below[author])
        others = [self._random.choice(below[one]) for one in self._pick(author, round_ - 1)]
        return [own.reference, *(block.reference for block in others)]
