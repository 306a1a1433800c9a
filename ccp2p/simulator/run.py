"""One run: a scenario, a seed, a verdict."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import msgspec

from ccp2p.model.genesis import Parameters
from ccp2p.simulator import churn, rotation, vendors
from ccp2p.simulator.checks import Violation
from ccp2p.simulator.faults import Faults
from ccp2p.simulator.founding import found, policy_of
from ccp2p.simulator.host import Host
from ccp2p.simulator.hostile import HostileMembers
from ccp2p.simulator.load import Load
from ccp2p.simulator.remembered import remembered_crypto
from ccp2p.simulator.review import review
from ccp2p.simulator.scenarios import (
    SCENARIOS,
    Scenario,
    Stage,
    latencies_of,
)
from ccp2p.simulator.trace import Trace
from ccp2p.simulator.traitors import Traitor
from ccp2p.simulator.world import World

_COIN_LENGTH = 4096
_SHORT_COINS = (256, 1024, 4096)  # where the committee changes: an epoch may use one up
_STOPPED_US = 30_000_000  # how long to watch what may have stopped
_LIE_MS = 3_600_000  # a traitor's clock is an hour off

_GARBAGE_THRESHOLD = (50_000, 5, 5)

PASS, NO_PROGRESS, VIOLATED = "pass", "no-progress", "violated"


@dataclass(frozen=True, slots=True)
class Setting:
    """What runs have in common. `table` is a CSV of round trips; 0 events: the scenario's own.

    `parameters` are the network's, but for the coin's length; None draws depths from the seed.
    """

    nodes: int = 7
    events: int = 0
    table: str = ""
    parameters: Parameters | None = None
    waves: tuple[int, ...] = (4, 5)
    slots: int = 0
    traitors: int | None = None  # None: as many as the scenario has, at most f


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one run. `check` and `detail` say what was violated, or did not happen."""

    scenario: str
    seed: int
    verdict: str
    check: str
    detail: str
    latencies_us: tuple[int, ...]
    quorum_delay_us: int
    deliveries: int
    commits: int
    simulated_us: int
    trace_sha256: str


def simulate(
    name: str,
    seed: int,
    setting: Setting,
    trace: Trace | None = None,
    see: Callable[[World], None] | None = None,
) -> Result:
    """Run scenario `name` (KeyError when there is none) with `seed` to its verdict.

    `see` is shown the world before its first event.
    """
    scenario = SCENARIOS[name]
    trace = trace or Trace()
    with remembered_crypto(), _rarely_collected():
        world, faults = build(scenario, seed, setting, trace)
        if see is not None:
            see(world)
        verdict, check, detail = PASS, "", ""
        try:
            _play(world, faults, scenario)
            review(world, world.generator("review"), scenario.reviews)
            detail = "" if world.may_stop else world.checks.finish(world.load)
            if detail:
                verdict, check = NO_PROGRESS, "liveness"
        except Violation as violation:
            verdict, check, detail = VIOLATED, violation.check, str(violation)
        except Exception as error:
            # Whatever a node does not expect would have ended its process.
            verdict, check, detail = VIOLATED, "exception", repr(error)[:200]
    return Result(
        name,
        seed,
        verdict,
        check,
        detail,
        tuple(world.load.latencies_us),
        world.links.quorum_delay_us(world.founded.committee.quorum),
        world.deliveries,
        world.checks.longest,
        world.now_us,
        trace.sha256,
    )


