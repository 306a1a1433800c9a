"""Worlds whose committee changes: who must not come in, who is in the way, and what came of it."""

from random import Random
from typing import TYPE_CHECKING

import pytest

from ccp2p.simulator import churn
from ccp2p.simulator.churn import Late, Mute, Plan, Vanishing
from ccp2p.simulator.host import Host
from ccp2p.simulator.intruders import Intruder, Replayer, Thief, Twin
from ccp2p.simulator.run import PASS, Result, Setting, simulate

if TYPE_CHECKING:
    from ccp2p.simulator.world import World


def run_with(
    plan: Plan, seed: int, monkeypatch: pytest.MonkeyPatch, nodes: int = 4
) -> tuple[Result, "World"]:
    """A run of `churn` in which this happens, and its world afterwards."""
    monkeypatch.setattr(churn, "draw_plan", lambda random, size: plan)
    worlds: list[World] = []
    result = simulate("churn", seed, Setting(nodes=nodes), see=worlds.append)
    return result, worlds[0]


def members(world: "World") -> set[int]:
    """The machines of the newest committee."""
    return {world.machines[seat.node] for seat in world.newest.committee.seats}


@pytest.mark.parametrize("kind", [Thief, Replayer, Twin])
@pytest.mark.parametrize("seed", [1, 2])
def test_who_shows_evidence_that_is_not_its_own_or_old_is_refused_and_work_goes_on(
    kind: type[Intruder], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, world = run_with(Plan(1, 0, 0, 0, 0, (kind,)), seed, monkeypatch)
    assert (result.verdict, result.detail) == (PASS, "")
    assert list(world.intruders.values()) == [5]
    assert members(world) == {0, 1, 2, 3, 4}, "the honest newcomer is in, the intruder is not"


@pytest.mark.parametrize("kind", [Mute, Late, Vanishing])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_newcomer_that_stands_in_the_way_does_not_stop_the_change(
    kind: type[Host], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(churn, "_HINDERING", (kind,))
    result, world = run_with(Plan(1, 1, 0, 0, 0, ()), seed, monkeypatch)
    assert (result.verdict, result.detail) == (PASS, "")
    assert type(world.hosts[5]) is kind
    assert {0, 1, 2, 3, 4} <= members(world)
    if kind is Vanishing:
        assert world.hosts[5].starts == 1, "it followed, and was never seen again"
        assert not world.hosts[5].is_up


def test_a_world_of_its_own_draws_all_of_them() -> None:
    plans = [churn.draw_plan(random, 7) for random in map(Random, range(100))]
    drawn = {kind for plan in plans for kind in plan.intruders}
    assert drawn == {Thief, Replayer, Twin}
    assert {plan.hindering for plan in plans} >= {0, 1}
