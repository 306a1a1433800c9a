"""Hostile networks: they see every frame, and the coin before anybody should, and choose delays.

Every frame still arrives in the end; asynchrony is all they have.
"""

from random import Random

from ccp2p.consensus.coin import draw_order
from ccp2p.model.block import Block
from ccp2p.model.errors import PeerFault
from ccp2p.node.messages import Blocks, decode_message
from ccp2p.simulator.founding import Founded
from ccp2p.simulator.links import Letter


class CoinScheduler:
    """Knows each round's coin, and holds back the block of whoever comes first in its order."""

    def __init__(self, founded: Founded, random: Random) -> None:
        self._coin = founded.secrets.coin
        self._size = founded.committee.size
        self._random = random
        self._delay_us = random.choice((150_000, 400_000, 1_000_000))
        self._slots = random.choice((1, 1, 2))
        self._firsts: dict[int, tuple[int, ...]] = {}

    def __call__(self, letter: Letter) -> int:
        """See `links.Scheduler`."""
        if letter.sender in self._first(round_of(letter.frame)) and self._random.randrange(4):
            return self._delay_us
        return 0

    def _first(self, round_: int) -> tuple[int, ...]:
        if round_ not in self._firsts:
            seed = self._coin.reveal(min(max(round_, 0), self._coin.length))
            self._firsts[round_] = draw_order(seed, self._size)[: self._slots]
        return self._firsts[round_]


class TurningScheduler:
    """Slows down one node after the other, and hides some pairs of nodes from each other."""

    def __init__(self, size: int, random: Random) -> None:
        self._size = size
        self._random = random
        self._period_us = random.choice((100_000, 300_000, 1_000_000))
        self._delay_us = random.choice((100_000, 300_000, 800_000))
        self._stride = random.randrange(1, size + 1)

    def __call__(self, letter: Letter) -> int:
        """See `links.Scheduler`."""
        turn = letter.now_us // self._period_us
        is_hidden = (letter.sender * self._stride + letter.receiver + turn) % 7 == 0
        if letter.sender == turn % self._size or is_hidden:
            return self._random.randrange(self._delay_us)
        return 0


class UnfairScheduler:
    """Each node hears some others late, by habits that last a while."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._period_us = random.choice((50_000, 100_000, 200_000, 600_000, 5_000_000))
        self._delay_us = random.choice((60_000, 100_000, 200_000, 400_000))
        self._skew = random.choice((1, 2, 4, 8))
        self._habits: dict[tuple[int, int, int], int] = {}

    def __call__(self, letter: Letter) -> int:
        """See `links.Scheduler`."""
        habit = (letter.now_us // self._period_us, letter.sender, letter.receiver)
        most_us = self._habits.get(habit)
        if most_us is None:
            share = self._random.randrange(1000)
            most_us = self._delay_us * share**self._skew // 1000**self._skew
            self._habits[habit] = most_us
        return self._random.randrange(most_us // 2, most_us + 1)


def round_of(frame: bytes) -> int:
    """The round of the newest block in a frame of blocks, or 0."""
    try:
        message = decode_message(frame)
        if isinstance(message, Blocks) and message.blocks:
            return Block.parse(message.blocks[-1]).header.round
    except PeerFault:
        pass  # a traitor's garbage
    return 0
