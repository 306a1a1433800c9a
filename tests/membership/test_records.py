"""Chains of epoch records: what follows, what does not, and whose signatures it takes."""

from collections.abc import Sequence

import msgspec
import pytest

from ccp2p.crypto.signatures import SigningKey, verify_batch
from ccp2p.membership import records, rules
from ccp2p.membership.records import Link, Roots, check_chain, check_successor
from ccp2p.membership.roster import Change, Proposal
from ccp2p.model import codec
from ccp2p.model.block import epoch_root
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import (
    EpochRecord,
    SignedEpochRecord,
    record_digest,
    record_signed_bytes,
)
from ccp2p.model.errors import PeerFault
from tests.membership.test_founding import GENESIS, KEYS, NETWORK, RECORD, signed
from tests.membership.world import Actor, actor, member

FOUNDERS = [Actor(f"f{i}", key, bytes([i]) * 32, "sim-a") for i, key in enumerate(KEYS)]
LATE = actor("late")
FIRST = Link(RECORD, record_digest(codec.encode(RECORD)))


def closed_with(actors: Sequence[Actor], previous: Link) -> tuple[rules.Closed, Commit, Roots]:
    """A CLOSE of the epoch of `previous` with these members to come."""
    members = tuple(member(one) for one in actors)
    number = previous.record.epoch + 1
    proposal = Proposal(
        actors[0].node,
        bytes([number % 128]) * 28 + number.to_bytes(4, "big"),
        bytes([128 + number % 128]) * 28 + number.to_bytes(4, "big"),
        (),
        1,
    )
    change = Change(1, 1, members, (), (proposal,), ())
    root = epoch_root(previous.record.network, previous.record.epoch)
    time_ms = previous.record.ledger_time_ms + 1
    commit = Commit(previous.record.epoch, 9, root, (root,), time_ms, b"p" * 32)
    return rules.Closed(change, proposal), commit, Roots(b"s" * 32, b"o" * 32)


def next_record(previous: Link, actors: Sequence[Actor]) -> EpochRecord:
    return records.successor(previous, *closed_with(actors, previous))


def signed_by(record: EpochRecord, seats: dict[int, SigningKey]) -> SignedEpochRecord:
    data = codec.encode(record)
    message = record_signed_bytes(data)
    return SignedEpochRecord(data, tuple((i, key.sign(message)) for i, key in seats.items()))


def keys(*indices: int) -> dict[int, SigningKey]:
    return {i: KEYS[i] for i in indices}


SECOND = next_record(FIRST, [*FOUNDERS, LATE])


def refusal(record: SignedEpochRecord, previous: Link = FIRST) -> str:
    with pytest.raises(PeerFault) as caught:
        check_successor(record, previous, verify_batch)
    assert caught.value.code == "record"
    return str(caught.value)


def test_a_record_follows_from_close():
    assert SECOND.epoch == 1
    assert SECOND.predecessor == FIRST.digest
    assert [seat.node for seat in SECOND.seats] == [one.node for one in (*FOUNDERS, LATE)]
    assert (SECOND.coin_anchor, SECOND.epoch_key) == (
        b"\x01" * 28 + bytes([0, 0, 0, 1]),
        b"\x81" * 28 + bytes([0, 0, 0, 1]),
    )
    assert (SECOND.close_commit, SECOND.state_root, SECOND.outcomes_root) == (
        9,
        b"s" * 32,
        b"o" * 32,
    )
    assert SECOND.ledger_time_ms == RECORD.ledger_time_ms + 1
    data = codec.encode(SECOND)
    link = check_successor(signed_by(SECOND, keys(0, 1, 3)), FIRST, verify_batch)
    assert link == Link(SECOND, record_digest(data))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": b"x" * 32}, "another network"),
        ({"epoch": 0}, "another epoch"),
        ({"epoch": 2}, "another epoch"),
        ({"predecessor": b"x" * 32}, "another predecessor"),
        ({"policy_digest": b"x" * 32}, "policy or the governors"),
        ({"governors": ()}, "policy or the governors"),
        ({"governor_threshold": 0}, "policy or the governors"),
        ({"amendment": b"x" * 32}, "without the amendment that it names"),
        ({"ledger_time_ms": 0}, "backwards"),
        ({"coin_anchor": RECORD.coin_anchor}, "predecessor's secrets"),
        ({"epoch_key": RECORD.epoch_key}, "predecessor's secrets"),
        ({"seats": ()}, "possible committee"),
        ({"seats": (SECOND.seats[0],) * 2}, "one node twice"),
        (
            {"seats": (SECOND.seats[0], Seat(b"x" * 32, b"x" * 32, bytes(32), "sim-a"))},
            "two votes",
        ),
    ],
)
def test_each_field_must_follow(changes, said: str):
    record = msgspec.structs.replace(SECOND, **changes)
    assert said in refusal(signed_by(record, keys(0, 1, 2, 3)))


