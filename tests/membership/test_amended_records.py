"""Records that change policy and governors: exactly as enough governors before them said."""

from collections.abc import Sequence

import msgspec
import pytest

from ccp2p.crypto.signatures import SigningKey, verify_batch
from ccp2p.membership import founding
from ccp2p.membership.records import (
    Link,
    check_chain,
    check_successor,
    policy_in_force,
    successor,
)
from ccp2p.model import codec
from ccp2p.model.amendment import Amendment, amendment_digest, approval_bytes
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import network_id, policy_digest
from tests.membership.test_founding import GENESIS, KEYS, SEATS
from tests.membership.test_records import FOUNDERS, closed_with

GOVERNORS = [SigningKey(bytes([100 + i]) * 32) for i in range(3)]
OTHERS = [SigningKey(bytes([120 + i]) * 32) for i in range(3)]
GOVERNED = msgspec.structs.replace(
    GENESIS, governors=tuple(key.public for key in GOVERNORS), governor_threshold=2
)
NETWORK = network_id(codec.encode(GOVERNED))
RECORD = founding.record_zero(GOVERNED, NETWORK, SEATS, b"c" * 32, b"e" * 32, [])
FIRST = Link(RECORD, record_digest(codec.encode(RECORD)))

POLICY = Amendment(NETWORK, 0, policy="# another policy")
ELECTION = Amendment(
    NETWORK, 0, governors=tuple(key.public for key in OTHERS[:2]), governor_threshold=2
)
EVICTION = Amendment(NETWORK, 0, evict=(FOUNDERS[3].node,))


def approved(
    data: bytes, by: Sequence[int] = (0, 1), keys: Sequence[SigningKey] = GOVERNORS
) -> tuple[tuple[int, bytes], ...]:
    message = approval_bytes(NETWORK, amendment_digest(data))
    return tuple((i, keys[i].sign(message)) for i in by)


def next_record(
    amendment: Amendment | None, previous: Link = FIRST, seats: int = 3, **changes: object
) -> EpochRecord:
    data = codec.encode(amendment) if amendment else b""
    closed, commit, roots = closed_with(FOUNDERS[:seats], previous)
    return msgspec.structs.replace(successor(previous, closed, commit, roots, data), **changes)


def signed(
    record: EpochRecord,
    amendment: Amendment | None,
    approvals: tuple[tuple[int, bytes], ...] | None = None,
) -> SignedEpochRecord:
    """A record that all founders signed, with an amendment that two governors approved."""
    data = codec.encode(record)
    message = record_signed_bytes(data)
    amended = codec.encode(amendment) if amendment else b""
    if approvals is None:
        approvals = approved(amended) if amendment else ()
    signatures = tuple((i, key.sign(message)) for i, key in enumerate(KEYS))
    return SignedEpochRecord(data, signatures, amended, approvals)


def check(one: SignedEpochRecord, previous: Link = FIRST) -> Link:
    return check_successor(one, previous, verify_batch)


def refusal(one: SignedEpochRecord, previous: Link = FIRST) -> str:
    with pytest.raises(PeerFault) as caught:
        check(one, previous)
    assert caught.value.code == "record"
    return str(caught.value)


@pytest.mark.parametrize("amendment", [POLICY, ELECTION, EVICTION])
def test_what_enough_governors_approved_counts(amendment: Amendment):
    record = check(signed(next_record(amendment), amendment)).record
    assert record.amendment == amendment_digest(codec.encode(amendment))
    text = amendment.policy or GOVERNED.policy
    assert record.policy_digest == policy_digest(text)
    assert record.governors == (amendment.governors or GOVERNED.governors)
    assert record.governor_threshold == 2


def test_all_of_them_may_approve():
    record = next_record(POLICY)
    check(signed(record, POLICY, approved(codec.encode(POLICY), (0, 1, 2))))


@pytest.mark.parametrize("by", [(), (0,), (2,)])
def test_too_few_governors_change_nothing(by: Sequence[int]):
    for amendment in (POLICY, ELECTION, EVICTION):
        data = codec.encode(amendment)
        said = refusal(signed(next_record(amendment), amendment, approved(data, by)))
        assert f"an amendment that {len(by)} governors" in said


