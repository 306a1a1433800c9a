"""The nodes around this one: whom to stay connected to, where they are, and how they behave."""

from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, MemberFault, PeerFault, Unreachable
from ccp2p.model.member_protocol import GetPeers, Peers
from ccp2p.network import ClientListener, Connected, Disconnected, PeerNetwork
from ccp2p.network.addresses import leads_to
from ccp2p.node.address_book import META, AddressBook
from ccp2p.node.network_record import NodeAddresses
from ccp2p.node.scoreboard import Scoreboard
from ccp2p.storage.store import Batch, Store

_log = structlog.get_logger()

_SAVE_S: Final = 30.0
_GATHER_S: Final = 2.0  # for a newcomer's witnesses to be connected
_GLANCE_S: Final = 0.05
_AGAIN_S: Final = 1.0  # between two tries to reach somebody at last


class Acquaintances:
    """Everything that is known of peers of one network. `unix_ms` dates what was attested."""

    def __init__(self, own: bytes, peers: PeerNetwork, randomness: Random) -> None:
        self.scoreboard = Scoreboard(peers.bar)
        self._own = own
        self._peers = peers
        self._random = randomness
        self._book = AddressBook(own)
        self._connected: dict[bytes, None] = {}
        self._saved = b""

    @property
    def count(self) -> int:
        """Connected peers."""
        return len(self._connected)

    def recall(self, store: Store) -> None:
        """Take up what an earlier process of this node knew."""
        self._book = AddressBook.decode(self._own, store.meta(META))

    async def remember(self, store: Store) -> None:
        """Write the addresses down now and then, until cancelled."""
        while True:
            await trio.sleep(_SAVE_S)
            for node, peer in self._peers.peers().items():
                if peer.failure and not peer.connected:
                    self._book.missed(node, peer.address)
            data = self._book.encode()
            if data != self._saved:
                await trio.to_thread.run_sync(store.write, Batch(epoch=0, meta={META: data}))
                self._saved = data

    def take(self, event: Connected | Disconnected, unix_ms: int) -> None:
        """A connection began or ended."""
        name = event.node.hex()[:16]
        if isinstance(event, Disconnected):
            self._connected.pop(event.node, None)
            _log.info("peer gone", node=name, reason=event.reason)
            return
        self._connected[event.node] = None
        self.scoreboard.connected(event.node, event.verdict)
        status = self._peers.peers().get(event.node)
        address = status.address if status else ""
        verdict = event.verdict
        self._book.met(event.node, address, verdict.vendor, verdict.platform_id, unix_ms)
        _log.info("peer attested", node=name)

    def hint(self, node: bytes, addresses: tuple[str, ...]) -> None:
        """Somebody on the local network says where a node is: worth a try if we look for it."""
        if self._book.hear(node, addresses) and node in self._peers.kept():
            self._keep(NodeAddresses(node, self._peers.kept()[node], ()))

    def keep_only(self, wanted: Iterable[NodeAddresses]) -> None:
        """Stay connected to these nodes and to no others."""
        found = {one.node: one for one in wanted if one.node != self._own}
        for node in self._peers.kept():
            if node not in found:
                self._peers.forget(node)
        for one in found.values():
            self._book.hear(one.node, one.peers)
            self._keep(one)

    def connect(self, node: bytes, addresses: tuple[str, ...]) -> None:
        """Stay connected to one more node, as far as `limits.BOOK_NODES` allow."""
        kept = self._peers.kept()
        if node != self._own and node not in kept and len(kept) < limits.BOOK_NODES:
            self._book.hear(node, addresses)
            self._keep(NodeAddresses(node, addresses, ()))

    async def reach(self, addresses: tuple[str, ...]) -> None:
        """Connect to a node at the first of its addresses that leads to it."""
        for last, address in enumerate(addresses, 1):
            try:
                await self._peers.dial(address)
                return
            except (Unreachable, PeerFault, MemberFault):
                if last == len(addresses):
                    raise

    async def reach_at_last(self, addresses: tuple[str, ...]) -> None:
        """The same, again and again until it succeeds, whatever it says meanwhile."""
        while True:
            with suppress(Fault):
                await self.reach(addresses)
                return
            await trio.sleep(_AGAIN_S)

    async def witnesses(self, but: bytes) -> list[bytes]:
        """Connected nodes to ask the same, as different as can be had; a moment is given to dial.

        One honest one among them is enough for a newcomer not to be led into the past.
        """
        with trio.move_on_after(_GATHER_S):
            while not all(peer.connected for peer in self._peers.peers().values()):
                await trio.sleep(_GLANCE_S)
        here = {
            node for node, peer in self._peers.peers().items() if peer.connected and node != but
        }
        return self._book.choose(limits.NODES_ASKED, here, self._random)

    def blame(self, node: bytes, fault: PeerFault) -> None:
        """Who was asked gave what does not hold."""
        if self.scoreboard.blame(node, fault.code, int(trio.current_time() * 1000)):
            name = node.hex()[:16]
            _log.warning("peer at fault", node=name, code=fault.code, reason=str(fault))

    def shown(self, query: GetPeers, listener: ClientListener) -> Peers:
        """The scoreboard, for members and operators."""
        return Peers(
            query.number,
            self.scoreboard.rows(self._peers.peers(), trio.current_time()),
            tuple(sorted(self._peers.refusals.items())),
            listener.connections,
            listener.refused,
            (*self._peers.announced, *listener.announced),
        )

    def _keep(self, one: NodeAddresses) -> None:
        """Where it was met comes first, then where it says it is, then what others say.

        All of it is hearsay: what leads to another node, or to nothing, is passed over.
        """
        contact = self._book.contact(one.node)
        known = self._book.addresses(one.node)
        met = known[:1] if contact and contact.attested_ms else ()
        said = [text for text in one.peers if leads_to(text, one.node)]
        addresses = dict.fromkeys((*met, *said, *known))
        if addresses:
            self._peers.keep(one.node, *addresses)
