"""What a node publishes of itself beyond its local network: of a group nothing that others read."""

import os
from pathlib import Path
from random import Random

import pytest
import trio

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import PeerFault
from ccp2p.network import ClientListener, connect
from ccp2p.network.announcement import Announcement
from ccp2p.network.kademlia.records import Topic, meshes_topic, network_topic, open_record
from ccp2p.network.kademlia.service import PROTOCOL, KademliaService
from ccp2p.node.home import Listen
from ccp2p.node.node import unix_ms
from ccp2p.node.premises import Premises
from ccp2p.node.presence import topics_of
from ccp2p.node.setup import Wanted
from tests.network.stage import echo
from tests.node.stage import MIB, Host, eventually, network
from tests.node.test_household import Home

PUBLISHED_S = 0.2


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccp2p.node.presence._FIRST_RETRY_S", PUBLISHED_S)


async def stranger(nursery: trio.Nursery) -> tuple[KademliaService, str]:
    """A node of the overlay that is of no network here, and where it answers."""
    seed = os.urandom(32)
    entrance = ClientListener(key_seed=seed, handler=echo)
    await nursery.start(entrance.run)
    service = KademliaService(seed, SigningKey(seed).public, [], unix_ms, Random(1))
    entrance.services[PROTOCOL] = service.serve
    return service, entrance.addresses[0]


async def found_by(address: str, topic: Topic) -> list[Announcement]:
    """What a newcomer finds that knows this one address."""
    newcomer = KademliaService(os.urandom(32), os.urandom(32), [address], unix_ms, Random(2))
    records: list[Announcement] = []
    await newcomer.search(topic.key, lambda record: records.append(open_record(topic, record)))
    return records


def home(tmp_path: Path) -> Home:
    return Home(Wanted(tmp_path / "node", Listen("127.0.0.1"), "sim-a", 64 * MIB))


async def test_a_group_is_published_sealed_and_only_where_a_bootstrap_was_named(
    tmp_path: Path, monkeypatch
):
    async with trio.open_nursery() as nursery, network(tmp_path, 1) as stage:
        keeper, entrance = await stranger(nursery)

        with pytest.raises(PeerFault, match="no agreement"):
            async with connect(stage.hosts[0].address, timeout_ms=30_000, protocol=PROTOCOL):
                pass
        await stage.hosts[0].stop()

        def with_bootstrap(identity, listen):
            return Premises(identity, listen, (entrance,))

        monkeypatch.setattr("ccp2p.node.node.Premises", with_bootstrap)
        host: Host = await stage.reopen(0)
        setup = host.node.setup
        topic = network_topic(setup.network)
        assert topics_of(setup) == (topic,), "a group is nowhere among the meshes"
        await eventually(lambda: len(keeper.core.records) == 1)
        [signed] = keeper.core.records.get(topic.key, unix_ms())
        seen = signed.record + signed.signature
        assert setup.network not in seen
        assert setup.genesis.name.encode() not in seen
        assert host.address.encode() not in seen
        [record] = keeper.core.kept(topic.key, unix_ms())
        assert open_record(topic, record).clients == host.node.listener.addresses
        nursery.cancel_scope.cancel()


async def test_two_networks_of_one_process_are_found_through_its_one_node_of_the_overlay(
    tmp_path: Path,
):
    built = home(tmp_path)
    mesh, group = built.found("plaza", "mesh"), built.found("club")
    async with trio.open_nursery() as nursery:
        keeper, entrance = await stranger(nursery)
        async with built.running(entrance):
            await eventually(lambda: len(keeper.core.records) == 3)
            one, other = built.nodes.values()
            assert one.listener is other.listener
            assert one._presence._overlay is other._presence._overlay
            assert len(one._presence._overlay.core.records) == 3
            for asked in (entrance, built.address()):
                for setup in (mesh, group):
                    [said] = await found_by(asked, network_topic(setup.network))
                    assert (said.network, said.node) == (setup.network, mesh.identity.node)
                    assert said.clients == one.listener.addresses
                [said] = await found_by(asked, meshes_topic(mesh.policy.digest, "kv"))
                assert said.network == mesh.network, "and the group is not among the meshes"
        nursery.cancel_scope.cancel()


async def test_a_group_beside_a_mesh_stays_unpublished_where_no_bootstrap_was_named(
    tmp_path: Path, monkeypatch
):
    async def unheard(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("ccp2p.node.presence.live_among", unheard)  # the test is no neighbour
    built = home(tmp_path)
    built.is_announced = True
    mesh, group = built.found("plaza", "mesh"), built.found("club")
    async with built.running():
        kept = built.nodes["club"]._presence._overlay.core
        await eventually(lambda: len(kept.records) == 2)
        await trio.sleep(5 * PUBLISHED_S)
        assert len(kept.kept(network_topic(mesh.network).key, unix_ms())) == 1
        assert kept.kept(network_topic(group.network).key, unix_ms()) == []
