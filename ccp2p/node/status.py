"""How far a node is, for whoever asks."""

from ccp2p.model import codec, limits
from ccp2p.model.member_protocol import GetStatus, SeatStatus, Status
from ccp2p.node.executor import CommitRecord
from ccp2p.node.replica import Replica


def status_of(replica: Replica, query: GetStatus, connected: int) -> Status:
    """The roots after a commit that the replica still has on record; after the newest for 0."""
    record = _stored_commit(replica, query.commit or replica.executed)
    floor, roster = replica.floor, replica.registry.roster
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
