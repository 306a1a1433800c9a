"""Ended epochs leave memory, each node at a moment of its own, and free pages go back any time."""

import gc
import platform
import weakref
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from ccp2p.node.tidying import tidy


class Part:
    """One of two that hold each other."""

    other: "Part"


def ring() -> "weakref.ref[Part]":
    one, two = Part(), Part()
    one.other, two.other = two, one
    return weakref.ref(one)


class Epoch:
    """A replica, as far as it is known here."""

    def __init__(self) -> None:
        self.core = self
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


async def test_what_an_epoch_left_goes_once_the_next_has_begun(autojump_clock: object) -> None:
    first, second = Epoch(), Epoch()
    at_work: Any = first
    gc.disable()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tidy, lambda: at_work, Random(1))
            left = ring()
            await trio.sleep(60.5)
            assert left() is not None, "nothing ended"
            assert not first.is_closed
            at_work = second
            await trio.sleep(2)
            assert first.is_closed
            assert left() is not None, "its first commits come first"
            await trio.sleep(10)
            assert left() is None
            later = ring()
            await trio.sleep(60)
            assert later() is not None, "once an epoch"
            assert not second.is_closed
            nursery.cancel_scope.cancel()
    finally:
        gc.enable()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's memory")
async def test_pages_between_what_is_in_use_go_back_to_the_system(autojump_clock: object) -> None:
    many = [bytes(1000) for _ in range(40_000)]
    many = many[::40]
    before_kib = resident_kib()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tidy, lambda: None, Random(1))
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert before_kib - resident_kib() > 20_000
    assert len(many) == 1000


def resident_kib() -> int:
    """What this process holds beside mapped files."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])
