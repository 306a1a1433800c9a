"""Builds a seat's replica from what the disk holds: secrets, state, sessions, DAG, executor."""

from collections.abc import Callable

from ccp2p.consensus.validity import Rules
from ccp2p.model.epoch import parse_record
from ccp2p.model.errors import LocalFault
from ccp2p.node.api import ClientApi
from ccp2p.node.core import NodeCore
from ccp2p.node.executor import Executor
from ccp2p.node.floor import Floor
from ccp2p.node.meter import Meter
from ccp2p.node.recovery import recovered_log, recovered_state
from ccp2p.node.replica import Replica
from ccp2p.node.setup import NodeSetup
from ccp2p.sealing.secrets import EpochSecrets


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
    """The replica of a founded network.

    `secrets` are those of a founding that this process took part in; None walks the coin chain
    again, which takes seconds, and looks for the restart floor.
    """
    record, store = setup.record, setup.store
    if record is None or store is None:
        raise LocalFault("founding", "the network is not founded yet")
    parameters = setup.genesis.parameters
    committee = parse_record(record.signed.record).committee()
    me = committee.index_of(setup.identity.node)
    if me is None:
        raise LocalFault("identity", "this node's key has no seat in its network")
    just_founded = secrets is not None
    secrets = secrets or EpochSecrets(record.secret, parameters.coin_length)
    sign = setup.identity.signing.sign
    core = NodeCore(
        network=setup.network,
        committee=committee,
        me=me,
        parameters=parameters,
        coin=secrets.coin,
        sign=sign,
        recovered=recovered_log(store, committee, parameters.gc_depth),
        just_founded=just_founded,
    )
    machine, table = recovered_state(setup.network, setup.genesis, secrets, store, committee)
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
