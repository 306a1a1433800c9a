"""Recovery records: what k governors and all survivors make of a lost quorum, and nobody else."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from ccp2p.crypto.signatures import SigningKey, verify_batch
from ccp2p.membership import recovery, rules
from ccp2p.membership.records import Link, check_plan, check_successor
from ccp2p.membership.recovery import Stand, approval_bytes
from ccp2p.model import codec, hashing
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import PeerFault
from tests.membership.test_founding import KEYS, RECORD
from tests.membership.world import Actor, grown

GOVERNORS = [SigningKey(bytes([100 + i]) * 32) for i in range(3)]
BEFORE = replace(RECORD, governors=tuple(key.public for key in GOVERNORS), governor_threshold=2)
PREVIOUS = Link(BEFORE, record_digest(codec.encode(BEFORE)))
STAND = Stand(70, b"h" * 32, b"s" * 32, b"o" * 32, BEFORE.ledger_time_ms + 5)
CERTIFIED = (64, b"c" * 32)
SURVIVORS = [seat.node for seat in (BEFORE.seats[1], BEFORE.seats[3])]


def planned(nodes: Sequence[bytes] = SURVIVORS, stand: Stand = STAND) -> EpochRecord:
    return recovery.plan(BEFORE, PREVIOUS.digest, nodes, stand, CERTIFIED)


PLAN = planned()
NEXT = replace(PLAN, coin_anchor=b"\x01" * 32, epoch_key=b"\x02" * 32)


def approved(record: EpochRecord, governors: Sequence[int]) -> tuple[tuple[int, bytes], ...]:
    message = approval_bytes(record)
    return tuple((i, GOVERNORS[i].sign(message)) for i in governors)


def recovered(
    record: EpochRecord = NEXT,
    seats: Sequence[int] = (1, 3),
    governors: Sequence[int] = (0, 2),
    approvals_of: EpochRecord | None = None,
) -> SignedEpochRecord:
    data = codec.encode(record)
    message = record_signed_bytes(data)
    signatures = tuple((i, KEYS[i].sign(message)) for i in seats)
    return SignedEpochRecord(
        data, signatures, approvals=approved(approvals_of or record, governors)
    )


def refusal(signed: SignedEpochRecord) -> str:
    with pytest.raises(PeerFault) as caught:
        check_successor(signed, PREVIOUS, verify_batch)
    return str(caught.value)


def test_two_of_three_governors_and_all_survivors_go_on():
    link = check_successor(recovered(), PREVIOUS, verify_batch)
    record = link.record
    assert [seat.node for seat in record.seats] == SURVIVORS
    assert (record.epoch, record.predecessor) == (1, PREVIOUS.digest)
    assert (record.close_commit, record.state_root) == (70, b"s" * 32)
    assert record.recovery is not None
    assert (record.recovery.commit, record.recovery.chain) == CERTIFIED
    assert record.recovery.fallen == (BEFORE.seats[0], BEFORE.seats[2])


def test_a_recovery_may_seat_one_or_all():
    one = replace(planned([SURVIVORS[1]]), coin_anchor=b"\x01" * 32, epoch_key=b"\x02" * 32)
    assert check_successor(recovered(one, seats=(3,)), PREVIOUS, verify_batch).record == one
    everybody = planned([seat.node for seat in BEFORE.seats])
    record = replace(everybody, coin_anchor=b"\x01" * 32, epoch_key=b"\x02" * 32)
    signed = recovered(record, seats=(0, 1, 2, 3))
    assert check_successor(signed, PREVIOUS, verify_batch).record == record


@pytest.mark.parametrize("governors", [(), (0,), (2,)])
def test_less_governors_than_must_agree_recover_nothing(governors: Sequence[int]):
    assert "2 must" in refusal(recovered(governors=governors))


def test_a_quorum_of_seats_replaces_no_governor():
    assert "2 must" in refusal(recovered(seats=(0, 1, 2, 3), governors=()))


@pytest.mark.parametrize("indices", [(0, 0), (2, 0), (-1, 0), (0, 3)])
def test_governors_are_named_in_order_and_once_each(indices: Sequence[int]):
    message = approval_bytes(NEXT)
    forged = tuple((i, GOVERNORS[i % 3].sign(message)) for i in indices)
    assert "impossible governors" in refusal(replace(recovered(), approvals=forged))


def test_governors_of_elsewhere_do_not_count():
    message = approval_bytes(NEXT)
    forged = tuple((i, SigningKey(bytes([200 + i]) * 32).sign(message)) for i in range(2))
    assert "approved by 0" in refusal(replace(recovered(), approvals=forged))


@pytest.mark.parametrize("seats", [(), (1,), (3,), (3, 1), (1, 1, 3), (0, 1, 3), (1, 2)])
def test_every_survivor_signs_and_nobody_else(seats: Sequence[int]):
    assert "not all who go on" in refusal(recovered(seats=seats))


def test_a_survivor_signs_with_its_own_key():
    message = record_signed_bytes(codec.encode(NEXT))
    forged = ((1, KEYS[1].sign(message)), (3, KEYS[2].sign(message)))
    assert "wrong signature" in refusal(replace(recovered(), signatures=forged))


STRANGER = Seat(b"x" * 32, b"y" * 32, b"z" * 32, "sim-a")
FALLEN = (BEFORE.seats[0], BEFORE.seats[2])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seats": (*NEXT.seats, STRANGER)}, "who had no seat"),
        ({"seats": (NEXT.seats[1], NEXT.seats[0])}, "who had no seat, or in another order"),
        ({"seats": (replace(NEXT.seats[0], sealing=b"q" * 32), NEXT.seats[1])}, "no seat"),
        ({"seats": (STRANGER,)}, "nobody goes on"),
        ({"recovery": replace(NEXT.recovery, fallen=())}, "who falls out"),
        ({"recovery": replace(NEXT.recovery, fallen=(*FALLEN, STRANGER))}, "who falls out"),
        ({"recovery": replace(NEXT.recovery, commit=71)}, "behind a certified"),
        ({"recovery": replace(NEXT.recovery, commit=-1)}, "behind a certified"),
        ({"protocol": 2}, "the rules"),
        ({"measurements": (b"m" * 32,)}, "the rules"),
        ({"governors": ()}, "the rules"),
        ({"governor_threshold": 1}, "the rules"),
        ({"policy_digest": b"x" * 32}, "the rules"),
        ({"amendment": b"x" * 32}, "an amendment"),
        ({"epoch": 2}, "another epoch"),
        ({"predecessor": b"x" * 32}, "another predecessor"),
        ({"ledger_time_ms": 0}, "backwards"),
        ({"epoch_key": BEFORE.epoch_key}, "predecessor's secrets"),
    ],
)
def test_each_field_must_follow(changes: dict[str, Any], said: str):
    record = replace(NEXT, **changes)
    assert said in refusal(recovered(record))


def test_governors_approve_the_lost_range_and_who_goes_on():
    for changes in (
        {"close_commit": 71},
        {"state_root": b"t" * 32},
        {"recovery": replace(NEXT.recovery, commit=63)},
    ):
        record = replace(NEXT, **changes)
        assert "approved by 0" in refusal(recovered(record, approvals_of=NEXT))


def test_an_ordinary_record_needs_its_quorum_whatever_governors_say():
    record = replace(NEXT, recovery=None)
    assert refusal(recovered(record))
    assert "quorum" in refusal(replace(recovered(record), approvals=()))


def test_a_plan_is_checked_before_anybody_works_for_it():
    data = codec.encode(PLAN)
    assert check_plan(data, approved(PLAN, (0, 1)), PREVIOUS, verify_batch) == PLAN
    for plan, approvals, said in (
        (PLAN, approved(PLAN, (1,)), "2 must"),
        (NEXT, approved(NEXT, (0, 1)), "names secrets"),
        (replace(PLAN, recovery=None), approved(PLAN, (0, 1)), "no recovery"),
    ):
        with pytest.raises(PeerFault, match=said):
            check_plan(codec.encode(plan), approvals, PREVIOUS, verify_batch)


def test_a_network_without_governors_stays_lost():
    before = replace(BEFORE, governors=(), governor_threshold=0)
    previous = Link(before, record_digest(codec.encode(before)))
    plan = recovery.plan(before, previous.digest, SURVIVORS, STAND, CERTIFIED)
    with pytest.raises(PeerFault, match="no governors"):
        check_plan(codec.encode(plan), (), previous, verify_batch)


def lost_world() -> tuple[EpochRecord, list[Actor]]:
    world, known = grown(4)
    seats = tuple(one.seat for one in world.roster.members)
    policy = world.roster.policy
    record = replace(BEFORE, epoch=world.roster.epoch, seats=seats, policy_digest=policy)
    plan = recovery.plan(record, b"d" * 32, [known[0].node, known[2].node], STAND, (0, bytes(32)))
    return plan, known


def test_who_fell_out_follows_and_is_not_waited_for():
    world, known = grown(4)
    plan, _ = lost_world()
    roster = recovery.recovered_roster(world.roster, plan)
    assert [one.node for one in roster.members] == [known[0].node, known[2].node]
    assert [one.node for one in roster.observers] == [known[1].node, known[3].node]
    assert roster.committee.seats == plan.seats
    assert not rules.wants_close(roster, "none")
    back = tuple(replace(one, anchor=0) for one in roster.observers[:1])
    assert rules.wants_close(replace(roster, observers=(*back, roster.observers[1])), "none")


def test_what_was_under_way_ends_with_the_lost_epoch():
    world, known = grown(4)
    plan, _ = lost_world()
    roster = replace(
        world.roster, leaving=(known[0].node, known[1].node), expelled=(known[3].node,)
    )
    after = recovery.recovered_roster(roster, plan)
    assert after.leaving == (known[0].node,)
    assert after.observers == (), "who asked to leave, or was expelled, is gone"
    assert (after.change, after.intents, after.attempt) == (None, (), 0)


def no_governors_asked() -> tuple[object, str, Any]:
    return recovery, "check_approvals", lambda *_: None


def one_governor_less() -> tuple[object, str, Any]:
    honest = recovery.check_approvals

    def check(record: EpochRecord, approvals: Any, before: EpochRecord, verify: Any) -> None:
        honest(
            record,
            approvals,
            replace(before, governor_threshold=before.governor_threshold - 1),
            verify,
        )

    return recovery, "check_approvals", check


def survivors_not_asked() -> tuple[object, str, Any]:
    def check(signed: Any, record: EpochRecord, before: EpochRecord, verify: Any) -> None:
        recovery.check_follows(record, before)
        recovery.check_approvals(record, signed.approvals, before, verify)

    return recovery, "check_signed", check


def anybody_seated() -> tuple[object, str, Any]:
    return recovery, "check_follows", lambda *_: None


BAD = {
    "k - 1 approvals": lambda: recovered(governors=(0,)),
    "no approvals": lambda: recovered(governors=()),
    "a survivor's signature is missing": lambda: recovered(seats=(1,)),
    "a seat that was not in epoch e": lambda: recovered(
        replace(NEXT, recovery=replace(NEXT.recovery, fallen=()))
    ),
}


@pytest.mark.parametrize(
    ("mutation", "let_in"),
    [
        (no_governors_asked, "no approvals"),
        (one_governor_less, "k - 1 approvals"),
        (survivors_not_asked, "a survivor's signature is missing"),
        (anybody_seated, "a seat that was not in epoch e"),
    ],
)
def test_each_rule_is_needed(
    mutation: Callable[[], tuple[object, str, Any]], let_in: str, monkeypatch: pytest.MonkeyPatch
):
    """With any one of the rules taken out, a record comes through that none of the others stops."""
    assert refusal(BAD[let_in]())
    monkeypatch.setattr(*mutation())
    check_successor(BAD[let_in](), PREVIOUS, verify_batch)


def test_what_a_governor_signs_is_nothing_else():
    assert approval_bytes(PLAN) == approval_bytes(NEXT)
    assert approval_bytes(NEXT).startswith(hashing.RECOVERY)
    assert approval_bytes(NEXT) != record_signed_bytes(codec.encode(NEXT))
