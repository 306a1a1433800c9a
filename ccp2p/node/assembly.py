"""Builds a seat's replica from what the disk holds: secrets, state, sessions, DAG, executor."""

import sys
from collections.abc import Callable

from ccp2p.consensus.messages import Recovered
from ccp2p.consensus.validity import Rules
from ccp2p.execution.machine import StateMachine
from ccp2p.model import codec, limits
from ccp2p.model.block import Block, VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.epoch import parse_record
from ccp2p.model.errors import LocalFault
from ccp2p.node.api import ClientApi
from ccp2p.node.core import NodeCore
from ccp2p.node.executor import CommitRecord, Executor
from ccp2p.node.floor import Floor
from ccp2p.node.meter import Meter
from ccp2p.node.replica import Replica
from ccp2p.node.setup import NodeSetup
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.sealing.session import SessionContext
from ccp2p.sealing.table import SessionTable
from ccp2p.storage.store import Store


def build_replica(
    setup: NodeSetup,
    secrets: EpochSecrets | None,
    *,
    send: Callable[[bytes, bytes], bool],
    api: ClientApi,
    clock: Callable[[], int],
    found_floor: Callable[[Floor], None],
    meter: Meter,
) -> Replica:
    """The replica of a founded network. Walks the coin chain when `secrets` is None: seconds."""
    record, store = setup.record, setup.store
    if record is None or store is None:
        raise LocalFault("founding", "the network is not founded yet")
    parameters = setup.genesis.parameters
    committee = parse_record(record.signed.record).committee()
    me = committee.index_of(setup.identity.node)
    if me is None:
        raise LocalFault("identity", "this node's key has no seat in its network")
    secrets = secrets or EpochSecrets(record.secret, parameters.coin_length)
    sign = setup.identity.signing.sign
    core = NodeCore(
        network=setup.network,
        committee=committee,
        me=me,
        parameters=parameters,
        coin=secrets.coin,
        sign=sign,
        recovered=_recovered(store, committee, parameters.gc_depth),
    )
    machine, table = _state(setup, secrets, store, committee)
    executor = Executor(
        network=setup.network,
        committee=committee,
        me=me,
        sign=sign,
        machine=machine,
        table=table,
        interval=parameters.checkpoint_interval,
        waits_for=api.waits_for,
        meter=meter,
    )
    return Replica(
        core=core,
        executor=executor,
        rules=Rules.of(setup.network, committee, parameters),
        store=store,
        send=send,
        deliver=api.deliver,
        clock=clock,
        found_floor=found_floor,
        meter=meter,
    )


def _state(
    setup: NodeSetup, secrets: EpochSecrets, store: Store, committee: Committee
) -> tuple[StateMachine, SessionTable]:
    newest = store.newest_commit(committee.epoch)
    data = store.commit(committee.epoch, newest) if newest else None
    last = codec.decode(data, CommitRecord, limits.MAX_FRAME_BYTES, LocalFault) if data else None
    machine = StateMachine(
        network=setup.network,
        app=setup.genesis.app,
        salt_key=secrets.salt_key,
        load_bucket=store.bucket,
        protocol=setup.genesis.parameters.protocol,
        checkpoint_interval=setup.genesis.parameters.checkpoint_interval,
    )
    if last is not None:
        machine.restore(store.buckets(), last.state_root)
    table = SessionTable(
        SessionContext(setup.network, committee.epoch, setup.genesis.parameters.aead),
        secrets.epoch_key,
        setup.genesis.member_invite,
    )
    table.restore(machine.session_records(), machine.last_of)
    return machine, table


def _recovered(store: Store, committee: Committee, gc_depth: int) -> Recovered | None:
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
