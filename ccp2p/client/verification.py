"""What a client checks before it trusts a node: design section 5, step 1.

The ticket's network id pins the genesis, hence app, parameters and the first policy and governors;
the genesis pins the first node; record 0 is signed by every founder, each later one by a quorum of
the epoch before, and it says which policy is in force; evidence binds the node's keys to a fresh
nonce.
"""

from dataclasses import dataclass

from ccp2p.attestation.binding import report_data
from ccp2p.attestation.bundle import parse_bundle
from ccp2p.attestation.policy import Policy, check_amended, parse_policy
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import verify_bundle
from ccp2p.crypto import signatures
from ccp2p.membership.records import Link, check_chain
from ccp2p.model import codec, limits
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, parse_record, record_digest
from ccp2p.model.errors import AttestationFault, Behind, MemberFault, PeerFault
from ccp2p.model.genesis import Genesis, network_id, parse_genesis, policy_digest
from ccp2p.model.member_protocol import Welcome


@dataclass(frozen=True, slots=True)
class VerifiedNode:
    """A node whose evidence and records hold, and the network that it is of.

    `record` is the newest epoch record, signed by `signers` seats, and `policy` the one in force by
    it; `records` are the chain that the node showed. `seat` is None for an observer of its epoch;
    `sealing` is the key that secrets for it are sealed to, `genesis_bytes` are what hashes to the
    network id.
    """

    node: bytes
    seat: int | None
    network: bytes
    genesis: Genesis
    policy: Policy
    record: EpochRecord
    record_digest: bytes
    sealing: bytes
    signers: int
    verdict: Verdict
    client_addresses: tuple[str, ...]
    genesis_bytes: bytes
    records: tuple[SignedEpochRecord, ...]

    @property
    def recoveries(self) -> tuple[EpochRecord, ...]:
        """The records after the first one shown by which governors went on from a lost epoch."""
        later = [parse_record(signed.record) for signed in self.records[1:]]
        return tuple(record for record in later if record.recovery is not None)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the client knows beforehand. An empty `record` pins none yet.

    `epoch` is the record's, where it is known. `remote` is the key that the transport showed; `at`
    is Unix seconds.
    """

    network: bytes
    record: bytes
    remote: bytes
    nonce: bytes
    at: int
    allow_simulated: bool
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A network that nodes are invited to found or to enter; the inviting node's evidence holds.

    `governors` and `threshold` are those of today.
    """

    welcome: Welcome
    genesis: Genesis
    policy: Policy
    verdict: Verdict
    governors: tuple[bytes, ...]
    threshold: int


def verify_offer(welcome: Welcome, expected: Expectation) -> Offer:
    """What a node is about to take part in; AttestationFault or PeerFault says why it must not."""
    genesis = _check_genesis(welcome, expected)
    policy = _check_policy(genesis, expected)
    governors, threshold = genesis.governors, genesis.governor_threshold
    if welcome.records:
        record = _check_records(welcome, expected, genesis, policy)[-1].record
        policy = _policy_in_force(welcome, genesis, policy, record)
        governors, threshold = record.governors, record.governor_threshold
    elif welcome.node != genesis.first_node:
        raise AttestationFault("only a network's first node gathers its founders", ("first-node",))
    verdict = _check_evidence(welcome, expected, policy)
    return Offer(welcome, genesis, policy, verdict, governors, threshold)


def verify_welcome(welcome: Welcome, expected: Expectation) -> VerifiedNode:
    """The node behind a welcome; AttestationFault or PeerFault says why it is not trusted."""
    genesis = _check_genesis(welcome, expected)
    first_policy = _check_policy(genesis, expected)
    record, digest = _check_records(welcome, expected, genesis, first_policy)[-1]
    policy = _policy_in_force(welcome, genesis, first_policy, record)
    verdict = _check_evidence(welcome, expected, policy)
    seat = record.committee().index_of(welcome.node)
    if seat is not None and record.seats[seat].sealing != welcome.sealing:
        raise AttestationFault("the node's sealing key is not its seat's", ("sealing",))
    records = _shown(welcome)
    return VerifiedNode(
        welcome.node,
        seat,
        expected.network,
        genesis,
        policy,
        record,
        digest,
        welcome.sealing,
        len(records[-1].signatures),
        verdict,
        welcome.client_addresses[: limits.MAX_ADDRESSES],
        welcome.genesis,
        records,
    )


