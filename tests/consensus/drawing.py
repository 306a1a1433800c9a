"""Drawings of DAGs: `draw("ABCD1:[root] ABCD2:[ABC1] A2':[BCD1]", size=4)`.

A letter is an author, a number a round, and primes tell the blocks of one slot apart. A group of
letters stands for as many blocks. An author's own newest block (or the root) is parent 0: where it
is not among the parents named, it is put there.
"""

import re
from collections.abc import Iterable

from ccp2p.consensus.coin import carried_round, draw_order
from ccp2p.consensus.index import Index
from ccp2p.consensus.messages import BlocksReceived, CommittedBlocks, Output
from ccp2p.consensus.vertex import Vertex
from ccp2p.model import block as blocks
from ccp2p.model.block import BlockHeader, BlockReference, Payload, VerifiedBlock
from ccp2p.model.codec import encode
from ccp2p.model.genesis import Parameters
from tests.consensus.world import (
    COIN,
    NETWORK,
    START_MS,
    ChainCoin,
    committee_of,
    consensus_of,
    fake_sign,
)

ROOT = blocks.epoch_root(NETWORK, 0)
EMPTY = Payload()
_ENTRY = re.compile(r"([A-Z]+)(\d+)('*)(?::\[([^\]]*)\])")
_NAME = re.compile(r"([A-Z]+)(\d+)('*)")


def make_block(
    author: int,
    round_: int,
    parents: Iterable[BlockReference],
    /,
    time_ms: int = 0,
    content: Payload = EMPTY,
    chain: ChainCoin = COIN,
    delay: int = 3,
    **changes: object,
) -> VerifiedBlock:
    """A block with the right coin; `changes` replace fields of its header."""
    payload_bytes = encode(content)
    coin_round = carried_round(round_, delay, chain.length)
    fields: dict = {
        "network": NETWORK,
        "epoch": 0,
        "round": round_,
        "author": author,
        "parents": tuple(parents),
        "payload": blocks.payload_digest(payload_bytes),
        "coin": chain.reveal(coin_round) if coin_round else b"",
        "timestamp_ms": time_ms,
    }
    header = BlockHeader(**(fields | changes))
    return blocks.build(header, content, payload_bytes, fake_sign(header.payload))


class Drawing:
    """Named blocks, in the order drawn."""

    def __init__(self, size: int, coin: ChainCoin = COIN) -> None:
        self.size = size
        self.coin = coin
        self.blocks: dict[str, VerifiedBlock] = {}
        self._names: dict[bytes, str] = {}
        self._newest: dict[str, BlockReference] = {}

    def draw(self, text: str, payload: Payload = EMPTY) -> list[VerifiedBlock]:
        """Add the blocks that `text` draws; they are returned."""
        assert not _ENTRY.sub("", text).split(), f"not understood: {_ENTRY.sub('', text)}"
        drawn = [
            self._add(letter, int(number), primes, parents, payload)
            for letters, number, primes, parents in _ENTRY.findall(text)
            for letter in letters
        ]
        for block in drawn:
            self._newest[chr(65 + block.reference.author)] = block.reference
        return drawn

    def full_rounds(self, first: int, last: int, letters: str) -> list[VerifiedBlock]:
        """Rounds in which each of `letters` names all of `letters`."""
        return [
            block
            for round_ in range(first, last + 1)
            for block in self.draw(
                f"{letters}{round_}:[{f'{letters}{round_ - 1}' if round_ > 1 else 'root'}]"
            )
        ]

    def __getitem__(self, name: str) -> VerifiedBlock:
        return self.blocks[name]

    def adopt(self, block: VerifiedBlock) -> None:
        """Name a block that a node under test made."""
        reference = block.reference
        letter = chr(65 + reference.author)
        name = f"{letter}{reference.round}"
        if reference.digest not in self._names:
            while name in self.blocks:
                name += "'"
            self.blocks[name] = block
            self._names[reference.digest] = name
            self._newest[letter] = reference

    def name(self, reference: BlockReference) -> str:
        return self._names[reference.digest]

    def names(self, references: Iterable[BlockReference]) -> str:
        return " ".join(map(self.name, references))

    def index(self, waves: tuple[int, ...] = (4, 5), only: str | None = None) -> Index:
        """An index that holds the drawing, or the blocks named in `only`."""
        index = Index(self.size, committee_of(self.size).quorum, waves)
        chosen = self.expand(only) if only is not None else list(self.blocks)
        for name, block in self.blocks.items():
            if name in chosen:
                index.add(block)
        return index

    def vertex(self, index: Index, name: str) -> Vertex:
        vertex = index.get(self.blocks[name].reference.digest)
        assert vertex is not None, f"{name} is not in the index"
        return vertex

    @staticmethod
    def expand(text: str) -> list[str]:
        """`AB1 C2'` is A1, B1 and C2'."""
        return [
            f"{letter}{number}{primes}"
            for letters, number, primes in _NAME.findall(text)
            for letter in letters
        ]

    def _add(
        self, letter: str, round_: int, primes: str, parents: str, payload: Payload
    ) -> VerifiedBlock:
        named = [self.blocks[name].reference for name in self.expand(parents)]
        author = ord(letter) - 65
        own = [reference for reference in named if reference.author == author]
        others = [reference for reference in named if reference.author != author]
        first = own[0] if own else self._newest.get(letter, ROOT)
        if round_ == 1:
            first, others = ROOT, []
        block = make_block(author, round_, (first, *others), len(primes), payload, self.coin)
        name = f"{letter}{round_}{primes}"
        assert name not in self.blocks, f"{name} is drawn twice"
        self.blocks[name] = block
        self._names[block.reference.digest] = name
        return block


