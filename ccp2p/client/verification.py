"""What a client checks before it trusts a node: design section 5, step 1.

The ticket's network id pins the genesis, hence policy, app and parameters; the genesis pins the
first node; record 0 is signed by every founder, each later one by a quorum of the epoch before;
evidence binds the node's keys to a fresh nonce.
"""

from dataclasses import dataclass

from ccp2p.attestation.binding import report_data
from ccp2p.attestation.bundle import parse_bundle
from ccp2p.attestation.policy import Policy, parse_policy
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import verify_bundle
from ccp2p.crypto import signatures
from ccp2p.membership.records import Link, check_chain
from ccp2p.model import codec, limits
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_digest
from ccp2p.model.errors import AttestationFault, PeerFault
from ccp2p.model.genesis import Genesis, network_id, parse_genesis
from ccp2p.model.member_protocol import Welcome


@dataclass(frozen=True, slots=True)
class VerifiedNode:
    """A node whose evidence and records hold, and the network that it is of.

    `record` is the newest epoch record, signed by `signers` seats; `seat` is None for an observer
    of its epoch; `genesis_bytes` are what hashes to the network id. `recoveries` are the records of
    the chain shown, but for the known one, by which governors went on from a lost epoch.
    """

    node: bytes
    seat: int | None
    network: bytes
    genesis: Genesis
    policy: Policy
    record: EpochRecord
    record_digest: bytes
    signers: int
    verdict: Verdict
    client_addresses: tuple[str, ...]
    genesis_bytes: bytes
    recoveries: tuple[EpochRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the client knows beforehand. An empty `record` pins none yet.

    `remote` is the key that the transport showed; `at` is Unix seconds.
    """

    network: bytes
    record: bytes
    remote: bytes
    nonce: bytes
    at: int
    allow_simulated: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A network that its first node invites other nodes to found; that node's evidence holds."""

    welcome: Welcome
    genesis: Genesis
    policy: Policy
    verdict: Verdict


def verify_offer(welcome: Welcome, expected: Expectation) -> Offer:
    """What a node is about to take part in; AttestationFault or PeerFault says why it must not."""
    genesis = _check_genesis(welcome, expected)
    policy = _check_policy(genesis, expected)
    if not welcome.records and welcome.node != genesis.first_node:
        raise AttestationFault("only a network's first node gathers its founders", ("first-node",))
    return Offer(welcome, genesis, policy, _check_evidence(welcome, expected, policy))


def verify_welcome(welcome: Welcome, expected: Expectation) -> VerifiedNode:
    """The node behind a welcome; AttestationFault or PeerFault says why it is not trusted."""
    genesis = _check_genesis(welcome, expected)
    policy = _check_policy(genesis, expected)
    verdict = _check_evidence(welcome, expected, policy)
    links = _check_records(welcome, expected, genesis, policy)
    record, digest = links[-1]
    seat = record.committee().index_of(welcome.node)
    if seat is not None and record.seats[seat].sealing != welcome.sealing:
        raise AttestationFault("the node's sealing key is not its seat's", ("sealing",))
    return VerifiedNode(
        welcome.node,
        seat,
        expected.network,
        genesis,
        policy,
        record,
        digest,
        _signers(welcome),
        verdict,
        welcome.client_addresses[: limits.MAX_ADDRESSES],
        welcome.genesis,
        tuple(
            link.record
            for link in links
            if link.record.recovery is not None and link.digest != expected.record
        ),
    )


def verify_history(welcome: Welcome, known: VerifiedNode) -> list[SignedEpochRecord]:
    """All records of a welcome, from record 0; AttestationFault unless they lead to what is known.

    Evidence is not checked again.
    """
    records = _records(welcome)
    try:
        check_chain(
            records,
            known.genesis,
            known.network,
            known.policy.caps.vendor,
            signatures.verify_batch,
            known.record_digest,
        )
    except PeerFault as fault:
        raise AttestationFault(str(fault), (fault.code,)) from None
    return records


def _records(welcome: Welcome) -> list[SignedEpochRecord]:
    return [
        codec.decode(data, SignedEpochRecord, limits.MAX_SIGNED_RECORD_BYTES)
        for data in welcome.records
    ]


def _check_records(
    welcome: Welcome, expected: Expectation, genesis: Genesis, policy: Policy
) -> list[Link]:
    """The links of the chain of epoch records, which must hold what was known before."""
    if not welcome.records:
        raise PeerFault("not-founded", "the network is still being founded: try again later")
    records = _records(welcome)
    digests = [record_digest(signed.record) for signed in records]
    if expected.record and expected.record not in digests:
        raise AttestationFault(
            f"two records for one epoch: this node shows {digests[-1].hex()} as its newest, and "
            f"known before was {expected.record.hex()}. It fell behind, or somebody lies; do not "
            "use it",
            ("record",),
        )
    try:
        links = check_chain(
            records,
            genesis,
            expected.network,
            policy.caps.vendor,
            signatures.verify_batch,
            expected.record,
        )
    except PeerFault as fault:
        raise AttestationFault(str(fault), (fault.code,)) from None
    return links


def _signers(welcome: Welcome) -> int:
    newest = codec.decode(welcome.records[-1], SignedEpochRecord, limits.MAX_SIGNED_RECORD_BYTES)
    return len(newest.signatures)


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