@pytest.mark.parametrize("by", [(0, 0), (1, 0), (0, 1, 3), (-1, 0)])
def test_each_governor_counts_once_and_nobody_else(by: Sequence[int]):
    data = codec.encode(POLICY)
    approvals = approved(data, by, [*GOVERNORS, OTHERS[0]])
    assert "impossible governors" in refusal(signed(next_record(POLICY), POLICY, approvals))


def test_the_governors_to_come_do_not_count():
    data = codec.encode(ELECTION)
    said = refusal(signed(next_record(ELECTION), ELECTION, approved(data, (0, 1), OTHERS)))
    assert "an amendment that 0 governors" in said


def test_an_approval_of_another_amendment_does_not_count():
    approvals = approved(codec.encode(ELECTION))
    assert "that 0 governors" in refusal(signed(next_record(POLICY), POLICY, approvals))


def test_nobody_amends_a_network_without_governors():
    """A threshold of 0 is not one that is always reached."""
    lawless = msgspec.structs.replace(RECORD, governors=(), governor_threshold=0)
    first = Link(lawless, record_digest(codec.encode(lawless)))
    one = signed(next_record(POLICY, first), POLICY, ())
    assert "0 must" in refusal(one, first)


@pytest.mark.parametrize(
    "changes",
    [
        {"policy_digest": policy_digest("# a third policy")},
        {"policy_digest": RECORD.policy_digest},
        {"governors": (OTHERS[0].public,), "governor_threshold": 1},
        {"governor_threshold": 1},
    ],
)
def test_a_record_changes_no_more_and_no_less_than_was_approved(changes):
    assert "otherwise than these agreed" in refusal(signed(next_record(POLICY, **changes), POLICY))


@pytest.mark.parametrize("field", ["policy_digest", "governors", "governor_threshold"])
def test_nothing_changes_without_an_amendment(field: str):
    amended = next_record(POLICY if field == "policy_digest" else ELECTION)
    value = getattr(amended, field) if field != "governor_threshold" else 3
    plain = next_record(None, **{field: value})
    assert "otherwise than these agreed" in refusal(signed(plain, None))


def test_an_amendment_is_neither_dropped_nor_added_nor_exchanged():
    """The record names it: so nobody can hide from the history what governors did."""
    data = codec.encode(EVICTION)
    for one in (
        signed(next_record(EVICTION), None),
        signed(next_record(None), EVICTION),
        signed(next_record(EVICTION), POLICY),
        signed(next_record(None), None, approved(data)),
        signed(next_record(EVICTION), None, approved(data)),
    ):
        assert "the amendment that it names" in refusal(one)


@pytest.mark.parametrize("changes", [{"epoch": 1}, {"network": b"x" * 32}])
def test_an_amendment_counts_in_its_epoch_and_network_only(changes):
    amendment = msgspec.structs.replace(POLICY, **changes)
    assert "another network or epoch" in refusal(signed(next_record(amendment), amendment))


def test_who_was_evicted_has_no_seat():
    assert "which governors evicted" in refusal(signed(next_record(EVICTION, seats=4), EVICTION))


def test_the_policy_in_force_is_the_newest_that_was_set():
    elected = check(signed(next_record(ELECTION, seats=4), ELECTION))
    later = Amendment(NETWORK, 1, policy="# the newest")
    data = codec.encode(later)
    one = signed(next_record(later, elected, 4), later, approved(data, (0, 1), OTHERS))
    first = signed(RECORD, None)
    second = signed(elected.record, ELECTION)
    chain = [first, second, one]
    links = check_chain(chain, GOVERNED, NETWORK, "none", verify_batch)
    assert [policy_in_force(GOVERNED, chain[: i + 1]) for i in range(3)] == [
        "# the policy",
        "# the policy",
        "# the newest",
    ]
    for i, link in enumerate(links):
        text = policy_in_force(GOVERNED, chain[: i + 1])
        assert policy_digest(text) == link.record.policy_digest
    assert links[-1].record.governors == ELECTION.governors
    old = signed(next_record(later, elected, 4), later, approved(data))
    assert "that 0 governors of epoch 1" in refusal(old, elected)
