"""The simulator finds each of many faults put into the rules; see docs/testing.md."""

import pytest

from ccp2p.simulator.run import PASS, Setting, simulate
from tests.consensus import mutations as ordering
from tests.simulator import mutations

# A world that comes to a halt is watched for ten simulated minutes, which takes a minute:
# `bench/mutations.py` finds this one.
SLOW = {"events_after_close"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in mutations.ALL if name not in SLOW])
def test_the_simulator_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = mutations.ALL[name]
    setting = Setting(nodes=mutation.nodes)
    right = simulate(mutation.scenario, mutation.seed, setting)
    assert right.verdict == PASS, "the right rules must pass where the wrong ones are to fail"
    mutations.apply(mutation, monkeypatch)
    # The seed of the table comes first; where a change has moved it, the others are tried.
    seeds = (mutation.seed, *range(mutation.within))
    found = (simulate(mutation.scenario, seed, setting) for seed in seeds)
    wrong = next((result for result in found if result.verdict != PASS), None)
    assert wrong is not None
    assert wrong.check != "exception", f"the mutation itself does not run: {wrong.detail}"


def test_every_wrong_rule_of_ordering_is_tried() -> None:
    assert set(ordering.ALL) <= set(mutations.ALL)
