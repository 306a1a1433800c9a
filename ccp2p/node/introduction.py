"""What a node says of itself in a network: tickets, the welcome for a client, how far it is."""

from ccp2p.model import codec, limits
from ccp2p.model.epoch import first_page, record_digest
from ccp2p.model.member_protocol import GetStatus, Hello, SeatStatus, Status, Welcome
from ccp2p.model.ticket import Ticket
from ccp2p.node.attestor import NodeAttestor
from ccp2p.node.executor import CommitRecord
from ccp2p.node.replica import Replica
from ccp2p.node.setup import NodeSetup


def tickets_of(setup: NodeSetup, clients: tuple[str, ...]) -> tuple[Ticket | None, Ticket | None]:
    """(member, node) tickets, where this node holds the genesis's invites, or needs none."""
    record = record_digest(setup.record.signed.record) if setup.record else b""

    def ticket(role: str, secret: bytes) -> Ticket | None:
        if not secret and not setup.genesis.is_open:
            return None
        return Ticket(
            setup.network,
            setup.genesis.name,
            role,  # type: ignore[arg-type]
            setup.policy.is_simulated,
            record,
            clients[: limits.TICKET_ADDRESSES],
            secret,
            kind=setup.genesis.kind,
        )

    return ticket("member", setup.member_invite), ticket("node", setup.node_invite)


def welcome_of(
    setup: NodeSetup,
    attestor: NodeAttestor,
    hello: Hello,
    peers: tuple[str, ...],
    clients: tuple[str, ...],
) -> Welcome:
    """Fresh evidence over a client's nonce, and what it is checked against.

    `peers` and `clients` are addresses of this network's nodes.
    """
    records = first_page(setup.record.since(hello.pinned)) if setup.record else ()
    return Welcome(
        genesis=setup.genesis_bytes,
        records=tuple(codec.encode(signed) for signed in records),
        node=setup.identity.node,
        sealing=setup.identity.sealing.public,
        evidence=attestor.bundle(hello.nonce),
        node_addresses=peers,
        client_addresses=clients,
        policy=setup.amended_policy,
    )


def status_of(replica: Replica, query: GetStatus, connected: int) -> Status:
    """The roots after a commit that the replica still has on record; after the newest for 0."""
    record = _stored_commit(replica, query.commit or replica.executed)
    floor, roster = replica.seat.floor, replica.registry.roster
    return Status(
        number=query.number,
        epoch=replica.epoch,
        commit=record.commit.index if record else 0,
        chain=record.commit.digest if record else b"",
        state_root=record.state_root if record else b"",
        ledger_time_ms=record.commit.ledger_time_ms if record else 0,
        round=replica.core.consensus.round,
        certified=replica.executor.certified,
        connected=connected,
        floor=f"{floor.by}:{floor.round}" if floor else "",
        seats=tuple(
            SeatStatus(member.node, member.tee, member.since_epoch, last)
            for member, last in zip(
                roster.members, replica.core.consensus.last_rounds, strict=False
            )
        ),
        observers=tuple(observer.node for observer in roster.observers),
        outcomes_root=record.outcomes_root if record else b"",
        waits=replica.patience.waits,
    )


def _stored_commit(replica: Replica, index: int) -> CommitRecord | None:
    if not 0 < index <= replica.executed:
        return None
    data = replica.store.commit(replica.epoch, index)
    return codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES) if data else None
