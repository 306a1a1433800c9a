"""The scenarios: what each world is made to suffer while it works.

A scenario draws everything from the world's seed. All trouble ends after `SPAN_US`, except for
traitors and the dead, which are never more than f; then the world has `SETTLE_US` to finish.
Where the committee changes both are longer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ccp2p.simulator.faults import Faults
from ccp2p.simulator.founding import Founded
from ccp2p.simulator.garbage import Garbler
from ccp2p.simulator.links import (
    Latencies,
    Weather,
    drawn_latencies,
    measured_latencies,
)
from ccp2p.simulator.misguide import Misguide
from ccp2p.simulator.schedulers import CoinScheduler, TurningScheduler, UnfairScheduler
from ccp2p.simulator.traitors import (
    Equivocator,
    FloorLiar,
    Habit,
    Replayer,
    Withholder,
)

SPAN_US = 3_000_000
SETTLE_US = 60_000_000

Habits = Callable[[Random], list[Habit]]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a scenario shapes: the network, its links and its faults. `lost` is its traitors."""

    founded: Founded
    random: Random
    weather: Weather
    faults: Faults
    lost: int
    dead: int = 0

    @property
    def spare(self) -> int:
        """How many nodes may still fail."""
        return self.founded.committee.faulty - self.lost


@dataclass(frozen=True, slots=True)
class Scenario:
    """`traitors` draws how many of at most f; `unfold` schedules the rest.

    `reviews` is how many other orders of the same blocks are tried afterwards. `changes`: nodes
    join and leave, as `churn` draws it. `rotates`: it is a mesh that draws its committee instead.
    `misleads`: only newcomers come, and f traitors mislead them. `breaks_vendor`: its chips are of
    several vendors under a cap, and one vendor breaks instead. `fewest`: nodes that it takes.
    """

    unfold: Callable[[Stage], None]
    habits: Habits | None = None
    traitors: Callable[[Random, int], int] = lambda _, faulty: faulty
    events: int = 30
    members: int = 3
    hostile_members: bool = False
    reviews: int = 1
    is_wide: bool = False
    changes: bool = False
    rotates: bool = False
    misleads: bool = False
    breaks_vendor: bool = False
    span_us: int = SPAN_US
    settle_us: int = SETTLE_US
    fewest: int = 1


def latencies_of(scenario: Scenario, size: int, table: str, random: Random) -> Latencies:
    """The delays between the nodes: those of `table` where there is one, else drawn."""
    if table:
        return measured_latencies(size, table)
    if scenario.is_wide:
        return drawn_latencies(size, random, 5_000, 160_000)
    low_us, high_us = random.choice(((5_000, 60_000), (5_000, 15_000)))
    return drawn_latencies(size, random, low_us, high_us)


def _calm(stage: Stage) -> None:
    stage.weather.jitter_us = 2_000


def _wan(stage: Stage) -> None:
    stage.weather.jitter_us = 3_000
    stage.weather.spikes = 5


def _crash(stage: Stage) -> None:
    stage.faults.crash_for_good(stage.spare)


def _partition(stage: Stage) -> None:
    stage.faults.partitions(stage.random.randrange(1, 4))


def _slow(stage: Stage) -> None:
    size = stage.founded.committee.size
    slow = stage.random.sample(range(size), max(1, stage.spare))
    stage.weather.slow_us = {seat: stage.random.choice((50_000, 100_000, 300_000)) for seat in slow}
    stage.faults.slow_disks(1)


def _lossy(stage: Stage) -> None:
    weather = stage.weather
    weather.lost = stage.random.choice((0, 0, 10, 50))
    weather.doubled = stage.random.choice((0, 20))
    weather.in_order = bool(stage.random.randrange(2))
    weather.spikes = stage.random.choice((0, 10, 50))


def _coin_leak(stage: Stage) -> None:
    stage.weather.in_order = False
    stage.weather.scheduler = CoinScheduler(stage.founded, stage.random)


def _scheduler(stage: Stage) -> None:
    size = stage.founded.committee.size
    stage.weather.in_order = False
    stage.weather.scheduler = stage.random.choice(
        (
            TurningScheduler(size, stage.random),
            CoinScheduler(stage.founded, stage.random),
            UnfairScheduler(stage.random),
        )
    )


def _disk(stage: Stage) -> None:
    stage.faults.full_disks(2)
    stage.faults.slow_disks(stage.random.randrange(1, 3))
    stage.faults.restarts(2)


