"""Random histories keep every invariant, and catch every wrong rule that is known."""

import pytest

from tests.membership.history import commits_until_seated, violation
from tests.membership.mutations import ALL, STUCK, apply

SEEDS_NEEDED = 60  # the hardest, `no_cap_when_dropping`, shows at seed 30


@pytest.mark.parametrize("seed", range(SEEDS_NEEDED))
def test_a_random_history_breaks_nothing(seed: int) -> None:
    assert violation(seed) is None


@pytest.mark.parametrize("seed", range(60))
def test_one_hostile_node_keeps_nobody_from_a_seat(seed: int) -> None:
    assert commits_until_seated(seed) is not None


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(ALL[name], monkeypatch)
    assert any(violation(seed) for seed in range(SEEDS_NEEDED))


@pytest.mark.parametrize("name", STUCK)
def test_a_rule_that_blocks_changes_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(STUCK[name], monkeypatch)
    assert any(commits_until_seated(seed) is None for seed in range(60))
