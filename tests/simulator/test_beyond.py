"""More traitors than f: what the findings call the fork bound, and evidence where it is passed."""

import pytest

from ccp2p.simulator.run import VIOLATED, Setting, simulate
from ccp2p.simulator.world import World

BROKEN = {"agreement", "certificate", "delivery-order", "state-root", "prefix", "ledger-time"}


def run(nodes: int, traitors: int, seed: int) -> tuple[str, str, World]:
    worlds: list[World] = []
    setting = Setting(nodes=nodes, traitors=traitors)
    result = simulate("equivocate", seed, setting, None, worlds.append)
    return result.verdict, result.check, worlds[0]


@pytest.mark.parametrize(("nodes", "traitors"), [(5, 2), (6, 3)])
def test_below_n_minus_2f_equivocators_may_stop_a_network_but_never_fork_it(
    nodes: int, traitors: int
) -> None:
    for seed in range(3):
        verdict, check, _ = run(nodes, traitors, seed)
        assert verdict != VIOLATED, f"seed {seed}: {check}"


def test_where_too_many_equivocate_honest_disks_hold_the_proof() -> None:
    for seed in range(3):
        _, _, world = run(4, 2, seed)
        honest = [host for host in world.hosts if host.is_honest]
        accused = {
            host.index
            for host in world.hosts
            if any(one.disk.store.meta(f"equivocation/0/{host.index}") for one in honest)
        }
        assert accused, f"seed {seed}: nobody kept evidence"
        assert all(not world.hosts[seat].is_honest for seat in accused)


def test_two_traitors_of_four_do_break_promises_so_the_checks_can_fail() -> None:
    found = [run(4, 2, seed) for seed in range(4)]
    broken = [check for verdict, check, _ in found if verdict == VIOLATED]
    assert broken
    assert set(broken) <= BROKEN
