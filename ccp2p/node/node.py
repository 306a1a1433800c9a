"""A node as a process: its peers, its client listener, its network from founding to shutdown."""

import gc
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog
import trio

from ccp2p.execution.machine import StateMachine
from ccp2p.model import codec, limits
from ccp2p.model.envelope import unpad
from ccp2p.model.epoch import record_digest
from ccp2p.model.errors import MemberFault
from ccp2p.model.member_protocol import (
    GetStatus,
    Query,
    QueryResult,
    Reply,
    Status,
    Welcome,
)
from ccp2p.model.ticket import Ticket
from ccp2p.network import ClientListener, Connected, Disconnected, FrameReceived, PeerNetwork
from ccp2p.node import founding
from ccp2p.node.api import ClientApi
from ccp2p.node.assembly import build_replica
from ccp2p.node.executor import CommitRecord
from ccp2p.node.floor import Floor
from ccp2p.node.home import Listen
from ccp2p.node.meter import Meter
from ccp2p.node.network_record import NetworkRecord, NodeAddresses
from ccp2p.node.replica import Replica
from ccp2p.node.setup import NodeSetup
from ccp2p.sealing import session as sessions
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets

_log = structlog.get_logger()

_TICKET_ADDRESSES = 2  # the verified node names the others; a ticket should fit a message


@dataclass(frozen=True, slots=True)
class Reports:
    """What the process tells its operator as it happens."""

    listening: Callable[["Node"], None]
    progress: Callable[[str], None]
    ready: Callable[["Node"], None]
    floor: Callable[[Floor], None]


def unix_ms() -> int:
    """The local clock, in milliseconds. It dates blocks and bounds waits, nothing else."""
    return time.time_ns() // 1_000_000