def _rollback(stage: Stage) -> None:
    _unfair(stage)
    if stage.random.randrange(3) == 0 and not stage.lost:
        stage.faults.power_cut(stage.spare)
    else:
        stage.faults.restarts(4, rolled_back=True)


def _restart(stage: Stage) -> None:
    if stage.random.randrange(2):
        stage.weather.scheduler = UnfairScheduler(stage.random)
    stage.faults.restarts(stage.random.randrange(2, 8))
    if stage.random.randrange(3) == 0 and not stage.lost:
        stage.faults.power_cut(0)


def _overload(stage: Stage) -> None:
    stage.weather.bytes_per_second = stage.random.choice((200_000, 1_000_000))


def _mixed(stage: Stage) -> None:
    random = stage.random
    _lossy(stage)
    if random.randrange(3) == 0:
        _partition(stage)
    if random.randrange(3) == 0:
        _scheduler(stage)
    if random.randrange(4) == 0:
        _slow(stage)
    if stage.spare and random.randrange(4) == 0:
        stage.faults.crash_for_good(1)
    elif not stage.lost and random.randrange(3) == 0:
        stage.faults.power_cut(random.randrange(stage.spare + 1))
        return
    if random.randrange(2):
        stage.faults.restarts(random.randrange(1, 6), rolled_back=bool(random.randrange(2)))
    if random.randrange(6) == 0:
        stage.faults.full_disks(1)


def _churn(stage: Stage) -> None:
    random = stage.random
    _unfair(stage)
    stage.faults.crash_for_good(stage.dead)
    if random.randrange(2):
        count = random.randrange(1, 10)
        stage.faults.restarts(count, rolled_back=random.randrange(3) == 0)
    if random.randrange(3) == 0:
        _partition(stage)


def _any_habits(random: Random) -> list[Habit]:
    makers: list[Callable[[Random], Habit]] = [
        Equivocator,
        Equivocator,
        Withholder,
        Replayer,
        FloorLiar,
        Garbler,
    ]
    return [make(random) for make in random.sample(makers, random.randrange(1, 4))]


def _churning_habits(random: Random) -> list[Habit]:
    return [Misguide(random), *_any_habits(random)]


def _unfair(stage: Stage) -> None:
    _lossy(stage)
    if stage.random.randrange(3):
        stage.weather.scheduler = UnfairScheduler(stage.random)


SCENARIOS: dict[str, Scenario] = {
    "calm": Scenario(_calm),
    "wan": Scenario(_wan, is_wide=True),
    "crash": Scenario(_crash),
    "partition": Scenario(_partition),
    "slow": Scenario(_slow),
    "equivocate": Scenario(_unfair, habits=lambda random: [Equivocator(random)], reviews=12),
    "withhold": Scenario(_unfair, habits=lambda random: [Withholder(random)]),
    "invalid": Scenario(
        _lossy,
        habits=lambda random: [Garbler(random), Replayer(random), FloorLiar(random)],
        hostile_members=True,
    ),
    "coin-leak": Scenario(_coin_leak, habits=lambda random: [Equivocator(random)]),
    "scheduler": Scenario(_scheduler),
    "disk": Scenario(_disk, events=150, fewest=2),
    "rollback": Scenario(_rollback, events=150),
    "restart": Scenario(_restart, events=150),
    "overload": Scenario(_overload, events=3000, members=40),
    "churn": Scenario(
        _churn,
        habits=_churning_habits,
        events=60,
        changes=True,
        span_us=12_000_000,
        settle_us=600_000_000,
    ),
    "rotation": Scenario(
        _unfair,
        habits=_any_habits,
        traitors=lambda random, faulty: random.randrange(faulty + 1),
        events=30,
        changes=True,
        rotates=True,
        span_us=12_000_000,
        settle_us=600_000_000,
        fewest=4,
    ),
    "catch-up": Scenario(
        _lossy,
        habits=lambda random: [Misguide(random)],
        events=60,
        changes=True,
        misleads=True,
        span_us=12_000_000,
        settle_us=600_000_000,
    ),
    "vendors": Scenario(
        _unfair,
        habits=_any_habits,
        events=30,
        changes=True,
        breaks_vendor=True,
        span_us=12_000_000,
        settle_us=600_000_000,
    ),
    "mixed": Scenario(
        _mixed,
        habits=_any_habits,
        traitors=lambda random, faulty: random.randrange(faulty + 1),
        hostile_members=True,
    ),
}
