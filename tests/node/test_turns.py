"""Whose work comes next when several networks share a process: counted, never timed."""

from collections.abc import Callable

import pytest
import trio
import trio.testing

from ccp2p.node.turns import Claim, Turns


class Clock:
    """CPU time that moves only when work says so."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns

    def piece(self, name: str, into: list[str], cost: int) -> Callable[[], None]:
        def work() -> None:
            into.append(name)
            self.ns += cost

        return work


async def many(claim: Claim, work: Callable[[], None], count: int) -> None:
    """`count` callers at once, as many clients are."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(claim.run, work)


async def one_after_another(claim: Claim, work: Callable[[], None], count: int) -> None:
    for _ in range(count):
        await claim.run(work)


async def test_a_flood_of_one_network_lets_another_have_every_second_turn():
    clock, served = Clock(), list[str]()
    turns = Turns(1, yields=True, clock_ns=clock)
    flooded, quiet = turns.claim(), turns.claim()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(many, flooded, clock.piece("f", served, 1), 300)
        await trio.testing.wait_all_tasks_blocked()
        served.clear()
        await one_after_another(quiet, clock.piece("q", served, 1), 10)
        until_quiet_was_done = served[: len(served) - served[::-1].index("q")]
        nursery.cancel_scope.cancel()
    assert until_quiet_was_done.count("f") <= 12


async def test_who_takes_ten_times_as_long_gets_a_tenth_of_the_turns():
    clock, served = Clock(), list[str]()
    turns = Turns(1, yields=True, clock_ns=clock)
    slow, quick = turns.claim(), turns.claim()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(many, slow, clock.piece("s", served, 10), 100)
        nursery.start_soon(many, quick, clock.piece("q", served, 1), 100)
        while served.count("q") < 100:
            await trio.sleep(0)
        assert 9 <= served.count("s") <= 12
        nursery.cancel_scope.cancel()


async def test_an_idle_network_saves_nothing_up():
    clock, served = Clock(), list[str]()
    turns = Turns(1, yields=True, clock_ns=clock)
    busy, idle = turns.claim(), turns.claim()
    await one_after_another(busy, clock.piece("b", served, 1), 500)
    served.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(many, busy, clock.piece("b", served, 1), 50)
        nursery.start_soon(many, idle, clock.piece("i", served, 1), 50)
    assert abs(served[:40].count("b") - 20) <= 2


async def test_threads_are_handed_out_in_the_same_order_and_never_more_than_there_are():
    turns, running, most, served = Turns(2), 0, 0, list[str]()
    flooded, quiet = turns.claim(), turns.claim()

    async def work(name: str, claim: Claim) -> None:
        nonlocal running, most
        await turns.take(claim)
        running += 1
        most = max(most, running)
        served.append(name)
        await trio.sleep(0)
        claim.spent_ns += 1
        running -= 1
        turns.give_back()

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(work, "f", flooded)
        await trio.sleep(0)
        nursery.start_soon(work, "q", quiet)
    assert most == 2
    assert served.index("q") <= 6


async def test_whoever_gives_up_waiting_costs_the_others_nothing():
    turns, served = Turns(1, yields=True), list[str]()
    ours, theirs = turns.claim(), turns.claim()
    await turns.take(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run, lambda: served.append("never"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    turns.give_back()
    with trio.fail_after(30):
        await ours.run(lambda: served.append("ours"))
    assert served == ["ours"]


async def test_work_that_fails_gives_its_turn_back():
    turns = Turns(1, yields=True)
    ours, theirs = turns.claim(), turns.claim()
    with pytest.raises(ZeroDivisionError):
        await ours.run(lambda: 1 // 0)
    with trio.fail_after(30):
        assert await theirs.run(lambda: 7) == 7
        assert await theirs.run_in_thread(lambda: 8) == 8


async def test_alone_nothing_waits():
    turns, passed = Turns(1, yields=True), list[int]()
    only = turns.claim()
    other = turns.claim()
    other.end()

    async def count_passes() -> None:
        while True:
            passed.append(1)
            await trio.sleep(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_passes)
        await one_after_another(only, lambda: None, 1000)
        nursery.cancel_scope.cancel()
    assert len(passed) <= 1
