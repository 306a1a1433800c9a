"""Where nodes come in: one port and one identity, for every network that this process is of.

Which network a dialer means is known after the handshake, from its route (`proof`); what it is told
before that is the same whatever networks there are here.
"""

from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, LocalFault, PeerFault, origin
from ccp2p.network import proof
from ccp2p.network.addresses import parse_address
from ccp2p.network.door import Door, Place, host_of
from ccp2p.network.peer import Timing
from ccp2p.network.session import Session
from ccp2p.network.sockets import addresses_of, listen_tcp

if TYPE_CHECKING:
    from ccp2p.network.link import Identity
    from ccp2p.network.peers import PeerNetwork

_log = structlog.get_logger()

WINDOW_BYTES: Final = 1024 * 1024  # in flight to us from one peer
MAX_STREAMS: Final = 1  # at once on one link: the frames


class Reception:
    """Our listener for nodes; `run` it in a nursery. Networks come and go by `open` and `shut`."""

    def __init__(
        self,
        *,
        key_seed: bytes,
        listen: str = "/ip4/127.0.0.1/tcp/0",
        timing: Timing | None = None,
    ) -> None:
        """`key_seed` is the node's Ed25519 seed; `listen` a multiaddress of ours."""
        self.addresses: tuple[str, ...] = ()
        self.relayed: tuple[str, ...] = ()  # where relays take connections for us
        self.refusals: Counter[str] = Counter()  # of those who reached no network, by code
        self._listen = parse_address(listen)
        self._key_seed = key_seed
        self._timeout_ms = (timing or Timing()).handshake_timeout_ms
        self._identity: Identity | None = None
        self._networks: dict[bytes, PeerNetwork] = {}
        self._handshaking = Door(limits.MAX_HANDSHAKES, limits.HANDSHAKES_OF_HOST)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        listeners = await listen_tcp(self._listen)
        self.addresses = addresses_of(listeners, self.identity.node)
        task_status.started()
        await trio.serve_listeners(self._accept, listeners)

    @property
    def announced(self) -> tuple[str, ...]:
        """Where others reach us, best first: who needs a relay is not reached otherwise."""
        return (*self.relayed, *self.addresses)

    @property
    def identity(self) -> "Identity":
        """The node's libp2p identity, of all its networks."""
        from ccp2p.network.link import Identity

        if self._identity is None:
            self._identity = Identity(self._key_seed)
        return self._identity

    @property
    def handshakes(self) -> int:
        """Inbound connections that have not finished their handshake."""
        return self._handshaking.inside

    def open(self, network_id: bytes, network: "PeerNetwork") -> None:
        """Let nodes of this network in. LocalFault when one of that id is here already."""
        if network_id in self._networks:
            raise LocalFault("network", "this process runs that network already")
        self._networks[network_id] = network

    def shut(self, network_id: bytes) -> None:
        """Let no more of them in."""
        self._networks.pop(network_id, None)

    async def _accept(self, stream: trio.SocketStream) -> None:
        await self.take(stream, host_of(stream))

    async def take(self, stream: trio.abc.Stream, host: str) -> None:
        """Let somebody in who comes from `host`, and serve the connection to its end.

        One that came through a relay is taken as one that came by itself.
        """
        has_room = any(network.has_room for network in self._networks.values())
        entering = self._handshaking.take(host) if has_room else None
        if entering is None:
            self.refusals["full"] += 1
            await trio.aclose_forcefully(stream)
            return
        arrival = _Arrival(self._networks)
        try:
            await self._take_in(stream, arrival, entering)
        except Fault as fault:
            arrival.counter(self.refusals)[fault.code] += 1
            _log.debug("inbound connection refused", code=fault.code)
        except Exception as error:
            arrival.counter(self.refusals)["error"] += 1
            _log.error("inbound connection failed", error=origin(error))
        finally:
            arrival.release()
            entering.give_back()

    async def _take_in(self, stream: trio.abc.Stream, arrival: "_Arrival", entering: Place) -> None:
        from ccp2p.network.link import link

        async with link(
            stream,
            self.identity,
            arrival.exchange,
            is_initiator=False,
            timeout_ms=self._timeout_ms,
            window_bytes=WINDOW_BYTES,
            max_streams=MAX_STREAMS,
        ) as established:
            if arrival.network is None:
                raise LocalFault("stopped", "the network went away meanwhile")
            await arrival.network.take_in(
                established, "", arrival.held, lambda _node: entering.give_back()
            )


class _Arrival:
    """One inbound connection on its way to the network that it asks for."""

    def __init__(self, networks: "dict[bytes, PeerNetwork]") -> None:
        self.network: PeerNetwork | None = None
        self.held: list[bytes] = []
        self._networks = networks

    async def exchange(self, session: Session) -> object:
        """The attested exchange, by the rules of the network that the dialer means."""
        return await proof.answer(session, self._find)

    def _find(self, handshake_hash: bytes, route: bytes) -> proof.Exchange | None:
        for network_id, network in self._networks.items():
            if route == proof.route_of(network_id, handshake_hash):
                self.network = network
                if not network.has_room:
                    raise PeerFault("full", "this network has as many peers as it may")
                return network.exchange(self.held)
        return None

    def counter(self, otherwise: Counter[str]) -> Counter[str]:
        """Whose refusal this is."""
        return self.network.refused if self.network is not None else otherwise

    def release(self) -> None:
        """Give up what this connection holds of its network."""
        if self.network is not None:
            self.network.release(self.held)
