"""How a node is found from beyond its local network, and finds others again: its part in Kademlia.

A mesh's node takes part always, and publishes itself under its network and among the meshes of its
policy and app; a group's node only where its operator named a bootstrap address, and under its
network alone: whoever has no ticket can neither ask for that nor read it (decision 24). What is
found is hearsay as on the local network: it is dialled if we look for that node, and counts once
its evidence was accepted.
"""

import time
from collections.abc import Callable
from random import Random
from typing import Final

import structlog
import trio

from ccp2p.model import codec, limits
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.network import ClientListener
from ccp2p.network.addresses import parse_address
from ccp2p.network.announcement import Announcement
from ccp2p.network.kademlia.contacts import Contact
from ccp2p.network.kademlia.records import (
    Record,
    Topic,
    make_record,
    meshes_topic,
    network_topic,
    open_record,
)
from ccp2p.network.kademlia.service import PROTOCOL, KademliaService
from ccp2p.node.neighbourhood import announcement_of
from ccp2p.node.setup import NodeSetup
from ccp2p.storage.store import Batch, Store

_log = structlog.get_logger()

META: Final = "contacts"
"""Where the store keeps contacts of the overlay, sealed."""

_FIRST_RETRY_S: Final = 3.0  # until somebody keeps our record
_LAST_RETRY_S: Final = 120.0


def topics_of(setup: NodeSetup) -> tuple[Topic, ...]:
    """What the nodes of a network publish themselves under."""
    own = network_topic(setup.network)
    if not setup.genesis.is_open:
        return (own,)
    return own, meshes_topic(setup.policy.digest, setup.genesis.app)


class Presence:
    """One node's part in the overlay, for one network."""

    def __init__(
        self,
        setup: NodeSetup,
        listener: ClientListener,
        bootstrap: tuple[str, ...],
        is_announced: bool,
    ) -> None:
        """`listener` serves the overlay, too, where `is_announced` or there is a bootstrap."""
        identity = setup.identity
        self._sign = identity.signing.sign
        self._own = identity.node
        self._random = Random()
        self._listener = listener
        self._takes_part = is_announced or bool(bootstrap)
        tickets = setup.ticket.addresses if setup.ticket and setup.genesis.is_open else ()
        seeds = dict.fromkeys((*bootstrap, *_recalled(setup.store), *tickets))
        self._service = KademliaService(
            identity.signing_seed,
            identity.node,
            [text for text in seeds if parse_address(text).node not in (None, identity.node)],
            lambda: time.time_ns() // 1_000_000,
            self._random,
        )
        if self._takes_part:
            listener.services[PROTOCOL] = self._service.serve

    async def run(
        self,
        described: Callable[[], tuple[NodeSetup, tuple[str, ...]]],
        hint: Callable[[bytes, tuple[str, ...]], None],
    ) -> None:
        """Take part until cancelled. `described()` is the setup now, and where nodes reach us.

        `hint(node, addresses)` gets what is published of others of the network.
        """
        if not self._takes_part:
            return
        self._service.port = parse_address(self._listener.addresses[0]).port
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._service.run)
            delay_s = _FIRST_RETRY_S
            while True:
                await trio.sleep(delay_s * self._random.uniform(0.5, 1.5))
                setup, peers = described()
                said = announcement_of(setup, self._listener.addresses, peers)
                kept = await self._publish(topics_of(setup), said, hint)
                if kept and setup.store is not None:
                    await trio.to_thread.run_sync(setup.store.write, self._remembered())
                _log.info("published", keepers=kept)
                interval_s = limits.RECORD_INTERVAL_MS / 1000
                delay_s = interval_s if kept else min(2 * delay_s, _LAST_RETRY_S)

    async def _publish(
        self,
        topics: tuple[Topic, ...],
        said: Announcement,
        hint: Callable[[bytes, tuple[str, ...]], None],
    ) -> int:
        kept = 0
        for topic in topics:
            record = make_record(topic, said, self._sign, time.time_ns() // 1_000_000)
            kept += await self._service.publish(record, topic.key)

        def found(record: Record) -> None:
            try:
                other = open_record(topics[0], record)
            except PeerFault:
                return
            if other.network == said.network and other.node != self._own:
                hint(other.node, other.peers)

        await self._service.search(topics[0].key, found)
        return kept

    def _remembered(self) -> Batch:
        contacts = tuple(self._service.core.table)[: limits.BOOK_NODES]
        return Batch(epoch=0, meta={META: codec.encode(contacts)})


def _recalled(store: Store | None) -> list[str]:
    """Addresses of contacts that an earlier process of this node knew."""
    data = store.meta(META) if store is not None else None
    if data is None:
        return []
    contacts = codec.decode(data, tuple[Contact, ...], limits.MAX_FRAME_BYTES, LocalFault)
    return [contact.address for contact in contacts[: limits.NEAREST]]
