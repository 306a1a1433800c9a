"""What a start takes from the disk: the DAG and its commits, the state, the open sessions."""

from collections.abc import Callable, Iterator

from ccp2p.consensus.messages import CommittedBlocks, Recovered
from ccp2p.execution.governance import Governors
from ccp2p.execution.machine import StateMachine
from ccp2p.model import codec, limits
from ccp2p.model.block import Block, VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.epoch import EpochRecord
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import Genesis, Parameters
from ccp2p.node.executor import CommitRecord, Executor
from ccp2p.node.receipts import image_commit, newest_checkpoint
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.sealing.session import SessionContext
from ccp2p.sealing.table import SessionTable
from ccp2p.storage.store import Store


def recovered_state(
    network: bytes,
    genesis: Genesis,
    secrets: EpochSecrets,
    store: Store,
    record: EpochRecord,
    check_policy: Callable[[str], object],
    cache_bytes: int,
    before: StateMachine | None = None,
) -> tuple[StateMachine, SessionTable]:
    """The state and the sessions after the newest stored commit of the record's epoch.

    Before its first commit they are as CLOSE left them. LocalFault when the store differs.
    `check_policy` raises MemberFault for one that governors may not bring in. `before` goes on, if
    it holds this very state: all of it need not be read from the disk again.
    """
    epoch = record.epoch
    newest = store.newest_commit(epoch)
    governors = Governors(record.governors, record.governor_threshold, check_policy)
    context = SessionContext(network, epoch, genesis.parameters.aead)
    table = SessionTable(context, secrets.epoch_key)
    is_same = before is not None and before.is_stored and before.state_root == record.state_root
    if before is not None and is_same and not newest:
        before.begin_epoch(secrets.salt_key, record.protocol, governors)
        return before, table
    data = store.commit(epoch, newest) if newest else None
    last = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES, LocalFault) if data else None
    machine = StateMachine(
        network=network,
        app=genesis.app,
        salt_key=secrets.salt_key,
        load_bucket=store.bucket,
        protocol=record.protocol,
        governors=governors,
        member_invite=genesis.member_invite,
        node_invite=genesis.node_invite,
        is_open=genesis.is_open,
        cache_bytes=cache_bytes,
    )
    if last is not None or epoch > 0:
        machine.restore(store.buckets(), last.state_root if last else record.state_root)
    sessions = [session for session in machine.session_records() if session.epoch == epoch]
    table.restore(sessions, machine.last_of)
    return machine, table


def commit_window(store: Store, epoch: int, newest: int, gc_depth: int) -> tuple[bytes, ...]:
    """Encoded CommitRecords up to `newest`, back to one at or below its gc round, or the first."""
    found: list[bytes] = []
    floor = None
    for index in range(newest, 0, -1):
        data = store.commit(epoch, index)
        if data is None:
            raise LocalFault("recovered-commits", "a commit within the gc depth is not on record")
        found.append(data)
        round_ = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES).commit.leader.round
        floor = round_ - gc_depth if floor is None else floor
        if round_ <= floor:
            break
    return tuple(reversed(found))


def recovered_log(store: Store, committee: Committee, gc_depth: int) -> Recovered | None:
    """The DAG and the commits that the disk holds; every block was verified before it got there."""
    epoch = committee.epoch
    newest = store.newest_commit(epoch)
    # Rounds above the garbage collection round, with a commit a slot at the most, and some slack.
    first = max(1, newest - 2 * gc_depth * committee.size)
    commits = tuple(
        codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES, LocalFault).commit
        for _, data in store.commits(epoch, first, newest)
    )
    floor = max(0, commits[-1].leader.round - gc_depth) if commits else 0
    held = store.blocks_above(epoch, [floor] * committee.size)
    blocks = tuple(VerifiedBlock.trust(Block.parse(data)) for data in held)
    return Recovered(blocks=blocks, commits=commits) if blocks else None


def resume_checkpoints(
    executor: Executor, store: Store, committee: Committee, parameters: Parameters
) -> list[bytes]:
    """Take up the checkpoints that had too few votes when this node stopped; our votes for them.

    Only those whose commits were executed here: a fetched image's roots are others' word.
    """
    epoch, interval = committee.epoch, parameters.checkpoint_interval
    certified = newest_checkpoint(store, epoch)
    newest = store.newest_commit(epoch)
    oldest = newest // interval - limits.MAX_OPEN_CHECKPOINTS + 1
    settled = max(certified.checkpoint.commit if certified else 0, image_commit(store, epoch))
    first = max(settled // interval + 1, oldest)
    return executor.resume(certified, _executed_log(store, epoch, first * interval, newest))


def _executed_log(
    store: Store, epoch: int, first: int, newest: int
) -> Iterator[tuple[CommitRecord, CommittedBlocks]]:
    for _, data in store.commits(epoch, first, newest):
        record = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES, LocalFault)
        held = (store.block(reference) for reference in record.commit.blocks)
        blocks = tuple(VerifiedBlock.trust(Block.parse(block)) for block in held if block)
        yield record, CommittedBlocks(record.commit, blocks)
