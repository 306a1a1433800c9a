"""What a node needs of one epoch, from what its disk holds: DAG, state, sessions, roster. No IO.

The real node and the simulated one start every epoch here, be it the one that they stopped in or
the one that they have just crossed into.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ccp2p.execution.machine import StateMachine
from ccp2p.membership.means import Means
from ccp2p.membership.records import Link
from ccp2p.model import limits
from ccp2p.model.epoch import SignedEpochRecord, parse_record, record_digest
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import Genesis
from ccp2p.node.core import NodeCore
from ccp2p.node.executor import Executor
from ccp2p.node.meter import Meter
from ccp2p.node.recovery import recovered_log, recovered_state, resume_checkpoints
from ccp2p.node.roster_keeper import RosterKeeper, begun_roster
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.storage.store import Store


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an epoch's executor and rules ask of the node around them.

    `means(link, machine)` are the membership rules' for one epoch. `check_policy(text)` raises
    MemberFault for a policy that governors may not bring in.
    """

    means: Callable[[Link, StateMachine], Means]
    check_policy: Callable[[str], object]
    waits_for: Callable[[bytes], bool]
    meter: Meter
    cache_bytes: int = limits.STATE_CACHE_BYTES


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch as it stands; `votes` are ours that may have been lost, to be ordered again."""

    link: Link
    core: NodeCore
    executor: Executor
    votes: list[bytes]


def link_of(signed: SignedEpochRecord) -> Link:
    """The link of a record that was checked before."""
    return Link(parse_record(signed.record), record_digest(signed.record))


def resume_epoch(
    genesis: Genesis,
    identity: Identity,
    link: Link,
    secrets: EpochSecrets,
    store: Store,
    around: Surroundings,
    *,
    saw_begin: bool,
    before: StateMachine | None = None,
) -> Epoch:
    """The epoch of `link` as `store` holds it; LocalFault when the two do not go together.

    `saw_begin`: this very process was there when the epoch began, so it never proposed in it and
    looks for no floor. `before` is the machine of the epoch that this process was in, if any: from
    here on the new epoch may change it.
    """
    network, parameters = link.record.network, genesis.parameters
    committee = link.record.committee()
    me, sign = committee.index_of(identity.node), identity.signing.sign
    core = NodeCore(
        network=network,
        committee=committee,
        me=me,
        parameters=parameters,
        coin=secrets.coin,
        sign=sign,
        recovered=recovered_log(store, committee, parameters.gc_depth),
        just_founded=saw_begin,
        ledger_time_ms=link.record.ledger_time_ms if committee.epoch else 0,
    )
    machine, table = recovered_state(
        network,
        genesis,
        secrets,
        store,
        link.record,
        around.check_policy,
        around.cache_bytes,
        before,
    )
    roster = begun_roster(link.record, machine.roster)
    if roster.epoch != committee.epoch:
        raise LocalFault("roster", "the stored roster is of another epoch than the record")
    interval = parameters.checkpoint_interval
    executor = Executor(
        network=network,
        committee=committee,
        me=me,
        sign=sign,
        machine=machine,
        table=table,
        keeper=RosterKeeper(link, roster, around.means(link, machine), interval),
        interval=interval,
        waits_for=around.waits_for,
        meter=around.meter,
    )
    votes = resume_checkpoints(executor, store, committee, parameters)
    return Epoch(link, core, executor, votes)
