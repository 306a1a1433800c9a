"""What is left over in memory, dropped at moments that no other node shares."""

import ctypes
import gc
import math
from collections.abc import Callable
from random import Random
from typing import Final

import trio

from ccp2p.node.replica import Replica

_LOOK_S: Final = (1.0, 2.0)  # least and most; chance keeps nodes that started together apart
_GARBAGE_S: Final = (2.0, 6.0)  # after an epoch was seen to begin: its first commits come first
# Of the C library, where it has this: else what is freed between what is in use stays resident.
_give_back: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)


async def tidy(current: Callable[[], Replica | None], randomness: Random) -> None:
    """Drop what ended epochs left, and give free pages back, until cancelled.

    `current()` is the epoch at work. The blocks of the one before, most of what it holds, go soon
    after that began, before as many new ones need room beside them. The rest holds each other, and
    much beside: to find it stops the process for some 20 to 150 milliseconds, and were all nodes to
    do it as an epoch begins, their network would stand still. To give pages back takes less than
    one, and is done every time: a node that comes back and asks for much would else leave megabytes
    here until the epoch ends.
    """
    at_work, due_s = current(), math.inf
    while True:
        await trio.sleep(randomness.uniform(*_LOOK_S))
        newest, now_s = current(), trio.current_time()
        if newest is not at_work:
            if at_work is not None:
                at_work.core.close()
            at_work, due_s = newest, now_s + randomness.uniform(*_GARBAGE_S)
        elif now_s >= due_s:
            due_s = math.inf
            gc.collect()
        if _give_back is not None:
            _give_back(0)
