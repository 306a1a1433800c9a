"""What the membership rules ask of a node: a verdict at the ledger's time, invites, amendments."""

from contextlib import suppress
from functools import partial

from ccp2p.attestation.policy import Policy
from ccp2p.crypto import signatures
from ccp2p.execution.machine import StateMachine
from ccp2p.membership.means import Judged, Means
from ccp2p.membership.records import Link
from ccp2p.membership.sampling import Sampling
from ccp2p.model.errors import PeerFault
from ccp2p.model.host_commands import INVITE_REFUSALS, invite_digest
from ccp2p.node.amendments import Amendments
from ccp2p.node.attestor import NodeAttestor


def means_of(
    network: bytes,
    policy: Policy,
    sampling: Sampling | None,
    attestor: NodeAttestor,
    link: Link,
    machine: StateMachine,
) -> Means:
    """Those of the epoch of `link`, in which `policy` is in force."""
    amendments = Amendments(machine, link.record.epoch, policy)
    return Means(
        network=network,
        record=link.digest,
        coin_anchor=link.record.coin_anchor,
        epoch_key=link.record.epoch_key,
        vendor_cap=policy.caps.vendor,
        judge=partial(_judge, attestor, amendments),
        admit=partial(_admit, machine),
        verify=signatures.verify,
        adopted=amendments.adopted,
        sampling=sampling,
    )


def _judge(
    attestor: NodeAttestor,
    amendments: Amendments,
    node: bytes,
    sealing: bytes,
    anchor: bytes,
    bundle: bytes,
    at_s: int,
) -> Judged:
    """Evidence must satisfy the policy in force; whether it does the one to come is remembered."""
    if not signatures.is_admissible_key(node):
        raise PeerFault("key", "a node's key is not a valid point")
    in_force, *coming = amendments.policies()
    verdict = attestor.judge(node, sealing, anchor, bundle, at_s, in_force)
    satisfied = [in_force.digest]
    for policy in coming:
        with suppress(PeerFault):
            attestor.judge(node, sealing, anchor, bundle, at_s, policy)
            satisfied.append(policy.digest)
    return Judged(verdict.platform_id, verdict.vendor, verdict.tee, tuple(satisfied))


def _admit(machine: StateMachine, invite: bytes, time_ms: int) -> None:
    refusal = machine.admit_node(invite_digest(invite), time_ms)
    if refusal is not None:
        raise PeerFault(refusal, INVITE_REFUSALS[refusal])
