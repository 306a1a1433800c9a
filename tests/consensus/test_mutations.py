"""The agreement check finds every wrong rule that is known to be dangerous.

Seeds are tried from 0 on; the number beside each rule is how many it may take. A rule that the
check misses would mean that the agreement tests prove little.
"""

import pytest

from tests.consensus.agreement import disagreement
from tests.consensus.generator import RandomDag
from tests.consensus.mutations import ALL, apply

SEEDS_NEEDED = {
    "skip_any_block": 20,
    "skip_early": 60,
    "own_block_last": 60,
    "commit_on_votes": 60,
    "small_quorum": 40,
    "small_certificate": 80,
    "near_anchor": 150,
}


@pytest.mark.parametrize("name", SEEDS_NEEDED)
def test_a_wrong_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(ALL[name], monkeypatch)
    assert any(disagreement(RandomDag(seed, 4, 12, 1)) for seed in range(SEEDS_NEEDED[name]))


@pytest.mark.slow
def test_an_indirect_rule_blind_to_early_certificates_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply(ALL["indirect_late_only"], monkeypatch)
    assert any(disagreement(RandomDag(seed, 4, 12, 1)) for seed in range(600, 700))


def test_every_wrong_rule_is_tried() -> None:
    assert set(ALL) == {*SEEDS_NEEDED, "indirect_late_only"}
