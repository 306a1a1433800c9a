"""The simulator finds each of many faults put into the rules; see docs/testing.md."""

import pytest

from ccp2p.simulator.run import PASS, Setting, simulate
from tests.simulator import mutations


@pytest.mark.parametrize("name", mutations.ALL)
def test_the_simulator_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = mutations.ALL[name]
    setting = Setting(nodes=mutation.nodes)
    right = simulate(mutation.scenario, mutation.seed, setting)
    assert right.verdict == PASS, "the right rules must pass where the wrong ones are to fail"
    mutations.apply(mutation, monkeypatch)
    assert simulate(mutation.scenario, mutation.seed, setting).verdict != PASS
