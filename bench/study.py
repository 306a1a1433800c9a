"""The study behind the defaults: the real node core over simulated links, one variation at a time.

    PYTHONPATH=. python bench/study.py TABLE.csv EXPERIMENT [OUT.jsonl]

Experiments: wide, huge, rules, slots, pace, push, coin, blocks.

Every run is one line of JSON. Latencies are from an event's arrival at its node to its place in
that node's total order, in milliseconds; the floor is what the same links permit (`floor_us`).
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from leader_rule import LeaderRule
from recent_slots import RecentDecider

from ccp2p.consensus import core, pusher
from ccp2p.model import limits
from ccp2p.model.genesis import Parameters
from ccp2p.simulator.campaign import percentiles_ms
from ccp2p.simulator.founding import found
from ccp2p.simulator.host import Host
from ccp2p.simulator.links import Latencies, Weather, even_latencies, measured_latencies
from ccp2p.simulator.load import Load
from ccp2p.simulator.remembered import remembered_crypto
from ccp2p.simulator.schedulers import CoinScheduler
from ccp2p.simulator.trace import Trace
from ccp2p.simulator.traitors import Equivocator, Traitor
from ccp2p.simulator.world import World

LEADER_TIMEOUT_US = 300_000
WARM_US = 1_200_000  # sessions are open and the dead are dead; latencies count from here
COIN_LENGTH = 4096


@dataclass
class Variation:
    """One run. `slow` is a node's extra delay; `crashed` of `nodes` stop before counting."""

    nodes: int
    parameters: dict[str, Any] = field(default_factory=dict)
    crashed: int = 0
    slow_us: int = 0
    weather: dict[str, Any] = field(default_factory=dict)
    is_coin_known: bool = False
    equivocators: int = 0
    members_per_node: int = 2
    events: int = 600
    span_us: int = 4_000_000
    seed: int = 1
    even_us: int = 0  # the same delay between any two nodes instead of the table


