"""The chain of epoch records: how one follows from CLOSE, and how a chain is checked.

Record 0 is signed by all of its committee; record e+1 by Q of the committee of e, whose members
executed CLOSE and so computed the very same bytes. Policy and governors stay as they are, but where
enough governors of e approved an amendment, which then comes with the record. Where e lost its
quorum, governors and whoever goes on take the place of Q (`recovery`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from ccp2p.membership import recovery
from ccp2p.membership.approvals import count_approvals
from ccp2p.membership.founding import VerifyBatch, check_founding, check_shared
from ccp2p.membership.rules import Closed
from ccp2p.model.amendment import (
    Amendment,
    amendment_digest,
    approval_bytes,
    parse_amendment,
)
from ccp2p.model.commit import Commit
from ccp2p.model.epoch import (
    EpochRecord,
    SignedEpochRecord,
    parse_record,
    record_digest,
    record_signed_bytes,
)
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Genesis, policy_digest


class Roots(NamedTuple):
    """The roots after a commit."""

    state: bytes
    outcomes: bytes


class Adopted(NamedTuple):
    """An amendment's bytes, and who of its epoch's governors approved it: (index, signature)."""

    amendment: bytes
    approvals: tuple[tuple[int, bytes], ...]


class Link(NamedTuple):
    """A checked record and its digest."""

    record: EpochRecord
    digest: bytes


def successor(
    previous: Link, closed: Closed, commit: Commit, roots: Roots, amendment_bytes: bytes = b""
) -> EpochRecord:
    """The record that follows from a CLOSE in `commit`, which brings an amendment in, or none."""
    record = previous.record
    amendment = parse_amendment(amendment_bytes) if amendment_bytes else None
    constitution = _constitution_after(record, amendment)
    return EpochRecord(
        network=record.network,
        epoch=record.epoch + 1,
        predecessor=previous.digest,
        seats=tuple(member.seat for member in closed.change.members),
        policy_digest=constitution.policy_digest,
        governors=constitution.governors,
        governor_threshold=constitution.governor_threshold,
        measurements=record.measurements,
        coin_anchor=closed.proposal.coin_anchor,
        epoch_key=closed.proposal.epoch_key,
        close_commit=commit.index,
        close_chain=commit.digest,
        state_root=roots.state,
        outcomes_root=roots.outcomes,
        ledger_time_ms=commit.ledger_time_ms,
        protocol=record.protocol,
        amendment=amendment_digest(amendment_bytes) if amendment_bytes else b"",
        # Members may have been left out since the proposal; one alone shares nothing.
        shares=closed.proposal.shares if len(closed.change.members) > 1 else (),
    )


def policy_in_force(genesis: Genesis, records: Sequence[SignedEpochRecord]) -> str:
    """The text of the policy after a checked chain from record 0 on."""
    for signed in reversed(records):
        if signed.amendment:
            policy = parse_amendment(signed.amendment).policy
            if policy:
                return policy
    return genesis.policy


class _Constitution(NamedTuple):
    """What of a record only governors change."""

    policy_digest: bytes
    governors: tuple[bytes, ...]
    governor_threshold: int


def _constitution_after(before: EpochRecord, amendment: Amendment | None) -> _Constitution:
    policy = before.policy_digest
    governors, threshold = before.governors, before.governor_threshold
    if amendment is not None and amendment.policy:
        policy = policy_digest(amendment.policy)
    if amendment is not None and amendment.governors:
        governors, threshold = amendment.governors, amendment.governor_threshold
    return _Constitution(policy, governors, threshold)


def check_approvals(adopted: Adopted, before: EpochRecord, verify_batch: VerifyBatch) -> Amendment:
    """The amendment, once enough governors of the epoch of `before` approved it for that epoch."""
    amendment = parse_amendment(adopted.amendment)
    _require(
        (amendment.network, amendment.epoch) == (before.network, before.epoch),
        "an amendment of another network or epoch",
    )
    message = approval_bytes(before.network, amendment_digest(adopted.amendment))
    count = count_approvals(adopted.approvals, before.governors, message, verify_batch)
    _require(
        count >= before.governor_threshold >= 1,
        f"an amendment that {count} governors of epoch {before.epoch} approved: "
        f"{before.governor_threshold} must",
    )
    return amendment


def check_successor(signed: SignedEpochRecord, previous: Link, verify_batch: VerifyBatch) -> Link:
    """The next link of the chain; PeerFault (code `record`, or the codec's) when it is none."""
    record = parse_record(signed.record)
    before = previous.record
    _check_follows(record, previous)
    _require(
        record.coin_anchor != before.coin_anchor and record.epoch_key != before.epoch_key,
        "a record that keeps its predecessor's secrets",
    )
    if record.recovery is not None:
        recovery.check_signed(signed, record, before, verify_batch)
    else:
        _check_constitution(signed, record, before, verify_batch)
        _check_quorum(signed, record, before, verify_batch)
    return Link(record, record_digest(signed.record))


def check_plan(
    plan_bytes: bytes,
    approvals: Sequence[tuple[int, bytes]],
    previous: Link,
    verify_batch: VerifyBatch,
) -> EpochRecord:
    """The plan of a recovery that may follow `previous`, once enough governors approved it."""
    plan = parse_record(plan_bytes)
    _check_follows(plan, previous)
    recovery.check_follows(plan, previous.record)
    _require(plan == recovery.plan_of(plan), "a plan that names secrets")
    recovery.check_approvals(plan, approvals, previous.record, verify_batch)
    return plan


def _check_follows(record: EpochRecord, previous: Link) -> None:
    before = previous.record
    _require(record.network == before.network, "a record of another network")
    _require(record.epoch == before.epoch + 1, "a record of another epoch than the next")
    _require(record.predecessor == previous.digest, "a record with another predecessor")
    _require(record.ledger_time_ms >= before.ledger_time_ms, "a record whose time goes backwards")
    platforms = {seat.platform_id for seat in record.seats}
    _require(len(platforms) == len(record.seats), "a record that gives one platform two votes")


def _check_quorum(
    signed: SignedEpochRecord, record: EpochRecord, before: EpochRecord, verify_batch: VerifyBatch
) -> None:
    committee = before.committee()
    indices = [index for index, _ in signed.signatures]
    _require(
        indices == sorted(set(indices)) and all(0 <= i < committee.size for i in indices),
        "a record with impossible signers",
    )
    message = record_signed_bytes(signed.record)
    verdicts = verify_batch(
        [(committee.seats[i].node, signature, message) for i, signature in signed.signatures]
    )
    _require(
        sum(verdicts) >= committee.quorum,
        f"epoch record {record.epoch} is not signed by a quorum of epoch {before.epoch}",
    )


def _check_constitution(
    signed: SignedEpochRecord, record: EpochRecord, before: EpochRecord, verify_batch: VerifyBatch
) -> None:
    """Policy, governors and evictions are exactly what the governors of the epoch before said."""
    amendment = None
    if signed.amendment or signed.approvals or record.amendment:
        _require(
            record.amendment == amendment_digest(signed.amendment),
            "a record without the amendment that it names, or with another",
        )
        adopted = Adopted(signed.amendment, signed.approvals)
        amendment = check_approvals(adopted, before, verify_batch)
        evicted = set(amendment.evict)
        _require(
            not any(seat.node in evicted for seat in record.seats),
            "a record that seats a node which governors evicted",
        )
    found = _Constitution(record.policy_digest, record.governors, record.governor_threshold)
    _require(
        found == _constitution_after(before, amendment),
        "a record that changes the policy or the governors otherwise than these agreed",
    )


def check_successors(
    records: Sequence[SignedEpochRecord], previous: Link, verify_batch: VerifyBatch
) -> list[Link]:
    """The links that follow on `previous`; PeerFault as for one."""
    links = [previous]
    for signed in records:
        links.append(check_successor(signed, links[-1], verify_batch))
    return links[1:]


def check_chain(
    records: Sequence[SignedEpochRecord],
    genesis: Genesis,
    network: bytes,
    vendor_cap: str,
    verify_batch: VerifyBatch,
    pinned: bytes = b"",
) -> list[Link]:
    """Every link of a chain that starts with record 0, or with the record that `pinned` names.

    `pinned` is the digest of a record that is trusted already; empty bytes pin none. A chain
    without it is refused, wherever it starts: keys of a committee long gone may have leaked, and
    sign another history. PeerFault names what does not hold. Pages bound how long it is.
    """
    _require(bool(records), "a chain without any record")
    first = records[0]
    digest = record_digest(first.record)
    if digest == pinned:
        links = [Link(parse_record(first.record), digest)]
        _require(links[0].record.network == network, "a record of another network")
    else:
        record = check_founding(first, genesis, network, vendor_cap, verify_batch)
        links = [Link(record, digest)]
    links.extend(check_successors(records[1:], links[0], verify_batch))
    for link in links:
        check_shared(link.record, genesis)
    _require(
        not pinned or any(link.digest == pinned for link in links),
        "a chain without the record that is trusted: older, or another history",
    )
    return links


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise PeerFault("record", message)
