"""Committees of a mesh over many hours: as often bad as the hypergeometric odds say, if fair."""

from collections.abc import Sequence
from itertools import islice
from math import sqrt
from statistics import mean, stdev

import pytest

from ccp2p.membership import sampling, succession
from ccp2p.membership.roster import Member, Roster, faulty_of
from ccp2p.simulator.committees import Drawn, Mesh, Setting, committees, hypergeometric

FAIR = Setting(nodes=80, seats=10, hostile=0.2)
SEEDS, WARM_EPOCHS, EPOCHS = 60, 3, 15


def hours(setting: Setting, seeds: int = SEEDS) -> list[list[Drawn]]:
    """The committees of each seed."""
    return [
        list(islice(committees(setting, seed), WARM_EPOCHS, WARM_EPOCHS + EPOCHS))
        for seed in range(seeds)
    ]


def deviation(of_seeds: Sequence[float], expected: float) -> float:
    """How many standard errors the mean of independent seeds is above what was expected."""
    return (mean(of_seeds) - expected) / (stdev(of_seeds) / sqrt(len(of_seeds)))


def hostile_deviation(drawn: list[list[Drawn]], setting: Setting) -> float:
    """The same of the number of hostile seats."""
    seats = [mean(one.hostile for one in of_seed) for of_seed in drawn]
    return deviation(seats, setting.seats * setting.hostile)


def test_as_many_committees_are_bad_as_the_odds_say() -> None:
    drawn = hours(FAIR)
    odds = hypergeometric(FAIR.nodes, round(FAIR.nodes * FAIR.hostile), FAIR.seats)
    bad = [mean(one.is_bad for one in of_seed) for of_seed in drawn]
    assert abs(deviation(bad, sum(odds[faulty_of(FAIR.seats) + 1 :]))) < 4
    assert abs(hostile_deviation(drawn, FAIR)) < 4
    assert all(one.new <= FAIR.seats // 3 for of_seed in drawn for one in of_seed)


def test_a_draw_that_hostile_platforms_grind_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hostile platform has two lots, as if it chose among two ids when the beacon is known."""
    hostile: set[bytes] = set()
    honest_node, honest_lot = Mesh._node, sampling.lot

    def node(mesh: Mesh, is_hostile: bool) -> Member:
        made = honest_node(mesh, is_hostile)
        hostile.update([made.platform_id] if is_hostile else [])
        return made

    def lot(beacon: bytes, purpose: bytes, platform_id: bytes) -> bytes:
        own = honest_lot(beacon, purpose, platform_id)
        if platform_id not in hostile or purpose != b"join":
            return own
        return min(own, honest_lot(beacon, purpose, platform_id[::-1]))

    monkeypatch.setattr(Mesh, "_node", node)
    monkeypatch.setattr(sampling, "lot", lot)
    assert hostile_deviation(hours(FAIR), FAIR) > 6


def test_more_than_a_third_at_once_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(
        roster: Roster, _staying: object, joining: Sequence[Member], *around: sampling.Sampling
    ) -> tuple[Member, ...]:
        lots = sorted(
            joining, key=lambda one: sampling.lot(roster.beacon, b"join", one.platform_id)
        )
        return tuple(lots[: around[0].seats])

    monkeypatch.setattr(succession, "drawn", drawn)
    assert any(one.new > FAIR.seats // 3 for of_seed in hours(FAIR) for one in of_seed)


def test_patience_and_a_choice_of_beacons_pay() -> None:
    """Hostile nodes then have more seats than their share: decision 23 and docs/mesh.md say so."""
    assert hostile_deviation(hours(FAIR._replace(is_patient=True)), FAIR) > 6
    assert hostile_deviation(hours(FAIR._replace(chooses=True), 20), FAIR) > 6


def test_the_dead_pile_up_where_silence_is_not_noticed() -> None:
    def away(setting: Setting) -> float:
        return mean(one.away for of_seed in hours(setting, 20) for one in of_seed)

    assert away(FAIR._replace(is_noticed=False)) > away(FAIR) + 1
