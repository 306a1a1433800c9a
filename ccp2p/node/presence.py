"""How a network's node is found, and finds others again: local network, Kademlia, relays.

The overlay and the relays are the process's (`premises`); what is said there is each network's. In
Kademlia a mesh's node takes part always, and publishes itself under its network and among the
meshes of its policy and app; a group's node only where its operator named a bootstrap address, and
under its network alone: whoever has no ticket can neither ask for that nor read it (decision 24).
What is found is hearsay as on the local network: it is dialled if we look for that node, and counts
once its evidence was accepted.
"""

import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random
from typing import Final

import structlog
import trio

from ccp2p.model import codec, limits
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.network import PeerNetwork
from ccp2p.network.kademlia.contacts import Contact
from ccp2p.network.kademlia.records import (
    Record,
    Topic,
    make_record,
    meshes_topic,
    network_topic,
    open_record,
)
from ccp2p.node.address_book import OVERLAY_META
from ccp2p.node.neighbourhood import announcement_of, live_among
from ccp2p.node.premises import Premises
from ccp2p.node.setup import NodeSetup
from ccp2p.storage.store import Batch, Store

_log = structlog.get_logger()

_FIRST_RETRY_S: Final = 3.0  # until somebody keeps our record
_LAST_RETRY_S: Final = 120.0


def topics_of(setup: NodeSetup) -> tuple[Topic, ...]:
    """What the nodes of a network publish themselves under."""
    own = network_topic(setup.network)
    if not setup.genesis.is_open:
        return (own,)
    return own, meshes_topic(setup.policy.digest, setup.genesis.app)


class Presence:
    """How one network's node is found: on the local network, in the overlay, by relays."""

    def __init__(
        self, setup: NodeSetup, peers: PeerNetwork, premises: Premises, is_announced: bool
    ) -> None:
        """`is_announced`: nodes on the local network may hear of a mesh's node, and ask it."""
        identity = setup.identity
        self._sign = identity.signing.sign
        self._own = identity.node
        self._random = Random()
        self._peers = peers
        self._premises = premises
        self._overlay = premises.overlay
        self._listener = premises.listener
        self._is_announced = is_announced and setup.genesis.is_open
        self._takes_part = self._is_announced or premises.is_bootstrapped
        self._tickets = setup.ticket.addresses if setup.ticket else ()
        self._met: tuple[str, ...] = ()
        if self._takes_part:
            tickets = self._tickets if setup.genesis.is_open else ()
            premises.take_part((*_recalled(setup.store), *tickets))

    async def run(
        self,
        ready: trio.Event,
        setup: Callable[[], NodeSetup],
        known: Callable[[], tuple[str, ...]],
        hint: Callable[[bytes, tuple[str, ...]], None],
    ) -> None:
        """Be found until cancelled, beside the premises' run; announced once `ready`.

        `setup()` is the network as it is now, `known()` are its nodes' listeners for members, and
        `hint(node, addresses)` gets what others say of its nodes.
        """
        reach = self._premises.reach
        with reach.among(self._peers, lambda: (*known(), *self._tickets, *self._met)):
            await ready.wait()
            async with trio.open_nursery() as nursery:
                if self._is_announced:
                    said = announcement_of(setup(), self._listener.addresses, self._peers.addresses)
                    nursery.start_soon(live_among, said, hint)
                if self._takes_part:
                    nursery.start_soon(self._publish_again, setup, hint)
                await trio.sleep_forever()

    async def settle(self, met: Iterable[str]) -> None:
        """Wait until it is known whether we are reached, and a relay stands where we are not.

        `met` are listeners for members of nodes that we are about to meet.
        """
        self._met = tuple(met)
        await self._premises.reach.settle()

    async def _publish_again(
        self, setup: Callable[[], NodeSetup], hint: Callable[[bytes, tuple[str, ...]], None]
    ) -> None:
        """Publish now and then, and at once from elsewhere; look for who is away more often."""
        kept, said_at = 0, -math.inf
        said: tuple[str, ...] = ()
        delay_s = _FIRST_RETRY_S
        while True:
            now = setup()
            age_s = trio.current_time() - said_at
            is_due = not kept or age_s >= limits.RECORD_INTERVAL_MS / 1000
            if is_due or said != self._listener.announced:
                said, said_at = self._listener.announced, trio.current_time()
                kept = await self._publish(now)
                _log.info("published", keepers=kept)
            if any(not peer.connected for peer in self._peers.peers().values()):
                await self._look_for(now, hint)
            await trio.sleep(delay_s * self._random.uniform(0.5, 1.5))
            delay_s = min(2 * delay_s, _LAST_RETRY_S)

    async def _publish(self, setup: NodeSetup) -> int:
        self._overlay.port = self._premises.asked_at
        said = announcement_of(setup, self._listener.announced, self._peers.announced)
        kept = 0
        for topic in topics_of(setup):
            record = make_record(topic, said, self._sign, _unix_ms())
            kept += await self._overlay.publish(record, topic.key)
        if kept and setup.store is not None:
            await trio.to_thread.run_sync(setup.store.write, self._remembered())
        return kept

    async def _look_for(
        self, setup: NodeSetup, hint: Callable[[bytes, tuple[str, ...]], None]
    ) -> None:
        """Where the network's nodes say that they are now."""
        topic = network_topic(setup.network)

        def found(record: Record) -> None:
            with suppress(PeerFault):
                other = open_record(topic, record)
                if other.network == setup.network and other.node != self._own:
                    hint(other.node, other.peers)

        await self._overlay.search(topic.key, found)

    def _remembered(self) -> Batch:
        contacts = tuple(self._overlay.core.table)[: limits.BOOK_NODES]
        return Batch(epoch=0, meta={OVERLAY_META: codec.encode(contacts)})


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _recalled(store: Store | None) -> list[str]:
    """Addresses of contacts that an earlier process of this node knew."""
    data = store.meta(OVERLAY_META) if store is not None else None
    if data is None:
        return []
    contacts = codec.decode(data, tuple[Contact, ...], limits.MAX_FRAME_BYTES, LocalFault)
    return [contact.address for contact in contacts[: limits.NEAREST]]