def draw(text: str, size: int = 4) -> Drawing:
    drawing = Drawing(size)
    drawing.draw(text)
    return drawing


def draw_stale_name() -> Drawing:
    """D25 has the digest of D23, which D withheld, as that of its own block of round 2.

    Rounds up to 24 are full but for D, silent since round 2.
    """
    drawing = draw("ABCD1:[root] ABCD2:[ABCD1]")
    drawing.full_rounds(3, 24, "ABC")
    drawing.draw("D23:[D2 ABC22]")
    stale = BlockReference(2, 3, drawing["D23"].reference.digest)
    drawing.adopt(make_block(3, 25, [stale, *(drawing[f"{one}24"].reference for one in "ABC")]))
    return drawing


class Observer:
    """A `Consensus` without a seat that is shown drawn blocks, and what it committed."""

    def __init__(self, drawing: Drawing, parameters: Parameters | None = None) -> None:
        self.drawing = drawing
        self.core = consensus_of(drawing.size, -1, parameters, may_propose=False, coin=drawing.coin)
        self.committed: list[CommittedBlocks] = []
        self.now_ms = START_MS

    def see(self, text: str, sender: int | None = None, solicited: bool = False) -> Output:
        """Show the blocks that `text` names, in one input."""
        blocks = tuple(self.drawing[name] for name in Drawing.expand(text))
        return self.receive(blocks, sender, solicited)

    def see_all(self, but: str = "") -> None:
        """Show the whole drawing, one block at a time, except the blocks that `but` names."""
        hidden = Drawing.expand(but)
        for name, block in self.drawing.blocks.items():
            if name not in hidden:
                self.receive((block,))

    def receive(
        self, blocks: tuple[VerifiedBlock, ...], sender: int | None = None, solicited: bool = False
    ) -> Output:
        output = self.core.handle(BlocksReceived(sender, blocks, solicited), self.now_ms)
        self.committed.extend(output.commits)
        return output

    @property
    def leaders(self) -> list[str]:
        return [self.drawing.name(one.commit.leader) for one in self.committed]

    @property
    def sequence(self) -> list[str]:
        """All committed blocks, in order."""
        return [self.drawing.names(one.commit.blocks) for one in self.committed]


def in_order(*names: str, round_: int = 1, size: int = 4) -> ChainCoin:
    """A coin under which the slots of `round_` come in this order of letters."""
    wanted = tuple(ord(name) - 65 for name in names)
    for secret in range(1000):
        coin = ChainCoin(64, secret.to_bytes(2, "big"))
        if draw_order(coin.reveal(round_), size)[: len(wanted)] == wanted:
            return coin
    raise AssertionError("no such coin found")
