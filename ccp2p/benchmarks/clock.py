"""Timing subjects against each other, so that what disturbs one disturbs all of them.

Runs are interleaved: one of each subject, then the next of each. Time is the thread's CPU time,
because other work on the machine should not count; the garbage collector is off, as in `timeit`.
A figure is the median of the runs.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping

# Short work is repeated so long that the caches are its own again after the other subjects.
SHORTEST_RUN_NS = 20_000_000

Work = Callable[[], object]


def medians_us(subjects: Mapping[str, Work], items: int, runs: int) -> dict[str, float]:
    """Microseconds an item of each subject, whose every call handles `items` items."""
    repeats = {name: _repeats(work) for name, work in subjects.items()}
    timed: dict[str, list[float]] = {name: [] for name in subjects}
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(runs):
            for name, work in subjects.items():
                spent_ns = _spent_ns(work, repeats[name])
                timed[name].append(spent_ns / (1000 * items * repeats[name]))
    finally:
        if was_enabled:
            gc.enable()
    return {name: statistics.median(values) for name, values in timed.items()}


def _repeats(work: Work) -> int:
    """How often to call `work` for a run long enough; also warms it up."""
    work()
    return max(1, SHORTEST_RUN_NS // max(1, _spent_ns(work, 1)))


def _spent_ns(work: Work, times: int) -> int:
    started_ns = time.thread_time_ns()
    for _ in range(times):
        work()
    return time.thread_time_ns() - started_ns
