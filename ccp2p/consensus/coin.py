"""The coin's book: which values are known, how one is checked, and what is drawn from them.

The coin is a hash chain, `c_(r-1) = H(c_r)`, whose anchor `c_0` everybody knows. A block of round r
carries `c_(r-1-delay)`, so each value is checked by one hash against the one before it. Nodes that
use different values diverge: nothing enters the book unchecked.
"""

from typing import Protocol

from ccp2p.model import hashing
from ccp2p.model.errors import LocalFault

COLLECT_ROUNDS = 16  # forgetting is done in strides of this


class Coin(Protocol):
    """The secret side of the chain, kept by sealing. `length` is T and `anchor` is c_0."""

    @property
    def length(self) -> int:
        """T: the last round that has a value."""

    @property
    def anchor(self) -> bytes:
        """c_0."""

    def reveal(self, round: int) -> bytes:
        """c_round; called only once Q valid blocks of `round` + coin_delay are held."""


def carried_round(block_round: int, delay: int, length: int) -> int:
    """Of which round a block of `block_round` carries the coin; 0 when it carries none."""
    coin_round = block_round - 1 - delay
    return coin_round if 1 <= coin_round <= length else 0


class CoinBook:
    """Known coin values, and the order of slots drawn from them."""

    def __init__(self, coin: Coin, delay: int, size: int, slots: int) -> None:
        self._coin = coin
        self._delay = delay
        self._size = size
        self._slots = slots
        self._known: dict[int, bytes] = {0: coin.anchor}
        self._orders: dict[int, tuple[int, ...]] = {}
        self._floor = 0
        self.newest = 0  # the highest round whose value is known

    def accepts(self, block_round: int, value: bytes) -> bool:
        """Whether `value` is what a block of `block_round` carries; a right one is learned."""
        coin_round = carried_round(block_round, self._delay, self._coin.length)
        return value == b"" if coin_round == 0 else self._check(coin_round, value)

    def _check(self, coin_round: int, value: bytes) -> bool:
        known = self._known.get(coin_round)
        if known is not None:
            return known == value
        if hashing.digest(hashing.COIN, value) != self._known.get(coin_round - 1):
            return False
        self._learn(coin_round, value)
        return True

    def adopt(self, block_round: int, value: bytes) -> None:
        """Learn from a block of our own log, which was checked when it was written."""
        coin_round = carried_round(block_round, self._delay, self._coin.length)
        if coin_round and coin_round not in self._known:
            self._learn(coin_round, value)

    def _learn(self, coin_round: int, value: bytes) -> None:
        self._known[coin_round] = value
        self.newest = max(self.newest, coin_round)

    def release(self, quorum_round: int) -> None:
        """Learn what Q blocks of `quorum_round` permit to reveal; LocalFault if it is wrong."""
        coin_round = quorum_round - self._delay
        if not 1 <= coin_round <= self._coin.length or coin_round in self._known:
            return
        if not self._check(coin_round, self._coin.reveal(coin_round)):
            raise LocalFault("coin", "our coin secret does not belong to this epoch's chain")

    def carried(self, block_round: int) -> bytes:
        """What our own block of `block_round` carries."""
        coin_round = carried_round(block_round, self._delay, self._coin.length)
        return self._known[coin_round] if coin_round else b""

    def seed(self, round: int) -> bytes | None:
        """What the order of `round` is drawn from, or None while it is not known."""
        if round > self._coin.length:
            anchor = self._coin.anchor
            return hashing.digest(hashing.COIN_ORDER, anchor, round.to_bytes(8, "big"))
        return self._known.get(round)

    def order(self, round: int) -> tuple[int, ...] | None:
        """The authors whose blocks are this round's slots, in order; None while not known."""
        order = self._orders.get(round)
        if order is not None:
            return order
        seed = self.seed(round)
        if seed is None:
            return None
        order = self._orders[round] = draw_order(seed, self._size)[: self._slots]
        return order

    def collect(self, gc_round: int) -> None:
        """Forget what no block above `gc_round` can need."""
        floor = gc_round - self._delay - 2
        if floor < self._floor + COLLECT_ROUNDS:
            return
        self._known = {round_: value for round_, value in self._known.items() if round_ >= floor}
        self._orders = {round_: value for round_, value in self._orders.items() if round_ >= floor}
        self._floor = floor


def draw_order(seed: bytes, size: int) -> tuple[int, ...]:
    """A permutation of `range(size)` drawn from `seed`."""
    keys = [hashing.digest(hashing.COIN_ORDER, seed, i.to_bytes(2, "big")) for i in range(size)]
    return tuple(sorted(range(size), key=keys.__getitem__))
