"""Recovery: how governors let a network go on that has lost its quorum (design section 9).

A plan is the next epoch's record without its secrets: which seats go on, and from which commit.
Enough governors approve the plan. Only then do its seats agree on secrets, and each signs the
record: that is its promise to do nothing more in the old epoch. So one governor alone moves nobody,
and a record that lacks the word of a single one of its seats is none.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ccp2p.membership.approvals import count_approvals
from ccp2p.membership.founding import VerifyBatch
from ccp2p.membership.roster import Member, Roster
from ccp2p.model import codec, hashing, limits
from ccp2p.model.epoch import (
    EpochRecord,
    Recovery,
    SignedEpochRecord,
    record_signed_bytes,
)
from ccp2p.model.errors import PeerFault


class Stand(NamedTuple):
    """How far a node executed an epoch: its newest commit, the chain digest, roots, ledger time."""

    commit: int
    chain: bytes
    state_root: bytes
    outcomes_root: bytes
    time_ms: int


def first_stand(record: EpochRecord) -> Stand:
    """Where an epoch stands before its first commit."""
    zero = hashing.ZERO_DIGEST
    return Stand(0, zero, record.state_root, zero, record.ledger_time_ms)


def stand_of(record: EpochRecord) -> Stand:
    """Where the record says that the epoch before it ended."""
    return Stand(
        record.close_commit,
        record.close_chain,
        record.state_root,
        record.outcomes_root,
        record.ledger_time_ms,
    )


def plan(
    before: EpochRecord,
    predecessor: bytes,
    nodes: Collection[bytes],
    stand: Stand,
    certified: tuple[int, bytes],
) -> EpochRecord:
    """The plan by which `nodes` go on from where they stand in the epoch of `before`.

    `predecessor` is the digest of `before`, `certified` the newest certified commit that was found
    and its chain digest. PeerFault when no record can follow from it.
    """
    seats = tuple(seat for seat in before.seats if seat.node in nodes)
    fallen = tuple(seat for seat in before.seats if seat.node not in nodes)
    planned = replace(
        before,
        epoch=before.epoch + 1,
        predecessor=predecessor,
        seats=seats,
        coin_anchor=hashing.ZERO_DIGEST,
        epoch_key=hashing.ZERO_DIGEST,
        close_commit=stand.commit,
        close_chain=stand.chain,
        state_root=stand.state_root,
        outcomes_root=stand.outcomes_root,
        ledger_time_ms=stand.time_ms,
        amendment=b"",
        recovery=Recovery(*certified, fallen),
        shares=(),
    )
    check_follows(planned, before)
    return planned


def plan_of(record: EpochRecord) -> EpochRecord:
    """What governors approved of a record: all but its secrets."""
    zero = hashing.ZERO_DIGEST
    return replace(record, coin_anchor=zero, epoch_key=zero, shares=())


def approval_bytes(record: EpochRecord) -> bytes:
    """What a governor signs, be `record` the plan or the record made of it."""
    data = codec.encode(plan_of(record))
    return hashing.RECOVERY + hashing.digest(hashing.RECOVERY, data)


def check_follows(record: EpochRecord, before: EpochRecord) -> None:
    """PeerFault unless a recovery may lead from `before` to this record or plan.

    What chains of records have in common is checked elsewhere.
    """
    recovery = record.recovery
    if recovery is None:
        raise PeerFault("record", "this is no recovery")
    nodes = {seat.node for seat in record.seats}
    kept = tuple(seat for seat in before.seats if seat.node in nodes)
    _require(len(kept) >= 1, "a recovery with which nobody goes on")
    _require(kept == record.seats, "a recovery that seats who had no seat, or in another order")
    fallen = tuple(seat for seat in before.seats if seat.node not in nodes)
    _require(fallen == recovery.fallen, "a recovery that does not say who falls out")
    _require(
        0 <= recovery.commit <= record.close_commit, "a recovery from behind a certified checkpoint"
    )
    _require(_constitution(record) == _constitution(before), "a recovery that changes the rules")
    _require(not record.amendment, "a recovery with an amendment")


def _constitution(record: EpochRecord) -> tuple[object, ...]:
    """What a recovery leaves as it is."""
    governing = (record.policy_digest, record.governors, record.governor_threshold)
    return (*governing, record.measurements, record.protocol)


def check_approvals(
    record: EpochRecord,
    approvals: Sequence[tuple[int, bytes]],
    before: EpochRecord,
    verify_batch: VerifyBatch,
) -> None:
    """PeerFault unless enough governors of `before` approved the plan of `record`."""
    needed = before.governor_threshold
    _require(needed >= 1, "this network has no governors: nobody can recover it")
    count = count_approvals(approvals, before.governors, approval_bytes(record), verify_batch)
    _require(
        count >= needed,
        f"the recovery is approved by {count} of {len(before.governors)} governors; {needed} must",
    )


def check_signed(
    signed: SignedEpochRecord, record: EpochRecord, before: EpochRecord, verify_batch: VerifyBatch
) -> None:
    """PeerFault unless governors approved this recovery and every seat of it signed it."""
    check_follows(record, before)
    _require(not signed.amendment, "a recovery with an amendment")
    check_approvals(record, signed.approvals, before, verify_batch)
    signers = [before.committee().index_of(seat.node) for seat in record.seats]
    _require(
        [index for index, _ in signed.signatures] == signers,
        "a recovery that not all who go on with it signed",
    )
    message = record_signed_bytes(signed.record)
    triples = [
        (seat.node, signature, message)
        for seat, (_, signature) in zip(record.seats, signed.signatures, strict=True)
    ]
    _require(all(verify_batch(triples)), "a recovery with a wrong signature of a seat")


def recovered_roster(roster: Roster, record: EpochRecord) -> Roster:
    """The roster with which a recovered epoch begins, from the last one of what was lost.

    Who fell out follows once it is back; with fresh evidence it asks for a seat again, and without
    it is not waited for (`succession.is_left_out`). What was under way is void, amendments too.
    """
    nodes = {seat.node for seat in record.seats}
    members = tuple(_anew(one, b"", record) for one in roster.members if one.node in nodes)
    fallen = [
        _anew(one, b"", record)
        for one in roster.members
        if one.node not in (*nodes, *roster.expelled, *roster.leaving)
    ]
    following = [
        _anew(one, one.replaces if one.replaces in nodes else b"", record)
        for one in roster.observers
        if one.node not in roster.leaving and one.replaces not in roster.expelled
    ]
    observers = (*fallen, *following)
    return Roster(
        record.epoch,
        members,
        observers[: limits.MAX_OBSERVERS],
        leaving=tuple(node for node in roster.leaving if node in nodes),
        expelled=roster.expelled,
        left_out=tuple((one.platform_id, -1) for one in fallen if one.platform_id),
        last_rounds=(0,) * len(members),
        policy=roster.policy,
    )


def _anew(member: Member, replaces: bytes, record: EpochRecord) -> Member:
    """A member without what it asked for in the lost epoch."""
    policies = tuple(one for one in member.policies if one == record.policy_digest)
    consented = member.consented and bool(replaces)
    return replace(
        member,
        replaces=replaces,
        consented=consented,
        anchor=-1,
        policies=policies,
        renewed=-1,
    )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise PeerFault("record", message)
