"""The coin: a hash chain c_r = H^(T-r)(s) that anybody can check with one hash (design section 7).

Only TEEs hold s. If it leaks, liveness under a scheduling adversary suffers and nothing else, so
nothing else is ever drawn from it.
"""

from ccp2p.crypto import hashchain
from ccp2p.model.errors import LocalFault


class CoinChain:
    """Every coin of an epoch, any of them at the cost of one segment of the chain."""

    def __init__(self, secret: bytes, length: int) -> None:
        """`secret` is s (32 bytes); `length` is T. Walks the whole chain once: T hashes."""
        self.length = length
        self._every = max(1, 1 << (length.bit_length() // 2))
        self._checkpoints = hashchain.checkpoints(secret, length, self._every)
        # The chain is walked from s = c_T down to c_0, so distances are counted from T.
        last = len(self._checkpoints) - 1
        self.anchor = hashchain.walk(self._checkpoints[last], length - last * self._every)
        self._segment: dict[int, bytes] = {}

    def reveal(self, round: int) -> bytes:
        """c_round, for 0 <= round <= T. Its release rule is the caller's to keep."""
        if not 0 <= round <= self.length:
            raise LocalFault("coin-ended", f"the coin chain has no value for round {round}")
        value = self._segment.get(round)
        if value is None:
            self._load_segment(round)
            value = self._segment[round]
        return value

    def _load_segment(self, round: int) -> None:
        index = (self.length - round) // self._every
        value = self._checkpoints[index]
        distance = index * self._every
        segment = {self.length - distance: value}
        for step in range(1, min(self._every, self.length - distance + 1)):
            value = hashchain.walk(value, 1)
            segment[self.length - distance - step] = value
        self._segment = segment
