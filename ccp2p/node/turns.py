"""Whose work comes next where several networks share one process: none starves the others.

Work comes in pieces that are bounded elsewhere (inputs a step, commits a turn, one frame). Of the
networks that wait, the one whose pieces took least CPU time so far goes next; one that was idle
begins where the others are, and cannot save up. So a network with work to do waits for the piece
that runs, and then as long as each other takes for as much CPU time as it does, however much they
have waiting. Where there is one network alone it waits for nobody, and nothing is measured.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

from ccp2p.node.meter import Meter

T = TypeVar("T")


class Turns:
    """Hands out `places` at a time among shares. `clock_ns` is CPU time of the calling thread.

    With `yields` a piece of work is followed by a pass of the event loop, in which whoever else has
    become ready can say so: what never waits would otherwise never be seen waiting.
    """

    def __init__(
        self,
        places: int,
        *,
        yields: bool = False,
        clock_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self.clock_ns = clock_ns
        self._free = places
        self._yields = yields
        self._claims: list[Claim] = []
        self._reached_ns = 0  # what the last one served had spent

    def claim(self) -> "Claim":
        """One more network's claim to turns, until `Claim.end`."""
        claim = Claim(self)
        self._claims.append(claim)
        return claim

    @property
    def is_shared(self) -> bool:
        """Whether there is more than one network."""
        return len(self._claims) > 1

    def end(self, claim: "Claim") -> None:
        """See `Claim.end`."""
        if claim in self._claims:
            self._claims.remove(claim)

    async def take(self, claim: "Claim") -> None:
        """Wait for a place."""
        if not claim.waiting:
            claim.spent_ns = max(claim.spent_ns, self._reached_ns)
        if self._free:
            self._free -= 1
            self._reached_ns = claim.spent_ns
            return
        turn = trio.Event()
        claim.waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn in claim.waiting:
                claim.waiting.remove(turn)
            else:
                self.give_back()
            raise

    def give_back(self) -> None:
        """Leave the place to the next one."""
        if self._yields and self.is_shared:
            trio.lowlevel.current_trio_token().run_sync_soon(self._next)
        else:
            self._next()

    def _next(self) -> None:
        waiting = [claim for claim in self._claims if claim.waiting]
        if not waiting:
            self._free += 1
            return
        first = min(waiting, key=lambda claim: claim.spent_ns)
        self._reached_ns = first.spent_ns
        first.waiting.popleft().set()


class Claim:
    """One network's claim; `spent_ns` is the CPU time of its turns."""

    def __init__(self, turns: Turns) -> None:
        self.spent_ns = 0
        self.waiting: deque[trio.Event] = deque()
        self._turns = turns

    async def run(self, work: Callable[[], T]) -> T:
        """Do a piece of work, which does not wait for anything, when it is our turn."""
        if not self._turns.is_shared:
            return work()
        await self._turns.take(self)
        try:
            return self._measured(work)
        finally:
            self._turns.give_back()

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        """The same in a worker thread."""
        if not self._turns.is_shared:
            return await trio.to_thread.run_sync(work)
        await self._turns.take(self)
        try:
            return await trio.to_thread.run_sync(self._measured, work)
        finally:
            self._turns.give_back()

    def end(self) -> None:
        """Take part no more."""
        self._turns.end(self)

    def _measured(self, work: Callable[[], T]) -> T:
        began_ns = self._turns.clock_ns()
        try:
            return work()
        finally:
            self.spent_ns += self._turns.clock_ns() - began_ns


class Share:
    """One network's share of the process: on the event loop, and in the threads beside it."""

    def __init__(self, meter: Meter, loop: Turns | None = None, threads: Turns | None = None):
        """Without turns of others it has everything."""
        self.meter = meter
        self._loop = (loop or Turns(1, yields=True)).claim()
        self._threads = (threads or Turns(1)).claim()

    async def run(self, stage: str, work: Callable[[], T]) -> T:
        """A piece of work on the event loop, whose CPU time counts for `stage`."""
        return await self._loop.run(partial(self._metered, stage, work))

    async def run_in_thread(self, work: Callable[[], T], stage: str = "") -> T:
        """A piece of work in a worker thread; without a stage it meters itself, or nobody does."""
        if stage:
            work = partial(self._metered, stage, work)
        return await self._threads.run_in_thread(work)

    def _metered(self, stage: str, work: Callable[[], T]) -> T:
        with self.meter.stage(stage):
            return work()

    def end(self) -> None:
        """Leave everything to the others."""
        self._loop.end()
        self._threads.end()
