"""Ended epochs leave memory, and each node at a moment of its own."""

import gc
import weakref
from random import Random

import trio

from ccp2p.node.tidying import tidy


class Part:
    """One of two that hold each other."""

    other: "Part"


def ring() -> "weakref.ref[Part]":
    one, two = Part(), Part()
    one.other, two.other = two, one
    return weakref.ref(one)


async def test_what_an_epoch_left_goes_once_the_next_has_begun(autojump_clock: object) -> None:
    epoch = 0
    gc.disable()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tidy, lambda: epoch, Random(1))
            left = ring()
            await trio.sleep(60)
            assert left() is not None, "nothing ended"
            epoch = 1
            await trio.sleep(1)
            assert left() is not None, "its first commits come first"
            await trio.sleep(10)
            assert left() is None
            later = ring()
            await trio.sleep(60)
            assert later() is not None, "once an epoch"
            nursery.cancel_scope.cancel()
    finally:
        gc.enable()
