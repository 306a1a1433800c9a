"""What all networks of one process share: its keys, its two listeners, and the turns of their work.

So they share how the process is reached and what it knows of others beyond its networks: one node
of the overlay, one relay, and one look at whether it needs relays itself.

Nodes and members come in by one port each and say which network they mean: nodes by their route
(`network.proof`), members in their Hello. Whoever does not know a network's id learns nothing of
it there: not that it is here, nor how many others are.
"""

import os
import time
from collections.abc import Iterable
from random import Random
from typing import Final

import trio

from ccp2p.model.errors import LocalFault, MemberFault
from ccp2p.model.member_protocol import (
    Hello,
    Refusal,
    Refused,
    decode_client_message,
    encode_message,
)
from ccp2p.network import ClientListener, FrameStream, Reception
from ccp2p.network.addresses import listen_address, node_at, parse_address
from ccp2p.network.kademlia.service import PROTOCOL, KademliaService
from ccp2p.node.api import ClientApi
from ccp2p.node.home import Listen
from ccp2p.node.meter import Meter
from ccp2p.node.reachability import Reachability
from ccp2p.node.turns import Share, Turns
from ccp2p.sealing.identity import Identity

_THREADS_AT_ONCE: Final = max(2, os.cpu_count() or 1)


class Premises:
    """The node's place in the world; `run` it in a nursery before its networks."""

    def __init__(self, identity: Identity, listen: Listen, bootstrap: tuple[str, ...] = ()) -> None:
        """`bootstrap` are addresses of nodes that know others beyond the local network."""
        self.is_bootstrapped = bool(bootstrap)
        self.reception = Reception(
            key_seed=identity.signing_seed, listen=listen_address(listen.host, listen.node_port)
        )
        self.listener = ClientListener(
            key_seed=identity.signing_seed,
            listen=listen_address(listen.host, listen.client_port),
            handler=self._serve,
        )
        randomness = Random()
        self.reach = Reachability(identity.signing_seed, self.reception, self.listener, randomness)
        self.overlay = KademliaService(
            identity.signing_seed,
            identity.node,
            _of_others(bootstrap, identity.node),
            _unix_ms,
            randomness,
        )
        self._takes_part = trio.Event()
        self._listen = listen
        self._loop = Turns(1, yields=True)
        self._threads = Turns(_THREADS_AT_ONCE)
        self._apis: dict[bytes, ClientApi] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, and see that others reach this, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.reception.run)
            await nursery.start(self.listener.run)
            nursery.start_soon(self.reach.run)
            task_status.started()
            await self._takes_part.wait()
            await self.overlay.run()

    @property
    def ports(self) -> Listen:
        """Where this is, once it runs."""
        return Listen(
            self._listen.host,
            parse_address(self.reception.addresses[0]).port,
            parse_address(self.listener.addresses[0]).port,
        )

    def take_part(self, addresses: Iterable[str]) -> None:
        """Be in the overlay from now on; `addresses` are of nodes that may be in it, too."""
        self.overlay.know(_of_others(addresses, self.overlay.core.own))
        self.listener.services[PROTOCOL] = self.overlay.serve
        self._takes_part.set()

    @property
    def asked_at(self) -> int:
        """The port at which others of the overlay may ask us; 0 while they do not reach us."""
        is_asked = self.reach.state in ("unknown", "direct")
        return parse_address(self.listener.addresses[0]).port if is_asked else 0

    def share(self, meter: Meter) -> Share:
        """One more network's share of this process."""
        return Share(meter, self._loop, self._threads)

    def open(self, network: bytes, api: ClientApi) -> None:
        """Lead members of this network to `api`."""
        if network in self._apis:
            raise LocalFault("network", "this process runs that network already")
        self._apis[network] = api

    def shut(self, network: bytes) -> None:
        """Lead them there no more."""
        api = self._apis.pop(network, None)
        if api is not None:
            api.close()

    async def _serve(self, stream: FrameStream) -> None:
        first = await stream.receive()
        message = decode_client_message(first, MemberFault)
        network = message.network if isinstance(message, Hello) else b""
        api = self._api(network)
        if api is not None:
            await api.serve(stream, network, message)
            return
        refusal = Refusal(network[:32], "no-network", "this node is not of the network asked for")
        await stream.send(encode_message(Refused((refusal,))))

    def _api(self, network: bytes) -> ClientApi | None:
        """Whoever names none means the only one."""
        if not network and len(self._apis) == 1:
            return next(iter(self._apis.values()))
        return self._apis.get(network)


def _of_others(addresses: Iterable[str], own: bytes) -> list[str]:
    """Those that name their node, and another one than us."""
    return [text for text in addresses if node_at(text) not in (None, own)]


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