def _shown(welcome: Welcome) -> tuple[SignedEpochRecord, ...]:
    return tuple(
        codec.decode(data, SignedEpochRecord, limits.MAX_SIGNED_RECORD_BYTES)
        for data in welcome.records
    )


def _policy_in_force(
    welcome: Welcome, genesis: Genesis, first_policy: Policy, record: EpochRecord
) -> Policy:
    """The policy that the newest record names; its text comes with the welcome when it changed."""
    text = welcome.policy or genesis.policy
    if policy_digest(text) != record.policy_digest:
        raise AttestationFault(
            f"the node shows another policy than the one in force in epoch {record.epoch}",
            ("policy",),
        )
    try:
        return check_amended(first_policy, text)
    except MemberFault as fault:
        raise AttestationFault(f"the network's policy: {fault}", ("policy",)) from None


def _check_records(
    welcome: Welcome, expected: Expectation, genesis: Genesis, policy: Policy
) -> list[Link]:
    """The links of the chain of epoch records, which must hold what was known before."""
    if not welcome.records:
        raise PeerFault("not-founded", "the network is still being founded: try again later")
    records = _shown(welcome)
    digests = [record_digest(signed.record) for signed in records]
    if expected.record and expected.record not in digests:
        raise _without_the_known_record(records[-1], expected)
    try:
        return check_chain(
            records,
            genesis,
            expected.network,
            policy.caps.vendor,
            signatures.verify_batch,
            expected.record,
        )
    except PeerFault as fault:
        raise AttestationFault(str(fault), (fault.code,)) from None


def _without_the_known_record(newest: SignedEpochRecord, expected: Expectation) -> AttestationFault:
    """Behind, as far as one can tell: a ticket does not say of which epoch its record is."""
    words = f"{record_digest(newest.record).hex()} as its newest, and known before was "
    words += expected.record.hex()
    epoch = parse_record(newest.record).epoch
    if expected.epoch is not None and epoch >= expected.epoch:
        return AttestationFault(
            f"two records for one epoch: this node shows {words}. Somebody lies; do not use it",
            ("record",),
        )
    return Behind(
        f"this node shows {words}. It fell behind and will catch up, or there are two records for "
        "one epoch and somebody lies: ask another node, or again later",
        ("record",),
    )


def _check_genesis(welcome: Welcome, expected: Expectation) -> Genesis:
    if network_id(welcome.genesis) != expected.network:
        raise AttestationFault(
            "the node at this address is not of the ticket's network: the ticket is wrong, or "
            "somebody answers in its place",
            ("network-id",),
        )
    if welcome.node != expected.remote:
        raise AttestationFault("the node shows another key than its connection", ("node-key",))
    return parse_genesis(welcome.genesis)


def _check_policy(genesis: Genesis, expected: Expectation) -> Policy:
    policy = parse_policy(genesis.policy)
    if policy.is_simulated and not expected.allow_simulated:
        raise AttestationFault(
            "this network runs on simulated TEEs, which protect nothing: it is NOT confidential. "
            "Pass --allow-simulated if that is what you want",
            ("simulated",),
        )
    return policy


def _check_evidence(welcome: Welcome, expected: Expectation, policy: Policy) -> Verdict:
    if len(welcome.sealing) != 32:
        raise PeerFault("malformed", "a node's sealing key has 32 bytes")
    data = report_data(expected.network, welcome.node, welcome.sealing, expected.nonce)
    verdict = verify_bundle(
        parse_bundle(welcome.evidence),
        policy,
        expected.at,
        salt=expected.network,
        report_data=data,
    )
    return verdict.require()
