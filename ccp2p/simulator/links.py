"""The links between simulated nodes: latency, jitter, bandwidth, loss, duplicates, partitions.

Times are whole microseconds and every draw comes from the world's generator, so that no platform's
floating point can change a run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from ccp2p.model import limits
from ccp2p.simulator.chance import below

Latencies = Sequence[Sequence[int]]
"""One-way delays in microseconds, by sender and receiver."""


class Letter(NamedTuple):
    """A frame under way between two seats."""

    now_us: int
    sender: int
    receiver: int
    frame: bytes


Scheduler = Callable[[Letter], int]
"""A hostile network's whim: how many microseconds a frame takes longer."""


@dataclass(slots=True)
class Weather:
    """How the network behaves now; shares are per thousand frames."""

    jitter_us: int = 2_000
    spikes: int = 0
    spike_us: int = 200_000
    lost: int = 0
    doubled: int = 0
    in_order: bool = True
    bytes_per_second: int = 0  # of each sender; 0 is without limit
    slow_us: dict[int, int] = field(default_factory=dict)  # extra delay to and from a node
    groups: tuple[frozenset[int], ...] = ()  # while not empty, frames stay within one of these
    scheduler: Scheduler | None = None


class Links:
    """Decides when, and how often, each frame arrives."""

    def __init__(self, latencies: Latencies, random: Random) -> None:
        self.weather = Weather()
        self.latencies = latencies
        self._random = random
        self._free_us = [0] * len(latencies)
        self._newest_us: dict[tuple[int, int], int] = {}

    def arrivals(self, now_us: int, sender: int, receiver: int, frame: bytes) -> list[int] | None:
        """When `frame` arrives: never, once or twice. None when its sender's line is full."""
        weather = self.weather
        if self._is_cut(sender, receiver) or below(self._random, 1000) < weather.lost:
            return []
        leaves_us = self._leaves(now_us, sender, len(frame))
        if leaves_us is None:
            return None
        times = [leaves_us + self._delay(sender, receiver)]
        if weather.scheduler is not None:
            times[0] += weather.scheduler(Letter(now_us, sender, receiver, frame))
        if weather.in_order:
            times[0] = max(times[0], self._newest_us.get((sender, receiver), 0))
            self._newest_us[sender, receiver] = times[0]
        if weather.doubled and below(self._random, 1000) < weather.doubled:
            times.append(times[0] + below(self._random, 500_000))
        return times

    def quorum_delay_us(self, quorum: int) -> int:
        """The mean over nodes of the delay within which a quorum reaches one, itself included."""
        size = len(self.latencies)
        delays = [
            sorted(self.latencies[sender][receiver] for sender in range(size))[quorum - 1]
            for receiver in range(size)
        ]
        return sum(delays) // size

    def _is_cut(self, sender: int, receiver: int) -> bool:
        groups = self.weather.groups
        return bool(groups) and not any(sender in one and receiver in one for one in groups)

    def _leaves(self, now_us: int, sender: int, size_bytes: int) -> int | None:
        """When the frame has left its sender's line; None when the line's queue is full."""
        rate = self.weather.bytes_per_second
        if not rate:
            return now_us
        start_us = max(now_us, self._free_us[sender])
        if (start_us - now_us) * rate > limits.PEER_QUEUE_BYTES * 1_000_000:
            return None
        self._free_us[sender] = start_us + size_bytes * 1_000_000 // rate
        return self._free_us[sender]

    def _delay(self, sender: int, receiver: int) -> int:
        weather = self.weather
        delay_us = self.latencies[sender][receiver] + below(self._random, weather.jitter_us + 1)
        if weather.slow_us:
            delay_us += weather.slow_us.get(sender, 0) + weather.slow_us.get(receiver, 0)
        if weather.spikes and below(self._random, 1000) < weather.spikes:
            delay_us += below(self._random, weather.spike_us)
        return delay_us


def even_latencies(size: int, delay_us: int) -> Latencies:
    """The same delay between any two nodes."""
    return [[0 if a == b else delay_us for b in range(size)] for a in range(size)]


def drawn_latencies(size: int, random: Random, low_us: int, high_us: int) -> Latencies:
    """A delay drawn for each pair of nodes, the same both ways."""
    matrix = [[0] * size for _ in range(size)]
    for a in range(size):
        for b in range(a):
            matrix[a][b] = matrix[b][a] = random.randrange(low_us, high_us)
    return matrix


def measured_latencies(size: int, table: str) -> Latencies:
    """Nodes placed round-robin in the regions of a table, see `region_latencies`."""
    between = region_latencies(table)
    regions = len(between)
    return [
        [between[a % regions][b % regions] if a != b else 0 for b in range(size)]
        for a in range(size)
    ]


def region_latencies(table: str) -> Latencies:
    """One-way delays between and within the regions of a CSV table of round trips in milliseconds.

    The first row and column name the regions; a one-way delay is half of a cell. Within a region
    it is 0.5 ms. ValueError when the table is not square.
    """
    rows = [line.split(",") for line in table.strip().splitlines()]
    cells = [[int(cell) for cell in row[1:]] for row in rows[1:]]
    regions = len(rows[0]) - 1
    if not regions or any(len(row) != regions for row in cells) or len(cells) != regions:
        raise ValueError("a table of round trips has as many rows as columns")
    return [[cell * 500 or 500 for cell in row] for row in cells]