def floor_us(latencies: Latencies, quorum: int, dead: Iterable[int]) -> int:
    """Four quorum waits in a row and half a round, at the median node, were a wait all there is."""
    live = [seat for seat in range(len(latencies)) if seat not in tuple(dead)]
    made = [dict.fromkeys(live, 0)]
    for _ in range(30):
        below = made[-1]
        arrivals = {to: sorted(below[of] + latencies[of][to] for of in live) for to in live}
        made.append({seat: times[quorum - 1] for seat, times in arrivals.items()})
    round_us = sum(made[30][seat] - made[10][seat] for seat in live) // len(live) // 20
    waits = sorted(made[14][seat] - made[10][seat] for seat in live)
    return waits[len(waits) // 2] + round_us // 2


def measure(variation: Variation, table: str) -> dict[str, Any]:
    """Run a variation; what it showed."""
    start = time.process_time()
    given = Parameters(**{**variation.parameters, "coin_length": COIN_LENGTH})
    size, seed = variation.nodes, variation.seed
    founded = found(size, seed, given)
    even = variation.even_us
    latencies = even_latencies(size, even) if even else measured_latencies(size, table)
    with remembered_crypto():
        world = World(founded, seed, latencies, Trace())
        dead = tuple(sorted(Random(f"crash/{seed}").sample(range(size), variation.crashed)))
        _populate(world, variation)
        world.load = Load(
            world,
            world.generator("load"),
            variation.members_per_node * size,
            variation.events,
            variation.span_us,
        )
        for host in world.hosts:
            world.start(host)
        for seat in dead:
            world.hosts[seat].is_retired = True
            world.later(WARM_US // 2, world.hosts[seat].crash)
        world.later(WARM_US, world.load.forget_latencies)
        world.run(variation.span_us)
        world.run(variation.span_us + 3_000_000, lambda: not world.load.unanswered)
    quorum = founded.committee.quorum
    rounds = max(host.core.consensus.round for host in world.hosts if host.is_up)
    floor = floor_us(latencies, quorum, dead)
    leader = LeaderRule(latencies, quorum, dead, LEADER_TIMEOUT_US)
    latency = percentiles_ms(world.load.latencies_us) or {}
    return {
        "nodes": size,
        "crashed": len(dead),
        "seed": seed,
        "latency_ms": latency,
        "floor_ms": floor / 1000,
        "over_floor": round(latency["p50"] * 1000 / floor, 3) if latency and floor else None,
        "leader_p50_ms": leader.p50_us() / 1000,
        "samples": len(world.load.latencies_us),
        "unanswered": world.load.unanswered,
        "rounds": rounds,
        "commits": world.checks.longest,
        "deliveries": world.deliveries,
        "simulated_s": world.now_us / 1e6,
        "cpu_s": round(time.process_time() - start, 1),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _populate(world: World, variation: Variation) -> None:
    weather = Weather(**{"jitter_us": 2_000, **variation.weather})
    if variation.slow_us:
        weather.slow_us = {variation.nodes - 1: variation.slow_us}
    if variation.is_coin_known:
        weather.in_order = False
        weather.scheduler = CoinScheduler(world.founded, world.generator("scheduler"))
    world.links.weather = weather
    for index in range(variation.nodes):
        own = world.generator(f"host-{index}")
        if index < variation.equivocators:
            world.hosts.append(Traitor(world, index, own, [Equivocator(own)]))
        else:
            world.hosts.append(Host(world, index, own, own.randrange(-50, 51)))


def wide() -> Iterator[tuple[str, Variation]]:
    """The defaults over the ten regions, beside the floor and the yardstick."""
    for nodes in (4, 7, 10, 20, 50):
        faulty = (nodes - 1) // 3
        events, span_us = (600, 4_000_000) if nodes <= 20 else (300, 2_200_000)
        for crashed in (0, faulty):
            yield "default", Variation(nodes, crashed=crashed, events=events, span_us=span_us)


def huge() -> Iterator[tuple[str, Variation]]:
    """A committee of a hundred: what it needs."""
    yield (
        "default",
        Variation(100, events=100, members_per_node=1, span_us=1_600_000),
    )


def rules() -> Iterator[tuple[str, Variation]]:
    """Waves and slots."""
    for nodes in (4, 7, 10):
        for crashed in (0, (nodes - 1) // 3):
            for waves in ((4, 5), (5,)):
                name = f"waves {','.join(map(str, waves))}"
                yield name, Variation(nodes, {"commit_waves": waves}, crashed)
            for slots in (1, 3):
                yield f"slots {slots}", Variation(nodes, {"slots_per_round": slots}, crashed)
            yield "slots best", Variation(nodes, {}, crashed)


def slots() -> Iterator[tuple[str, Variation]]:
    """Slots a round beside one node that is slow."""
    for slow_us in (0, 100_000, 200_000, 400_000):
        for name, count in (("all", 0), ("3", 3), ("best", 0)):
            parameters = {"slots_per_round": count}
            yield f"slots {name}, {slow_us // 1000} ms", Variation(10, parameters, slow_us=slow_us)


def pace() -> Iterator[tuple[str, Variation]]:
    """The least time between two blocks of a node; 1 ms links are one building."""
    for nodes, even_us in ((4, 0), (10, 0), (4, 1_000)):
        for delay in (0, 20, 40):
            name = f"min_round_delay {delay}{', 1 ms links' if even_us else ''}"
            parameters = {"min_round_delay_ms": delay}
            yield name, Variation(nodes, parameters, even_us=even_us, span_us=3_000_000)


def push() -> Iterator[tuple[str, Variation]]:
    """Pushing what a peer may lack, under spikes and loss."""
    for name, weather in (("calm", {}), ("spikes", {"spikes": 30}), ("loss", {"lost": 10})):
        for rounds in (0, 1, 2):
            yield (
                f"push after {rounds} rounds, {name}" if rounds else f"push off, {name}",
                Variation(10, weather={**weather, "in_order": False}),
            )


def coin() -> Iterator[tuple[str, Variation]]:
    """When the coin is shown, against a network that knows it and f equivocators."""
    for nodes in (4, 10):
        for delay in (3, 4):
            for seed in range(3):
                yield (
                    f"coin_delay {delay}",
                    Variation(
                        nodes,
                        {"coin_delay": delay},
                        is_coin_known=True,
                        equivocators=(nodes - 1) // 3,
                        seed=seed,
                    ),
                )


def blocks() -> Iterator[tuple[str, Variation]]:
    """How many envelopes a block may hold, on lines of 100 Mbit/s in ten regions."""
    for most in (8, 64, 2048):
        yield (
            f"blocks of {most}",
            Variation(
                4,
                events=4_000,
                members_per_node=60,
                span_us=3_000_000,
                weather={"bytes_per_second": 12_500_000},
            ),
        )


EXPERIMENTS: dict[str, Callable[[], Iterator[tuple[str, Variation]]]] = {
    one.__name__: one for one in (wide, huge, rules, slots, pace, push, coin, blocks)
}


def _done(path: Path | None) -> set[tuple[str, int, int, int]]:
    """What an earlier run has put into the file: it is not measured again."""
    if path is None or not path.exists():
        return set()
    rows = map(json.loads, path.read_text().splitlines())
    return {(row["variation"], row["nodes"], row["crashed"], row["seed"]) for row in rows}


def main() -> None:
    """Run one experiment, or what is left of it."""
    table, name = Path(sys.argv[1]).read_text(), sys.argv[2]
    honest = core.push_history, core.Decider, limits.MAX_ENVELOPES_PER_BLOCK
    heard_rounds = pusher.HEARD_ROUNDS
    path = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    done = _done(path)
    with path.open("a") if path else sys.stdout as out:
        for label, variation in EXPERIMENTS[name]():
            if (label, variation.nodes, variation.crashed, variation.seed) in done:
                continue
            if label.startswith("push off"):
                core.push_history = lambda *_: None
            if label.startswith("push after"):
                pusher.HEARD_ROUNDS = int(label.split()[2])
            if label.startswith("slots best"):
                core.Decider = RecentDecider
            if label.startswith("blocks of "):
                limits.MAX_ENVELOPES_PER_BLOCK = int(label.split()[-1])
            result = {"experiment": name, "variation": label, **measure(variation, table)}
            core.push_history, core.Decider, limits.MAX_ENVELOPES_PER_BLOCK = honest
            pusher.HEARD_ROUNDS = heard_rounds
            print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    main()
