"""What is left over in memory, dropped at moments that no other node shares."""

import ctypes
import gc
from collections.abc import Callable
from random import Random
from typing import Final

import trio

_LEAST_S: Final = 2.0  # after an epoch began: its first commits come first
_MOST_S: Final = 10.0
# Of the C library, where it has this: else what is freed between what is in use stays resident.
_give_back: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)


async def tidy(epoch: Callable[[], int | None], randomness: Random) -> None:
    """Look for garbage once after each epoch's begin, and give free pages back, until cancelled.

    An epoch's parts hold each other, and much beside. To find them stops the process for some 50 to
    150 milliseconds; were all nodes to do it as an epoch begins, their network would stand still.
    To give pages back takes a fifth of one, and is done every time: a node that comes back and asks
    for much would else leave megabytes here until the epoch ends.
    """
    seen = epoch()
    while True:
        await trio.sleep(randomness.uniform(_LEAST_S, _MOST_S))
        if epoch() != seen:
            seen = epoch()
            gc.collect()
        if _give_back is not None:
            _give_back(0)