@pytest.mark.parametrize("signers", [(0, 1), (2,), ()])
def test_less_than_a_quorum_of_the_predecessor_is_refused(signers):
    assert "not signed by a quorum of epoch 0" in refusal(signed_by(SECOND, keys(*signers)))


def test_the_next_committee_does_not_count():
    joined = {**keys(0, 1), 4: LATE.key}
    assert "impossible signers" in refusal(signed_by(SECOND, joined))
    wrong = {**keys(0, 1), 2: LATE.key}
    assert "not signed by a quorum" in refusal(signed_by(SECOND, wrong))


@pytest.mark.parametrize("indices", [(0, 0, 1), (2, 1, 0), (-1, 0, 1, 2), (0, 1, 2, 4)])
def test_signers_are_seats_in_order_and_once_each(indices):
    data = codec.encode(SECOND)
    message = record_signed_bytes(data)
    pairs = tuple((i, KEYS[i % 4].sign(message)) for i in indices)
    assert "impossible signers" in refusal(SignedEpochRecord(data, pairs))


def test_a_record_with_another_encoding_is_refused():
    data = codec.encode(SECOND)
    padded = data.replace(b"\x01", b"\xcc\x01", 1)
    with pytest.raises(PeerFault) as caught:
        check_successor(SignedEpochRecord(padded, ()), FIRST, verify_batch)
    assert caught.value.code in ("not-canonical", "malformed")


THREE = next_record(Link(SECOND, record_digest(codec.encode(SECOND))), [*FOUNDERS[1:], LATE])
CHAIN = [
    signed(RECORD),
    signed_by(SECOND, keys(0, 1, 2)),
    signed_by(THREE, {0: KEYS[0], 1: KEYS[1], 2: KEYS[2], 4: LATE.key}),
]
DIGESTS = [record_digest(one.record) for one in CHAIN]


def checked(chain: list[SignedEpochRecord], pinned: bytes = b"") -> list[int]:
    links = check_chain(chain, GENESIS, NETWORK, "none", verify_batch, pinned)
    return [link.record.epoch for link in links]


def chain_refusal(chain: list[SignedEpochRecord], pinned: bytes = b"") -> str:
    with pytest.raises(PeerFault) as caught:
        checked(chain, pinned)
    assert caught.value.code == "record"
    return str(caught.value)


def test_a_chain_begins_with_record_zero():
    assert checked(CHAIN) == [0, 1, 2]
    assert checked(CHAIN[:1]) == [0]
    assert "founders" in chain_refusal(CHAIN[1:])


@pytest.mark.parametrize("pin", range(3))
def test_a_chain_begins_with_the_record_that_is_trusted(pin: int):
    assert checked(CHAIN[pin:], DIGESTS[pin]) == list(range(pin, 3))
    assert checked(CHAIN, DIGESTS[pin]) == [0, 1, 2]


def test_a_chain_without_the_trusted_record_is_refused():
    """An older one; and another history that keys of long ago signed."""
    assert "older, or another history" in chain_refusal(CHAIN[:2], DIGESTS[2])
    other = msgspec.structs.replace(SECOND, state_root=b"x" * 32)
    fork = [CHAIN[0], signed_by(other, keys(0, 1, 2))]
    assert checked(fork) == [0, 1]
    assert "older, or another history" in chain_refusal(fork, DIGESTS[1])


def test_a_trusted_record_of_another_network_is_refused():
    record = msgspec.structs.replace(SECOND, network=b"x" * 32)
    alien = signed_by(record, {})
    assert "another network" in chain_refusal([alien], record_digest(alien.record))


def test_a_gap_or_a_turn_in_a_chain_is_refused():
    assert "another epoch" in chain_refusal([CHAIN[0], CHAIN[2]])
    assert "another epoch" in chain_refusal([CHAIN[0], CHAIN[1], CHAIN[1]])
    assert "founders" in chain_refusal([CHAIN[1], CHAIN[0]])


def test_no_records_are_no_chain():
    assert "without any record" in chain_refusal([])


def test_a_chain_may_be_long():
    chain, link = list(CHAIN), Link(THREE, DIGESTS[2])
    committee = {0: KEYS[1], 1: KEYS[2], 2: KEYS[3], 3: LATE.key}
    for _ in range(300):
        record = next_record(link, [*FOUNDERS[1:], LATE])
        chain.append(signed_by(record, dict(list(committee.items())[:3])))
        link = Link(record, record_digest(chain[-1].record))
    assert checked(chain) == list(range(303))