class Node:
    """One node of one network."""

    def __init__(self, setup: NodeSetup, reports: Reports) -> None:
        self.setup = setup
        self._reports = reports
        self.meter = Meter()
        self._attestor = setup.attestor(unix_ms)
        self._api = ClientApi(self)
        host = setup.listen.host
        self.peers = PeerNetwork(
            key_seed=setup.identity.signing_seed,
            attestor=self._attestor,
            listen=f"/ip4/{host}/tcp/{setup.listen.node_port}",
            network_id=setup.network,
        )
        self.listener = ClientListener(
            key_seed=setup.identity.signing_seed,
            listen=f"/ip4/{host}/tcp/{setup.listen.client_port}",
            handler=self._api.serve,
        )
        self._connected: set[bytes] = set()
        self._replica: Replica | None = None

    @property
    def epoch(self) -> int | None:
        """The epoch that accepts envelopes, or None while the network is being founded."""
        return 0 if self._replica is not None else None

    async def run(self) -> None:
        """Serve until cancelled. LocalFault when this node has to stop, and why."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.peers.run)
                await nursery.start(self.listener.run)
                self.setup.home.keep_listen(self._ports())
                self._reports.listening(self)
                frames = self._frames()
                secrets = None if self.setup.record else await self._found(frames)
                self._replica = await self._build_replica(secrets)
                gc.freeze()  # what a node starts with stays; do not look through it again
                self._keep_peers()
                self._reports.ready(self)
                await self._replica.run(frames)
        finally:
            if self.setup.store is not None:
                self.setup.store.close()

    def tickets(self) -> tuple[Ticket | None, Ticket | None]:
        """(member, node) tickets, where this node holds the invites."""
        setup = self.setup
        record = record_digest(setup.record.signed.record) if setup.record else b""
        clients = self._client_addresses()[:_TICKET_ADDRESSES]

        def ticket(role: str, secret: bytes) -> Ticket | None:
            if not secret:
                return None
            return Ticket(
                setup.network,
                setup.genesis.name,
                role,  # type: ignore[arg-type]
                setup.policy.is_simulated,
                record,
                clients,
                secret,
            )

        return ticket("member", setup.member_invite), ticket("node", setup.node_invite)

    def welcome(self, nonce: bytes, pinned: bytes = b"") -> Welcome:
        """Fresh evidence over a client's nonce, and what it is checked against."""
        setup = self.setup
        records = setup.record.since(pinned) if setup.record else ()
        return Welcome(
            genesis=setup.genesis_bytes,
            records=tuple(codec.encode(signed) for signed in records),
            node=setup.identity.node,
            sealing=setup.identity.sealing.public,
            evidence=self._attestor.bundle(nonce),
            node_addresses=self.peers.addresses,
            client_addresses=self._client_addresses(),
        )

    def submit(self, envelopes: list[bytes]) -> int:
        """Queue a client's envelopes for the next blocks."""
        return self._replica.submit(envelopes) if self._replica else 0

    async def query(self, query: Query) -> Reply:
        """Answer a member's read from the executed state."""
        replica = self._replica
        if replica is None:
            return Reply(query.number, b"", "not-founded")
        table, machine = replica.executor.table, replica.executor.machine
        async with replica.execution_turn:
            session = table.find(query.session)
            if session is None:
                return Reply(query.number, b"", "no-session")
            body = sessions.open_query(
                table.context, session.keys, query.session, query.number, query.sealed
            )
            if body is None:
                return Reply(query.number, b"", "sealed")
            member = session.record.member
            result = await trio.to_thread.run_sync(_ask, machine, member, body)
        sealed = sessions.seal_reply(
            table.context, session.keys, query.session, query.number, result
        )
        return Reply(query.number, sealed, "")

    def status(self, query: GetStatus) -> Status:
        """How far this node is, or its roots after a commit that it still has on record."""
        replica = self._replica
        if replica is None:
            return Status(query.number, 0, 0, b"", b"", 0, 0, 0, 0, "")
        index = query.commit or replica.executed
        data = self._stored_commit(index)
        record = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES) if data else None
        floor = replica.floor
        return Status(
            number=query.number,
            epoch=0,
            commit=record.commit.index if record else 0,
            chain=record.commit.digest if record else b"",
            state_root=record.state_root if record else b"",
            ledger_time_ms=record.commit.ledger_time_ms if record else 0,
            round=replica.core.consensus.round,
            certified=replica.executor.certified,
            connected=len(self._connected),
            floor=f"{floor.by}:{floor.round}" if floor else "",
        )

    def _stored_commit(self, index: int) -> bytes | None:
        replica = self._replica
        if replica is None or not 0 < index <= replica.executed:
            return None
        return replica.store.commit(0, index)

    def _client_addresses(self) -> tuple[str, ...]:
        others = [a for a in self._addresses() if a.node != self.setup.identity.node]
        known = [*self.listener.addresses, *(address for a in others for address in a.clients)]
        return tuple(known[: limits.MAX_ADDRESSES])

    def _addresses(self) -> tuple[NodeAddresses, ...]:
        return self.setup.record.addresses if self.setup.record else ()

    def _ports(self) -> Listen:
        return Listen(
            self.setup.listen.host,
            _port(self.peers.addresses[0]),
            _port(self.listener.addresses[0]),
        )

    async def _frames(self) -> AsyncIterator[tuple[bytes, bytes]]:
        async for event in self.peers.events:
            if isinstance(event, FrameReceived):
                yield event.node, event.frame
            elif isinstance(event, Connected):
                self._connected.add(event.node)
                _log.info("peer attested", node=event.node.hex()[:16])
            elif isinstance(event, Disconnected):
                self._connected.discard(event.node)
                _log.info("peer gone", node=event.node.hex()[:16], reason=event.reason)

    async def _found(self, frames: AsyncIterator[tuple[bytes, bytes]]) -> EpochSecrets:
        setup = self.setup
        founder = founding.Founder(
            genesis=setup.genesis,
            network=setup.network,
            identity=setup.identity,
            attestor=self._attestor,
            addresses=self.peers.addresses,
            client_addresses=self.listener.addresses,
            send_frame=self.peers.send,
            report=self._reports.progress,
        )
        if setup.ticket is None or not setup.first_addresses:
            founded = await founding.lead(founder, frames, os.urandom(SECRET_BYTES))
        else:
            await self.peers.dial(setup.first_addresses[0])
            founded = await founding.follow(
                founder,
                frames,
                setup.ticket.secret,
                lambda digest: setup.home.mark_signed(setup.network, digest),
            )
        record = NetworkRecord(
            setup.genesis_bytes,
            (founded.signed,),
            founded.secrets.secret,
            tuple(
                NodeAddresses(request.node, request.addresses, request.client_addresses)
                for request in founded.requests
            ),
            setup.member_invite,
            setup.node_invite,
        )
        store = setup.create_store()
        await trio.to_thread.run_sync(record.save, store)
        self.setup = setup.founded(record, store)
        return founded.secrets

    def _keep_peers(self) -> None:
        for entry in self._addresses():
            if entry.node != self.setup.identity.node and entry.peers:
                self.peers.keep(entry.node, entry.peers[0])

    async def _build_replica(self, secrets: EpochSecrets | None) -> Replica:
        return await trio.to_thread.run_sync(
            lambda: build_replica(
                self.setup,
                secrets,
                send=self.peers.send,
                api=self._api,
                clock=unix_ms,
                found_floor=self._reports.floor,
                meter=self.meter,
            )
        )


def _ask(machine: StateMachine, member: bytes, padded: bytes) -> bytes:
    """An encoded QueryResult; a member's fault is part of the answer."""
    try:
        return codec.encode(QueryResult("", machine.query(member, unpad(padded))))
    except MemberFault as fault:
        return codec.encode(QueryResult(fault.code, b""))


def _port(address: str) -> int:
    parts = address.split("/")
    return int(parts[parts.index("tcp") + 1])
