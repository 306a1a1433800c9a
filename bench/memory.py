"""Memory that processes hold over time, and whether it grows.

What counts is what they allocated. Pages of a mapped LMDB file are resident too, as many as the
system lets be, and gone when it wants them.
"""

import contextlib
from collections.abc import Callable, Sequence
from math import fsum, sqrt
from pathlib import Path
from statistics import linear_regression, mean, median

import trio

EVERY_S = 5.0
SETTLED_S = 300.0
"""Of a process's first minutes nothing is told: its caches fill up."""
_PARTS = 12
_T_95 = 2.228  # Student's t, two-sided, for twelve means and a line of two parameters


class Memory:
    """Samples what each process of `pids()` holds, until cancelled."""

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self._pids = pids
        self._lives: dict[int, list[tuple[float, float]]] = {}

    async def watch(self) -> None:
        """Take a sample every few seconds."""
        while True:
            for pid in self._pids():
                held_mb = allocated_mb(pid)
                if held_mb:
                    self._lives.setdefault(pid, []).append((trio.current_time(), held_mb))
            await trio.sleep(EVERY_S)

    def most_mb(self) -> float:
        """The most that any process held at a sample."""
        return max((mb for life in self._lives.values() for _, mb in life), default=0.0)

    def growth(self, pid: int) -> "Growth | None":
        """How one process's memory grew; None when it did not live long enough."""
        life = self._lives.get(pid, [])
        settled = [(at, mb) for at, mb in life if at - life[0][0] >= SETTLED_S]
        return Growth(settled) if len(settled) >= 2 * _PARTS else None


class Growth:
    """A line through the mean levels of twelve parts of a life, of samples in seconds and MB.

    `mb_per_hour` is its slope, `noise_mb_per_hour` half of the interval that holds the true one
    with 95%, by how the means lie off the line (batch means: neighbouring samples depend on each
    other, means of minutes hardly). Steady growth lies on the line, and is never within this noise.
    """

    def __init__(self, samples: Sequence[tuple[float, float]]) -> None:
        times, held = zip(*samples, strict=True)
        self.hours = (times[-1] - times[0]) / 3600
        self.from_mb, self.to_mb = held[0], held[-1]
        self.median_mb = median(held)
        size = len(samples) // _PARTS
        parts = [slice(at, at + size) for at in range(0, size * _PARTS, size)]
        middles, levels = ([mean(values[part]) for part in parts] for values in (times, held))
        line = linear_regression(middles, levels)
        off = [y - line.intercept - line.slope * x for x, y in zip(middles, levels, strict=True)]
        spread = fsum((x - mean(middles)) ** 2 for x in middles)
        error = sqrt(fsum(one**2 for one in off) / (_PARTS - 2) / spread)
        self.mb_per_hour = line.slope * 3600
        self.noise_mb_per_hour = _T_95 * error * 3600


def allocated_mb(pid: int) -> float:
    """What a process holds resident beside mapped files, in MB; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024 / 1_000_000
    return 0.0
