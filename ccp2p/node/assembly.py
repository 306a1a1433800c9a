"""Builds an epoch's replica: what its disk holds, and what this node has around it."""

import os
from collections.abc import Callable, Mapping
from functools import partial

from ccp2p.attestation.policy import check_amended
from ccp2p.consensus.validity import Rules
from ccp2p.membership.events import JoinRequest
from ccp2p.membership.roster import Roster
from ccp2p.model.epoch import parse_record, record_digest
from ccp2p.model.errors import LocalFault
from ccp2p.node.at_rest import coming_shares
from ccp2p.node.attestor import NodeAttestor
from ccp2p.node.courier import Courier
from ccp2p.node.drawing import sampling_of
from ccp2p.node.epoch import Surroundings, link_of, resume_epoch
from ccp2p.node.floor import Floor
from ccp2p.node.means import means_of
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.quota import Allowance
from ccp2p.node.replica import Replica
from ccp2p.node.setup import NodeSetup
from ccp2p.node.steward import STEWARD, Steward
from ccp2p.node.survivor import kept_pledge
from ccp2p.node.turns import Share
from ccp2p.sealing.secrets import EpochSecrets


def build_replica(
    setup: NodeSetup,
    secrets: EpochSecrets | None,
    *,
    attestor: NodeAttestor,
    saw_begin: bool,
    send: Callable[[bytes, bytes], bool],
    connections: Callable[[], Mapping[bytes, bool]],
    deliver: Callable[[list[tuple[bytes, bytes]], list[tuple[bytes, str]]], None],
    waits_for: Callable[[bytes], bool],
    clock: Callable[[], int],
    found_floor: Callable[[Floor], None],
    share: Share,
    blamed: Callable[[bytes, str, int], bool],
    allowance: Allowance,
    join_request: Callable[[bytes], JoinRequest],
    before: Replica | None = None,
) -> Replica:
    """The replica of the newest epoch on record.

    `secrets` of None walks the coin chain again, which takes seconds. `saw_begin`: this very
    process was there when the epoch began, so it never proposed in it and looks for no floor.
    `before` is this process's last replica, whose `execution_turn` the caller has.
    """
    record, store = setup.record, setup.store
    if record is None or store is None:
        raise LocalFault("founding", "the network is not founded yet")
    parameters = setup.genesis.parameters
    epoch = resume_epoch(
        setup.genesis,
        setup.identity,
        link_of(record.signed),
        secrets or EpochSecrets(record.secret, parameters.coin_length),
        store,
        Surroundings(
            partial(means_of, setup.network, setup.policy, sampling_of(setup.genesis), attestor),
            partial(check_amended, setup.policy),
            waits_for,
            share.meter,
            setup.quota.cache_bytes,
        ),
        saw_begin=saw_begin,
        before=before.executor.machine if before is not None else None,
    )
    committee = epoch.core.committee
    replica = Replica(
        core=epoch.core,
        executor=epoch.executor,
        rules=Rules.of(setup.network, committee, parameters),
        store=store,
        link=epoch.link,
        record=record,
        steward=steward_of(setup, attestor, record, join_request),
        identity=setup.identity,
        parameters=parameters,
        send=send,
        connections=connections,
        deliver=deliver,
        clock=clock,
        found_floor=found_floor,
        share=share,
        blamed=blamed,
        courier=partial(Courier, allowance=allowance, queue_bytes=setup.quota.queue_bytes),
    )
    if before is not None:
        replica.execution_turn = before.execution_turn  # who still reads there may read this state
    replica.seat.queue_votes(epoch.votes)
    return replica


def steward_of(
    setup: NodeSetup,
    attestor: NodeAttestor,
    record: NetworkRecord,
    join_request: Callable[[bytes], JoinRequest] | None = None,
) -> Steward:
    """This node's steward in the newest epoch on record, with what it kept of it.

    `join_request(anchor)` makes a request with fresh evidence.
    """
    newest = parse_record(record.signed.record)
    epoch = newest.epoch
    steward = Steward(
        network=setup.network,
        epoch=epoch,
        identity=setup.identity,
        coin_length=setup.genesis.parameters.coin_length,
        vendor_cap=setup.policy.caps.vendor,
        sampling=sampling_of(setup.genesis),
        begun_ms=newest.ledger_time_ms,
        randomness=os.urandom,
        secret=record.secret,
        kept=setup.store.meta(STEWARD) if setup.store else None,
        shares=partial(coming_shares, setup.genesis.parameters, parse_record(record.signed.record)),
        ask_again=partial(_ask_again, record, join_request) if join_request else None,
        record=record_digest(record.signed.record),
        evidence=attestor.bundle,
    )
    pledge = kept_pledge(setup.store, epoch) if setup.store else None
    if pledge is not None:
        steward.adopt(EpochSecrets(pledge.secret, setup.genesis.parameters.coin_length))
    return steward


def _ask_again(
    record: NetworkRecord, join_request: Callable[[bytes], JoinRequest], roster: Roster
) -> JoinRequest:
    anchors = roster.anchors
    return join_request(anchors[-1][1] if anchors else record_digest(record.signed.record))
