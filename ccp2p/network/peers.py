"""The network between nodes: attested links, one for each peer, kept up and watched.

Rules: a connection exists for the node only after both sides accepted each other's evidence; there
is at most one for each peer; nothing a peer sends or withholds ends the run, grows memory beyond a
named limit or blocks the others. When two nodes dial each other at once, the one with the smaller
key decides: it refuses the second link while the first is alive.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import (
    Fault,
    LocalFault,
    PeerFault,
    Unreachable,
    fault_in,
    origin,
    unexpected,
)
from ccp2p.network.addresses import Address, parse_address
from ccp2p.network.circuits import NODES, dial
from ccp2p.network.contract import Attestor, Connected, Disconnected, PeerStatus
from ccp2p.network.inbox import Inbox
from ccp2p.network.peer import Peer, Timing
from ccp2p.network.proof import Exchange
from ccp2p.network.reception import MAX_STREAMS, WINDOW_BYTES, Reception
from ccp2p.network.session import ConnectionLost

if TYPE_CHECKING:
    from ccp2p.network.link import Link
    from ccp2p.network.yamux import YamuxStream

_log = structlog.get_logger()

FRAMES_PROTOCOL: Final = "/ccp2p/frames/1"
_FIRST_RETRY_MS: Final = 250
_LAST_RETRY_MS: Final = 10_000
_ALIVE_HEARTBEATS: Final = 1.25  # a link heard of in this time is not replaced


@dataclass(slots=True)
class _Kept:
    """A peer to stay connected to."""

    addresses: list[str]  # the one that is tried next comes first
    failure: str = ""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class PeerNetwork:
    """Our node among others of one network: `run` it in a nursery, read `events`, `send`."""

    def __init__(
        self,
        *,
        key_seed: bytes,
        attestor: Attestor,
        listen: str = "/ip4/127.0.0.1/tcp/0",
        network_id: bytes,
        timing: Timing | None = None,
        randomness: random.Random | None = None,
        reception: Reception | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        """`key_seed` is the Ed25519 seed of `attestor.node`; `listen` a multiaddress of ours.

        With a `reception`, which somebody else runs, nodes come in there.
        """
        self.node = attestor.node
        self.events = inbox or Inbox()
        self.refused: Counter[str] = Counter()  # who asked for this network, by code
        self._own_reception = None
        if reception is None:
            reception = Reception(key_seed=key_seed, listen=listen, timing=timing)
            self._own_reception = reception
        self.reception = reception
        self._attestor = attestor
        self._network_id = network_id
        self._timing = timing or Timing()
        self._random = randomness or random.Random()
        self._nursery: trio.Nursery | None = None
        self._peers: dict[bytes, Peer] = {}
        self._pending: set[bytes] = set()
        self._barred: dict[bytes, float] = {}  # until when, by trio's clock; attested nodes only
        self._kept: dict[bytes, _Kept] = {}
        self._connected = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take in who comes, keep up the kept peers and serve, until cancelled."""
        if self.reception.identity.node != self.node:
            raise LocalFault("key", "the key seed is not the attestor's node key")
        self.reception.open(self._network_id, self)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self._own_reception is not None:
                    await nursery.start(self._own_reception.run)
                for node, kept in self._kept.items():
                    nursery.start_soon(self._keep_up, node, kept)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self.reception.shut(self._network_id)
            for peer in self._peers.values():
                peer.end("stopped")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where nodes reach us."""
        return self.reception.addresses

    @property
    def refusals(self) -> Counter[str]:
        """Inbound connections that got no further, by code; also those that reached no network."""
        return self.reception.refusals + self.refused

    @property
    def announced(self) -> tuple[str, ...]:
        """Where others reach us, best first: who needs a relay is not reached otherwise."""
        return self.reception.announced

    @property
    def handshakes(self) -> int:
        """Inbound connections that have not finished their handshake."""
        return self.reception.handshakes

    @property
    def has_room(self) -> bool:
        """Whether one more peer may connect."""
        return len(self._peers) < limits.MAX_PEER_CONNECTIONS

    async def dial(self, address: str) -> bytes:
        """Connect to the node at `address`, unless we are; returns its key.

        Unreachable, AttestationFault (by either side), or PeerFault.
        """
        return await self._dial(parse_address(address), address)

    def keep(self, node: bytes, *addresses: str) -> None:
        """Stay connected to `node`: dial it again, ever less often, until `forget`.

        Its addresses are tried in turn, at most `limits.BOOK_ADDRESSES`.
        """
        if any(parse_address(address).node not in (None, node) for address in addresses):
            raise LocalFault("address", "this address is another node's")
        if not addresses:
            raise LocalFault("address", "a node without an address cannot be kept")
        wanted = list(addresses[: limits.BOOK_ADDRESSES])
        kept = self._kept.get(node)
        if kept is not None:
            kept.addresses[:] = wanted
            return
        kept = self._kept[node] = _Kept(wanted)
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_up, node, kept)

    def forget(self, node: bytes) -> None:
        """Dial `node` no more; a connection that stands is left alone."""
        kept = self._kept.pop(node, None)
        if kept is not None:
            kept.scope.cancel()

    def kept(self) -> dict[bytes, tuple[str, ...]]:
        """The nodes that are dialled for as long as it takes, and where."""
        return {node: tuple(kept.addresses) for node, kept in self._kept.items()}

    def away(self) -> set[bytes]:
        """Those of them that could not be reached when last tried."""
        return {n for n, kept in self._kept.items() if kept.failure and n not in self._peers}

    def bar(self, node: bytes) -> None:
        """End the connection with `node`, and let none begin for `limits.BARRED_MS`."""
        now = trio.current_time()
        self._barred = {one: until for one, until in self._barred.items() if until > now}
        self._barred[node] = now + limits.BARRED_MS / 1000
        self.disconnect(node, "faults")

    def disconnect(self, node: bytes, reason: str) -> None:
        """End the connection with `node`, if there is one."""
        peer = self._peers.get(node)
        if peer is not None:
            peer.end(reason)

    def send(self, node: bytes, frame: bytes) -> bool:
        """Queue a frame for `node`; False when it is not connected or its queue is full.

        Also when the frame is too large: the size of an answer is not always in our hands.
        """
        if len(frame) > limits.MAX_FRAME_BYTES:
            _log.error("a frame is too large to send", bytes=len(frame))
            return False
        peer = self._peers.get(node)
        return peer is not None and peer.send(frame)

    def is_connected(self, node: bytes) -> bool:
        """Whether there is a connection with this attested node."""
        return node in self._peers

    def peers(self) -> dict[bytes, PeerStatus]:
        """Connected peers, and those that `keep` is still trying to reach."""
        statuses = {
            node: PeerStatus(connected=False, address=kept.addresses[0], failure=kept.failure)
            for node, kept in self._kept.items()
        }
        statuses.update((node, peer.status()) for node, peer in self._peers.items())
        return statuses

    def connections(self) -> dict[bytes, bool]:
        """The connected nodes, and whether we dialled them."""
        return {node: peer.is_dialled for node, peer in self._peers.items()}

    async def _dial(self, target: Address, address: str) -> bytes:
        if target.node is not None and target.node in self._peers:
            return target.node
        if self._nursery is None:
            raise LocalFault("stopped", "the network is not running")
        try:
            node: bytes = await self._nursery.start(self._run_dialed, target, address)
        except PeerFault as fault:
            if fault.code != "duplicate" or target.node is None:
                raise
            return await self._wait_for_rival(target.node, fault)
        return node

    async def _wait_for_rival(self, node: bytes, fault: PeerFault) -> bytes:
        """The peer has another link with us; it is here soon, or it is a dead one of ours."""
        with trio.move_on_after(self._timing.heartbeat_ms / 1000):
            while node not in self._peers:
                await self._connected.wait()
            return node
        raise fault

    async def _keep_up(self, node: bytes, kept: _Kept) -> None:
        delay_ms = _FIRST_RETRY_MS
        with kept.scope:
            while True:
                address = kept.addresses[0]
                target = parse_address(address)
                try:
                    await self._dial(replace(target, node=node), address)
                    lived_ms = await self._outlive(node)
                    kept.failure = ""
                    if lived_ms > _LAST_RETRY_MS:
                        delay_ms = _FIRST_RETRY_MS
                except Fault as fault:
                    kept.failure = str(fault)
                    if kept.addresses[0] == address:
                        kept.addresses.append(kept.addresses.pop(0))
                await trio.sleep(delay_ms * self._random.uniform(0.5, 1.5) / 1000)
                delay_ms = min(2 * delay_ms, _LAST_RETRY_MS)

    async def _outlive(self, node: bytes) -> float:
        """Wait until the connection with `node` ended; how long we did, in milliseconds."""
        began = trio.current_time()
        peer = self._peers.get(node)
        if peer is not None:
            await peer.ended.wait()
        return (trio.current_time() - began) * 1000

    async def _run_dialed(
        self,
        target: Address,
        address: str,
        task_status: trio.TaskStatus[bytes] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        started = False

        def start(node: bytes) -> None:
            nonlocal started
            started = True
            task_status.started(node)

        try:
            async with dial(target, NODES, self._timing.handshake_timeout_ms) as stream:
                await self._run_link(stream, address, target.node, start)
        except Exception as error:
            fault = fault_in(error)
            if fault is None:
                _log.error("connection failed", error=origin(error))
            if not started:
                raise fault or unexpected(error) from None

    async def _run_link(
        self,
        stream: trio.abc.Stream,
        address: str,
        node: bytes | None,
        start: Callable[[bytes], None],
    ) -> None:
        """A connection that we dialled, to its end; `start` is called once it is up."""
        from ccp2p.network.link import link

        held: list[bytes] = []
        try:
            async with link(
                stream,
                self.reception.identity,
                self.exchange(held).run,
                is_initiator=True,
                node=node,
                timeout_ms=self._timing.handshake_timeout_ms,
                window_bytes=WINDOW_BYTES,
                max_streams=MAX_STREAMS,
            ) as established:
                await self.take_in(established, address, held, start)
        finally:
            self.release(held)

    def exchange(self, held: list[bytes]) -> Exchange:
        """This network's part in a handshake; `release` what it put into `held` at the end."""
        return Exchange(self._attestor, self._network_id, partial(self._admit, held))

    def release(self, held: list[bytes]) -> None:
        """Let others connect as these nodes."""
        self._pending.difference_update(held)

    async def take_in(
        self, established: "Link", address: str, held: list[bytes], start: Callable[[bytes], None]
    ) -> None:
        """Serve an attested link to its end; `start` is called once it is up."""
        frames = await _frame_stream(established, self._timing.handshake_timeout_ms)
        peer = Peer(established.node, address, frames, established.connection)
        await self._make_place(peer.node)
        if self._nursery is None:
            raise LocalFault("stopped", "the network is not running")
        self._peers[peer.node] = peer
        self.release(held)
        await self._run_peer(peer, established, start)

    async def _run_peer(self, peer: Peer, link: "Link", start: Callable[[bytes], None]) -> None:
        reason = "stopped"
        self.events.note(Connected(peer.node, link.verdict))
        self._connected.set()
        self._connected = trio.Event()
        try:
            start(peer.node)
            reason = await peer.run(self.events, self._timing)
        finally:
            del self._peers[peer.node]
            self.events.note(Disconnected(peer.node, reason))
            peer.ended.set()

    async def _make_place(self, node: bytes) -> None:
        """End an older connection with this node; PeerFault while the node cannot keep up."""
        if self.events.is_full:
            raise PeerFault("busy", "too much waits for this node already")
        while node in self._peers:
            older = self._peers[node]
            older.end("replaced")
            await older.ended.wait()

    def _admit(self, held: list[bytes], node: bytes) -> str:
        """Refuse a second link with a node whose first is alive, if it is ours to decide."""
        if self._barred.get(node, 0.0) > trio.current_time():
            return "barred"
        if self.node > node:
            return ""
        alive_s = _ALIVE_HEARTBEATS * self._timing.heartbeat_ms / 1000
        peer = self._peers.get(node)
        if node in self._pending:
            return "duplicate"
        if peer is not None and trio.current_time() - peer.last_heard < alive_s:
            return "duplicate"
        self._pending.add(node)
        held.append(node)
        return ""


async def _frame_stream(established: "Link", timeout_ms: int) -> "YamuxStream":
    """The one stream of a link: opened by who dialed, accepted by the other."""
    try:
        with trio.fail_after(timeout_ms / 1000):
            if established.connection.is_initiator:
                return await established.open(FRAMES_PROTOCOL)
            while True:
                accepted = await established.accept(timeout_ms, FRAMES_PROTOCOL)
                if accepted is not None:
                    return accepted[1]
    except trio.TooSlowError:
        raise Unreachable("the peer opened no stream in time") from None
    except ConnectionLost as error:
        raise PeerFault("handshake", f"the connection was cut short: {error}") from None