def build(scenario: Scenario, seed: int, setting: Setting, trace: Trace) -> tuple[World, Faults]:
    """The world before its first event."""
    random = Random(f"scenario/{seed}")
    size = setting.nodes
    churns = scenario.changes and not (scenario.rotates or scenario.breaks_vendor)
    plan = churn.NONE
    if churns:
        plan = churn.misled_plan(size) if scenario.misleads else churn.draw_plan(random, size)
    cast = vendors.draw_cast(random, size) if scenario.breaks_vendor else None
    parameters = _parameters(scenario, setting, random)
    policy = policy_of(cast.cap if cast else "none") if scenario.changes else ""
    coming = rotation.NEWCOMERS if scenario.rotates else plan.newcomers
    coming, chips = (cast.newcomers, cast.vendors) if cast else (coming, ())
    founded = found(size, seed, parameters, coming, policy, chips)
    latencies = latencies_of(scenario, len(founded.identities), setting.table, random)
    world = World(founded, seed, latencies, trace)
    if cast is not None:
        habits = [scenario.habits(random) if scenario.habits else [] for _ in cast.vendors]
        world.hosts.extend(vendors.hosts(world, random, cast, habits, scenario.span_us))
        lost = sum(map(cast.is_broken, range(size)))
    else:
        lost = _people(world, scenario, setting, random, plan if churns else None)
    faults = Faults(world, world.generator("faults"), scenario.span_us)
    scenario.unfold(Stage(founded, random, world.links.weather, faults, lost, plan.dead))
    events = setting.events or scenario.events
    world.load = Load(world, world.generator("load"), scenario.members, events, scenario.span_us)
    if scenario.hostile_members:
        HostileMembers(world, world.generator("hostile"), scenario.span_us)
    if scenario.rotates:
        rotation.unfold(world)
    elif cast is not None:
        vendors.unfold(world, cast)
    elif scenario.changes:
        churn.unfold(world, world.generator("churn"), plan, scenario.span_us)
    return world, faults


def _people(
    world: World, scenario: Scenario, setting: Setting, random: Random, plan: churn.Plan | None
) -> int:
    """The machines of a world with or without churn; how many of the founders' are traitors."""
    traitors: list[int] = []
    if scenario.habits is not None:
        count = plan.traitors if plan is not None else setting.traitors
        if count is None:
            count = scenario.traitors(random, world.founded.committee.faulty)
        traitors = random.sample(range(setting.nodes), count)
    for index in range(setting.nodes):
        world.hosts.append(_host(world, index, scenario, index in traitors))
    for number in range(plan.newcomers if plan is not None else 0):
        world.hosts.append(churn.newcomer(world, number, plan or churn.NONE))
    if scenario.rotates:
        world.hosts.extend(rotation.newcomers(world, random))
    return len(traitors)


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Let Python look for garbage less often: a world holds much and leaves little behind."""
    usual = gc.get_threshold()
    gc.set_threshold(*_GARBAGE_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _host(world: World, index: int, scenario: Scenario, is_traitor: bool) -> Host:
    own = world.generator(f"host-{index}")
    if is_traitor and scenario.habits is not None:
        skew_ms = own.choice((0, _LIE_MS, -_LIE_MS))
        habits = scenario.habits(own)
        if scenario.rotates:
            kind = rotation.Spoiler if own.randrange(2) else Traitor
            return kind(world, index, own, habits, skew_ms)
        if scenario.changes and not scenario.misleads and own.randrange(3):
            return churn.GarbageProposer(world, index, own, habits[own.randrange(2) :], skew_ms)
        return Traitor(world, index, own, habits, skew_ms)
    return Host(world, index, own, own.randrange(-50, 51))


def _play(world: World, faults: Faults, scenario: Scenario) -> None:
    for host in world.hosts:
        world.start(host)
    world.run(scenario.span_us)
    faults.end()
    settle_us = _STOPPED_US if world.may_stop else scenario.settle_us
    end_us = scenario.span_us + settle_us
    world.run(end_us, lambda: not world.checks.finish(world.load))


def _parameters(scenario: Scenario, setting: Setting, random: Random) -> Parameters:
    given = setting.parameters or Parameters(
        gc_depth=random.choice((12, 20, 40)),
        checkpoint_interval=random.choice((4, 16)),
        min_round_delay_ms=random.choice((0, 0, 10, 40)),
        max_round_delay_ms=random.choice((200, 1000)),
    )
    return msgspec.structs.replace(
        given,
        **(rotation.parameters(random, given, setting.nodes) if scenario.rotates else {}),
        coin_length=random.choice(_SHORT_COINS) if scenario.changes else _COIN_LENGTH,
        commit_waves=setting.waves,
        slots_per_round=setting.slots,
    )
