"""A client's view of a network: verified connections to several of its nodes.

A session keeps to one node and moves to the next when it is lost, full or silent. A connection
that is lost is dialled and verified again, as long as the client lives; a node that fell behind
what is known is asked again later. Nodes that joined meanwhile become known with each new epoch.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import trio

from ccp2p.client.connection import NodeConnection, open_connection
from ccp2p.client.session import MemberSession
from ccp2p.client.verification import VerifiedNode
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import limits
from ccp2p.model.errors import AttestationFault, Behind, Fault, Unreachable, fault_in
from ccp2p.model.ticket import Ticket

_RETRY_INTERVAL_S = 1.0
_LAST_REDIAL_S = 15.0
_LOOK_S = 0.1  # between two looks at whether a node caught up


class NetworkClient:
    """Connections to nodes of one network, and the sessions that use them.

    `refused` says why addresses are not used. With `every_node` all nodes that become known are
    connected to, otherwise only when none is connected any more, or a session needs another.
    """

    def __init__(
        self,
        ticket: Ticket,
        allow_simulated: bool,
        timeout_ms: int,
        nursery: trio.Nursery,
        every_node: bool = False,
        whole_chain: bool = False,
    ) -> None:
        self.ticket = ticket
        self.refused: dict[str, Fault] = {}
        self.connections: list[NodeConnection] = []
        self._allow_simulated = allow_simulated
        self._timeout_ms = timeout_ms
        self._whole_chain = whole_chain
        self._every_node = every_node
        self._tried: set[str] = set()
        self._sessions: list[MemberSession] = []
        self._nursery = nursery

    @property
    def verified(self) -> VerifiedNode:
        """What was verified of the network, from the first connection."""
        return self.connections[0].node

    def pinned_ticket(self) -> Ticket:
        """The ticket, with what was verified: the record to hold others to, more addresses."""
        verified = self.verified
        addresses = dict.fromkeys([*self.ticket.addresses, *verified.client_addresses])
        return msgspec.structs.replace(
            self.ticket,
            record=verified.record_digest,
            addresses=tuple(addresses)[: limits.MAX_ADDRESSES],
        )

    def live(self) -> list[NodeConnection]:
        """Connections that are up."""
        return [c for c in self.connections if c.lost is None]

    def session(self, member: SigningKey, *, prefer: int = 0) -> MemberSession:
        """A new session for `member`; `prefer` spreads members over the connections."""
        session = MemberSession(
            member,
            self.verified,
            self._picker(prefer),
            self._everybody,
            invite=self.ticket.secret,
        )
        self._sessions.append(session)
        self._nursery.start_soon(session.renew)
        return session

    def _picker(self, prefer: int) -> Callable[[NodeConnection | None], NodeConnection]:
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

    def _everybody(self) -> list[NodeConnection]:
        self._dial_known()
        return self.live()

    async def retry(self) -> None:
        """Send again what got no answer, and look for more nodes, until cancelled."""
        while True:
            await trio.sleep(_RETRY_INTERVAL_S)
            for session in self._sessions:
                session.retry(trio.current_time())
            if self._every_node or not self.live():
                self._dial_known()

    def _dial_known(self) -> None:
        """Connect to what the ticket and the nodes name, and was not tried so far."""
        named = [a for connection in self.connections for a in connection.node.client_addresses]
        for address in dict.fromkeys([*self.ticket.addresses, *named]):
            if address not in self._tried:
                self._tried.add(address)
                self._nursery.start_soon(self.keep, address)

    async def connect(self) -> None:
        """The first connection, or one to every node; the gravest fault when there is none."""
        wanted = list(self.ticket.addresses)
        while wanted and (self._every_node or not self.connections):
            address = wanted.pop(0)
            if address in self._tried:
                continue
            self._tried.add(address)
            if await self._nursery.start(self.keep, address):
                wanted.extend(self.connections[-1].node.client_addresses)
        if any(isinstance(fault, Behind) for fault in self.refused.values()):
            with trio.move_on_after(self._timeout_ms / 1000):
                while not self.connections:
                    await trio.sleep(_LOOK_S)
        if not self.connections:
            raise _gravest(list(self.refused.values()))

    async def keep(
        self,
        address: str,
        *,
        task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hold a connection to `address`: started with whether the first try succeeded.

        Ends at once when it did not, when the node is connected by another address, or when it is
        refused; not when the node has yet to catch up, or was started without anybody waiting.
        """
        pause_s = 0.0
        while True:
            await trio.sleep(pause_s)
            pause_s = min(_LAST_REDIAL_S, 2 * pause_s or _RETRY_INTERVAL_S)
            try:
                async with self._open(address) as connection:
                    if not self._adopt(connection):
                        task_status.started(True)
                        return
                    task_status.started(True)
                    task_status, pause_s = trio.TASK_STATUS_IGNORED, 0.0
                    await connection.ended.wait()
            except (Fault, ExceptionGroup) as error:
                self.refused[address] = fault = _fault(error)
                is_behind = isinstance(fault, Behind)
                if task_status is not trio.TASK_STATUS_IGNORED:
                    task_status.started(False)
                    task_status = trio.TASK_STATUS_IGNORED
                    if not is_behind:
                        return
                if isinstance(fault, AttestationFault) and not is_behind:
                    return

    def _open(self, address: str) -> AbstractAsyncContextManager[NodeConnection]:
        # Two records for one epoch are refused: the newest that was shown pins all others.
        shown = max((c.node for c in self.connections), key=lambda n: n.record.epoch, default=None)
        return open_connection(
            address,
            self.ticket.network,
            shown.record_digest if shown else self.ticket.record,
            allow_simulated=self._allow_simulated,
            timeout_ms=self._timeout_ms,
            whole_chain=self._whole_chain and not self.connections,
            epoch=shown.record.epoch if shown else None,
        )

    def _adopt(self, connection: NodeConnection) -> bool:
        """Take a connection in, in the place of a lost one to the same node."""
        for index, held in enumerate(self.connections):
            if held.node.node == connection.node.node:
                if held.lost is None:
                    return False
                self.connections[index] = connection
                return True
        self.connections.append(connection)
        return True


@asynccontextmanager
async def open_network(
    ticket: Ticket,
    *,
    allow_simulated: bool,
    every_node: bool = False,
    timeout_ms: int = 10_000,
    whole_chain: bool = False,
) -> AsyncIterator[NetworkClient]:
    """Connect to the ticket's network: to the first node that is verified, or to all of them.

    With `whole_chain` the first one shows all epoch records, from record 0 on.

    Addresses that a verified node names are tried too. AttestationFault wins over Unreachable
    when nobody can be used, because it is the graver news.
    """
    async with trio.open_nursery() as nursery:
        client = NetworkClient(
            ticket, allow_simulated, timeout_ms, nursery, every_node, whole_chain
        )
        await client.connect()
        nursery.start_soon(client.retry)
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
