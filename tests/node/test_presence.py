"""What a node publishes of itself beyond its local network: of a group nothing that others read."""

import os
from pathlib import Path
from random import Random

import pytest
import trio

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import PeerFault
from ccp2p.network import ClientListener, connect
from ccp2p.network.kademlia.records import network_topic, open_record
from ccp2p.network.kademlia.service import PROTOCOL, KademliaService
from ccp2p.node.premises import Premises
from ccp2p.node.presence import topics_of
from tests.network.stage import echo
from tests.node.stage import Host, eventually, network, unix_ms


async def test_a_group_is_published_sealed_and_only_where_a_bootstrap_was_named(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("ccp2p.node.presence._FIRST_RETRY_S", 0.2)
    async with trio.open_nursery() as nursery, network(tmp_path, 1) as stage:
        seed = os.urandom(32)
        entrance = ClientListener(key_seed=seed, handler=echo)
        await nursery.start(entrance.run)
        stranger = KademliaService(seed, SigningKey(seed).public, [], unix_ms, Random(1))
        entrance.services[PROTOCOL] = stranger.serve

        with pytest.raises(PeerFault, match="no agreement"):
            async with connect(stage.hosts[0].address, timeout_ms=30_000, protocol=PROTOCOL):
                pass
        await stage.hosts[0].stop()

        def with_bootstrap(identity, listen):
            return Premises(identity, listen, (entrance.addresses[0],))

        monkeypatch.setattr("ccp2p.node.node.Premises", with_bootstrap)
        host: Host = await stage.reopen(0)
        setup = host.node.setup
        topic = network_topic(setup.network)
        assert topics_of(setup) == (topic,), "a group is nowhere among the meshes"
        await eventually(lambda: len(stranger.core.records) == 1)
        [signed] = stranger.core.records.get(topic.key, unix_ms())
        seen = signed.record + signed.signature
        assert setup.network not in seen
        assert setup.genesis.name.encode() not in seen
        assert host.address.encode() not in seen
        [record] = stranger.core.kept(topic.key, unix_ms())
        assert open_record(topic, record).clients == host.node.listener.addresses
        nursery.cancel_scope.cancel()
