"""The coin's hash chain: c_r = H^(T-r)(s), H being BLAKE2b-256 in the coin's domain.

Walking towards the seed is impossible, so a holder of the seed keeps checkpoints and walks the
short rest. The native core releases the GIL.
"""

from typing import Final

from ccp2p.crypto._choice import choose, is_native
from ccp2p.model import hashing

_core = choose("hashchain")

NATIVE: Final = is_native(_core)


def walk(start: bytes, steps: int) -> bytes:
    """H applied `steps` times to `start` (32 bytes); ValueError on a wrong length or steps < 0."""
    return _core.walk(hashing.COIN, start, steps)


def checkpoints(start: bytes, steps: int, every: int) -> list[bytes]:
    """Every `every`-th value on the way: item i is `walk(start, i * every)`, while <= `steps`."""
    if every < 1 or steps < 0:
        raise ValueError("every must be positive and steps not negative")
    values = [walk(start, 0)]
    for _ in range(steps // every):
        values.append(walk(values[-1], every))
    return values


if walk(hashing.ZERO_DIGEST, 1) != hashing.digest(hashing.COIN, hashing.ZERO_DIGEST):
    raise ImportError("the hash chain fails its known-answer test")
