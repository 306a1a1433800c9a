"""Whether other nodes reach this one, and the relays that take its connections where they do not.

Attested peers are asked to dial back, as different ones as there are. One that saw us come from
somewhere and reached nobody there shows that a NAT box or a firewall is between: then that peer,
and a second one, are asked to relay. What a peer says here costs a detour at worst.

All networks of a process are reached at the same two ports, so whoever is a peer in one of them may
be asked, and what it relays may be of any.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, origin
from ccp2p.network import ClientListener, PeerNetwork, Reception
from ccp2p.network.addresses import (
    format_address,
    ip_of,
    node_at,
    origin_of,
    parse_address,
    relayed_address,
)
from ccp2p.network.circuits import MEMBERS, PROTOCOL, Door
from ccp2p.network.relay import Relay
from ccp2p.network.reservation import probe, reserve

_log = structlog.get_logger()

_GLANCE_S: Final = 0.1
_AGAIN_S: Final = 300.0  # between two looks at whether we are reached
_FIRST_AGAIN_S: Final = 10.0  # while nobody could say
_PATIENCE_S: Final = 8.0  # before this node says where it is; a probe that fails takes its time
_RETRY_S: Final = 3.0
_LAST_RETRY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Said:
    relay: str
    host: str
    is_reached: bool


class Reachability:
    """Keeps a process's two listeners reachable, and relays for others. `run` it in a nursery."""

    def __init__(
        self, key_seed: bytes, reception: Reception, listener: ClientListener, randomness: Random
    ) -> None:
        self.state: Literal["unknown", "direct", "relayed", "unreachable"] = "unknown"
        self.relay = Relay(self._is_peer)
        self._key_seed = key_seed
        self._reception = reception
        self._listener = listener
        self._random = randomness
        self._settled = trio.Event()
        self._look = trio.Event()
        self._known: dict[PeerNetwork, Callable[[], Iterable[str]]] = {}
        self._held: dict[str, trio.CancelScope] = {}
        self._standing: set[str] = set()
        self._outside: str = ""  # where a NAT box or router passes our ports on
        listener.services[PROTOCOL] = self.relay.serve

    @contextmanager
    def among(self, peers: PeerNetwork, known: Callable[[], Iterable[str]]) -> Iterator[None]:
        """One more network, whose peers are asked and relayed for meanwhile.

        `known()` are its nodes' listeners for members, as far as they are known.
        """
        self._known[peers] = known
        try:
            yield
        finally:
            del self._known[peers]

    async def settle(self) -> None:
        """Wait until it is known whether we are reached, and a relay stands where we are not."""
        with trio.move_on_after(_PATIENCE_S):
            await self._settled.wait()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        if not any(_may_be_reached(text) for text in self._listener.addresses):
            self._settled.set()
            return
        async with trio.open_nursery() as nursery:
            while True:
                asked = self._peers_to_ask()
                if not asked:
                    await trio.sleep(_GLANCE_S if not self._settled.is_set() else _RETRY_S)
                    continue
                said = await self._ask(asked)
                self._judge(said, nursery)
                self._look = trio.Event()
                with trio.move_on_after(_AGAIN_S if said else _FIRST_AGAIN_S):
                    await self._look.wait()

    def _peers_to_ask(self) -> list[str]:
        """Members' listeners of attested peers, one of each subnet first."""
        known = dict.fromkeys(text for told in self._known.values() for text in told())
        found = [text for text in known if self._is_direct_peer(text)]
        self._random.shuffle(found)
        by_origin = {origin_of(text): text for text in found}
        chosen = dict.fromkeys((*by_origin.values(), *found))
        return list(chosen)[: limits.RELAYS_ASKED]

    async def _ask(self, relays: list[str]) -> list[_Said]:
        said: list[_Said] = []
        node_port = parse_address(self._reception.addresses[0]).port
        client_port = parse_address(self._listener.addresses[0]).port

        async def ask(relay: str) -> None:
            try:
                told = await probe(relay, self._key_seed, node_port, client_port)
                said.append(_Said(relay, told.host, told.is_reached))
            except Fault as fault:
                _log.debug("a peer could not say whether it reaches us", code=fault.code)
            except Exception as error:
                _log.error("a probe failed", error=origin(error))

        async with trio.open_nursery() as nursery:
            for relay in relays:
                nursery.start_soon(ask, relay)
        return said

    def _judge(self, said: list[_Said], nursery: trio.Nursery) -> None:
        if not said:
            return
        own = {parse_address(text).host for text in self._listener.addresses}
        outside = [one.host for one in said if one.is_reached and one.host not in own]
        # One that lies names any host: what most of them saw counts.
        self._outside = Counter(outside).most_common(1)[0][0] if outside else ""
        failing = [one.relay for one in said if not one.is_reached]
        if not failing:
            for scope in self._held.values():
                scope.cancel()
        for relay in failing:
            if relay not in self._held and len(self._held) < limits.RELAYS_USED:
                scope = self._held[relay] = trio.CancelScope()
                nursery.start_soon(self._hold, relay, scope)
        if not failing:
            self._tell()

    async def _hold(self, relay: str, scope: trio.CancelScope) -> None:
        """Keep a reservation, until another look finds us reached, or the relay is no peer."""
        delay_s = _RETRY_S

        def held() -> None:
            nonlocal delay_s
            delay_s = _RETRY_S
            self._standing.add(relay)
            self._tell()

        with scope:
            while self._is_direct_peer(relay):
                try:
                    await reserve(relay, self._key_seed, self._take, held)
                except Fault as fault:
                    _log.info("a relay is gone", reason=str(fault))
                except Exception as error:
                    _log.error("a reservation failed", error=origin(error))
                self._standing.discard(relay)
                self._tell()
                await trio.sleep(delay_s * self._random.uniform(0.5, 1.5))
                delay_s = min(2 * delay_s, _LAST_RETRY_S)
        self._standing.discard(relay)
        if self._held.get(relay) is scope:
            del self._held[relay]
        self._tell()
        self._look.set()

    async def _take(self, door: Door, stream: trio.abc.Stream) -> None:
        if door == MEMBERS:
            await self._listener.take(stream, "relay")
        else:
            await self._reception.take(stream, "relay")

    def _tell(self) -> None:
        """What others are told from now on of where we are."""
        own = self._reception.identity.node
        for target in (self._reception, self._listener):
            outside = []
            if self._outside:
                port = parse_address(target.addresses[0]).port
                outside = [format_address(self._outside, port, own)]
            through = [relayed_address(one, own) for one in sorted(self._standing)]
            target.relayed = (*outside, *through)
        if self._standing:
            self.state = "relayed"
        else:
            self.state = "unreachable" if self._held else "direct"
        if self.state != "unreachable":
            self._settled.set()

    def _is_peer(self, node: bytes) -> bool:
        return any(peers.is_connected(node) for peers in self._known)

    def _is_direct_peer(self, text: str) -> bool:
        node = node_at(text)
        return node is not None and parse_address(text).relay is None and self._is_peer(node)


def _may_be_reached(text: str) -> bool:
    host = ip_of(text)
    return host is not None and not host.is_loopback
