"""What a start takes from the disk: the DAG and its commits, the state, the open sessions."""

import sys

from ccp2p.consensus.messages import Recovered
from ccp2p.execution.machine import StateMachine
from ccp2p.model import codec, limits
from ccp2p.model.block import Block, VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import Genesis
from ccp2p.node.executor import CommitRecord
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.sealing.session import SessionContext
from ccp2p.sealing.table import SessionTable
from ccp2p.storage.store import Store


def recovered_state(
    network: bytes, genesis: Genesis, secrets: EpochSecrets, store: Store, committee: Committee
) -> tuple[StateMachine, SessionTable]:
    """The state and the sessions after the newest stored commit; LocalFault when they differ."""
    newest = store.newest_commit(committee.epoch)
    data = store.commit(committee.epoch, newest) if newest else None
    last = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES, LocalFault) if data else None
    machine = StateMachine(
        network=network,
        app=genesis.app,
        salt_key=secrets.salt_key,
        load_bucket=store.bucket,
        protocol=genesis.parameters.protocol,
        checkpoint_interval=genesis.parameters.checkpoint_interval,
    )
    if last is not None:
        machine.restore(store.buckets(), last.state_root)
    context = SessionContext(network, committee.epoch, genesis.parameters.aead)
    table = SessionTable(context, secrets.epoch_key, genesis.member_invite)
    table.restore(machine.session_records(), machine.last_of)
    return machine, table


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
    held = store.blocks_above(epoch, [floor] * committee.size, sys.maxsize)
    blocks = tuple(VerifiedBlock.trust(Block.parse(data)) for data in held)
    return Recovered(blocks=blocks, commits=commits) if blocks else None
