"""A client's view of a network: verified connections to several of its nodes.

A session keeps to one node while that lives and moves to the next when it does not.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from ccp2p.client.connection import NodeConnection, open_connection
from ccp2p.client.session import MemberSession
from ccp2p.client.verification import VerifiedNode
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import AttestationFault, Fault, Unreachable, fault_in
from ccp2p.model.ticket import Ticket

_RETRY_INTERVAL_S = 1.0


class NetworkClient:
    """Connections to nodes of one network, and the sessions that use them."""

    def __init__(
        self, ticket: Ticket, connections: list[NodeConnection], refused: dict[str, Fault]
    ) -> None:
        """`refused` says why addresses were not used."""
        self.ticket = ticket
        self.refused = refused
        self.connections = connections
        self._sessions: list[MemberSession] = []

    @property
    def verified(self) -> VerifiedNode:
        """What was verified of the network, from the first connection."""
        return self.connections[0].node

    def live(self) -> list[NodeConnection]:
        """Connections that are up."""
        return [c for c in self.connections if c.lost is None]

    def session(self, member: SigningKey, *, prefer: int = 0) -> MemberSession:
        """A new session for `member`; `prefer` spreads members over the connections."""
        session = MemberSession(
            member, self.verified, self._picker(prefer), invite=self.ticket.secret
        )
        self._sessions.append(session)
        return session

    def _picker(self, prefer: int):
        def pick(current: NodeConnection | None) -> NodeConnection:
            if current is not None and current.lost is None:
                return current
            live = self.live()
            if not live:
                raise Unreachable("no node of the network is connected")
            preferred = self.connections[prefer % len(self.connections)]
            # A lost node's members spread over the others instead of all taking the next one.
            return preferred if preferred.lost is None else live[prefer // 7 % len(live)]

        return pick

    async def run(self) -> None:
        """Retry what got no answer, until cancelled."""
        while True:
            await trio.sleep(_RETRY_INTERVAL_S)
            for session in self._sessions:
                session.retry(trio.current_time())


@asynccontextmanager
async def open_network(
    ticket: Ticket,
    *,
    allow_simulated: bool,
    addresses: Sequence[str] | None = None,
    every_node: bool = False,
    timeout_ms: int = 10_000,
) -> AsyncIterator[NetworkClient]:
    """Connect to the ticket's network: to the first node that is verified, or to all of them.

    Addresses that a verified node names are tried too. AttestationFault wins over Unreachable
    when nobody can be used, because it is the graver news.
    """
    wanted = list(addresses or ticket.addresses)
    connections: list[NodeConnection] = []
    refused: dict[str, Fault] = {}
    tried: set[str] = set()
    async with AsyncExitStack() as stack:
        while wanted:
            address = wanted.pop(0)
            if address in tried:
                continue
            tried.add(address)
            try:
                connection = await stack.enter_async_context(
                    open_connection(
                        address,
                        ticket.network,
                        ticket.record,
                        allow_simulated=allow_simulated,
                        timeout_ms=timeout_ms,
                    )
                )
            except (Fault, ExceptionGroup) as error:
                refused[address] = _fault(error)
                continue
            if any(c.node.node == connection.node.node for c in connections):
                continue
            connections.append(connection)
            if not every_node:
                break
            wanted.extend(connection.node.client_addresses)
        if not connections:
            raise _gravest(list(refused.values()))
        client = NetworkClient(ticket, connections, refused)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            try:
                yield client
            finally:
                nursery.cancel_scope.cancel()


def _fault(error: Fault | ExceptionGroup[Exception]) -> Fault:
    fault = fault_in(error)
    if fault is None:
        raise error
    return fault


def _gravest(faults: list[Fault]) -> Fault:
    for fault in faults:
        if isinstance(fault, AttestationFault):
            return fault
    if not faults:
        return Unreachable("the ticket names no address")
    return faults[0]
