"""Announcements reach everybody among hostile nodes and churn; forged ones reach nobody."""

import pytest

from ccp2p.gossip import core
from ccp2p.gossip.core import Gossip
from ccp2p.gossip.messages import Announce
from ccp2p.simulator.gossip import Setting, Spread, World
from ccp2p.simulator.links import region_latencies

TABLE = "from,north,south\nnorth,0,100\nsouth,100,0\n"
HARD = Setting(nodes=200, seats=10, hostile=0.3, churn=30.0, commits=5)  # half of them a minute


def spread(setting: Setting = HARD, seed: int = 1) -> Spread:
    return World(setting, region_latencies(TABLE), seed).run()


def test_every_observer_hears_of_every_commit_within_a_second() -> None:
    found = spread()
    assert found.missed == 0
    assert len(found.delays_us) > 400
    assert found.delays_us[len(found.delays_us) * 99 // 100] < 1_000_000
    assert max(found.hops) > 1
    assert found.copies < core.MESH_HIGH


def test_the_same_seed_spreads_the_same() -> None:
    assert spread() == spread() != spread(seed=2)


def test_a_mesh_that_passes_nothing_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then observers hear by Have and Want alone, heartbeats later."""
    honest = Gossip._announced

    def announced(self: Gossip, *around: object) -> tuple[list[core.Send], bytes]:
        return [], honest(self, *around)[1]  # type: ignore[arg-type]

    monkeypatch.setattr(Gossip, "_announced", announced)
    found = spread()
    assert found.delays_us[len(found.delays_us) * 99 // 100] > 1_000_000


def test_without_lazy_gossip_somebody_misses_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where most nodes keep everything to themselves, some meshes are all hostile."""
    hard = HARD._replace(hostile=0.8)
    whole = sum(spread(hard, seed).missed for seed in range(3))
    monkeypatch.setattr(Gossip, "_haves", lambda _self: [])
    assert sum(spread(hard, seed).missed for seed in range(3)) > whole


def test_forged_announcements_go_no_further_than_their_sender() -> None:
    world = World(HARD, region_latencies(TABLE), 1)
    spammers = {name for name, node in world.nodes.items() if node.kind == "spams"}
    assert spammers
    send = world._send
    forged: list[bytes] = []

    def seeing(node, sends):  # type: ignore[no-untyped-def]
        forged.extend(
            node.name
            for _, message in sends
            if isinstance(message, Announce) and message.data not in world._commits
        )
        send(node, sends)

    world._send = seeing  # type: ignore[method-assign]
    world.run()
    assert forged
    assert all(world.nodes[name].kind == "spams" for name in forged)


def test_spammers_are_out_of_every_honest_mesh() -> None:
    world = World(HARD._replace(churn=0.0), region_latencies(TABLE), 1)
    world.run()
    spammers = {name for name, node in world.nodes.items() if node.kind == "spams"}
    honest = [node for node in world.nodes.values() if not node.kind]
    assert not any(spammers & set(node.gossip.mesh) for node in honest)
    assert all(node.gossip.mesh for node in honest)
