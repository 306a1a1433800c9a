"""What a node decides at the edges of its epoch: whose word counts, who is served, who is told."""

import pytest
from msgspec.structs import replace

from ccp2p.membership.records import Link
from ccp2p.model import codec
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Parameters
from ccp2p.node.boundary import Boundary
from ccp2p.node.handover import Handover
from ccp2p.node.messages import (
    Blocks,
    FollowRequest,
    RecordComplete,
    RecordSignature,
    SecretReply,
    SecretRequest,
    encode_message,
)
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.passage import Passage
from ccp2p.node.registry import Registry
from ccp2p.node.roster_keeper import Closing, RosterKeeper, first_roster
from ccp2p.node.steward import Steward
from ccp2p.sealing.identity import Identity
from ccp2p.simulator.founding import found
from ccp2p.storage.memory_store import MemoryStore
from tests.membership.test_founding import KEYS, RECORD, signed
from tests.membership.test_records import FIRST, FOUNDERS, LATE, keys, next_record, signed_by
from tests.membership.test_recovery import PREVIOUS, recovered

FIRST_SIGNED = signed(RECORD)
NODE = FOUNDERS[0].node
SECOND = next_record(FIRST, [*FOUNDERS[1:], LATE])  # the first founder leaves
SECOND_SIGNED = signed_by(SECOND, keys(0, 1, 2))
SECOND_LINK = Link(SECOND, record_digest(SECOND_SIGNED.record))


def rival() -> SignedEpochRecord:
    """Another successor of the first record, as well signed."""
    return signed_by(next_record(FIRST, [*FOUNDERS, LATE]), keys(0, 1, 2))


def heard(boundary: Boundary, message: RecordSignature | RecordComplete, now_ms: int = 0) -> object:
    return boundary.hear(NODE, message, encode_message(message), now_ms)


def test_a_complete_record_shows_that_the_epoch_has_ended():
    boundary = Boundary(FIRST, FIRST_SIGNED)
    assert heard(boundary, RecordComplete(SECOND_SIGNED)) is None
    assert boundary.successor == SECOND
    assert boundary.early == ((NODE, encode_message(RecordComplete(SECOND_SIGNED))),)


def test_a_record_that_too_few_signed_ends_nothing():
    boundary = Boundary(FIRST, FIRST_SIGNED)
    with pytest.raises(PeerFault, match="not signed by a quorum"):
        heard(boundary, RecordComplete(signed_by(SECOND, keys(0, 1))))
    assert boundary.successor is None


def test_of_two_records_for_one_epoch_the_first_counts_and_both_are_shown():
    boundary = Boundary(FIRST, FIRST_SIGNED)
    heard(boundary, RecordComplete(SECOND_SIGNED))
    with pytest.raises(PeerFault, match="two records for epoch 1") as caught:
        heard(boundary, RecordComplete(rival()))
    for shown in (SECOND_SIGNED, rival()):
        assert record_digest(shown.record).hex() in str(caught.value)
    assert boundary.successor == SECOND


def test_who_promised_to_follow_one_record_takes_no_other():
    boundary = Boundary(FIRST, FIRST_SIGNED)
    boundary.promise(SECOND_LINK.digest, FOUNDERS[1].node)
    with pytest.raises(PeerFault, match="two records"):
        heard(boundary, RecordComplete(rival()))
    assert boundary.successor is None
    heard(boundary, RecordComplete(SECOND_SIGNED))
    assert boundary.successor == SECOND


@pytest.mark.parametrize("number", range(4))
def test_who_promised_for_another_recovery_follows_one_that_leaves_it_out(number: int):
    """Seats 1 and 3 went on; of these each has promised something else since."""
    signed = recovered()
    boundary = Boundary(PREVIOUS, signed)
    boundary.promise(b"x" * 32, PREVIOUS.record.seats[number].node)
    if number in (1, 3):
        with pytest.raises(PeerFault, match="two records"):
            boundary.learn((signed,))
        boundary.promise(record_digest(signed.record), PREVIOUS.record.seats[number].node)
    boundary.learn((signed,))
    assert boundary.successor_signed == signed


def test_who_promised_takes_no_ordinary_record_that_leaves_it_out():
    boundary = Boundary(FIRST, FIRST_SIGNED)
    boundary.promise(b"x" * 32, NODE)
    assert all(seat.node != NODE for seat in SECOND.seats)
    with pytest.raises(PeerFault, match="two records"):
        boundary.learn((SECOND_SIGNED,))


def test_who_signs_a_record_that_stands_is_told_once_in_a_while():
    boundary = Boundary(SECOND_LINK, SECOND_SIGNED)
    late = RecordSignature(1, bytes(64))
    assert heard(boundary, late, 0) == RecordComplete(SECOND_SIGNED)
    assert heard(boundary, late, 999) is None
    assert heard(boundary, late, 1_000) == RecordComplete(SECOND_SIGNED)
    assert heard(boundary, RecordComplete(SECOND_SIGNED), 2_000) is None
    assert boundary.early == ()


def test_who_is_shown_a_record_after_the_next_asks_for_those_between():
    boundary = Boundary(FIRST, FIRST_SIGNED)
    third = next_record(SECOND_LINK, [*FOUNDERS[1:], LATE])
    shown = RecordComplete(signed_by(third, keys(1, 2, 3)))
    asked = FollowRequest(FIRST.digest)
    assert [heard(boundary, shown, at) for at in (0, 999, 1_000)] == [asked, None, asked]
    assert boundary.early == ()
    boundary.learn((SECOND_SIGNED,))
    assert heard(boundary, shown, 2_000) is None


def test_who_hears_again_that_others_ended_the_epoch_asks_for_its_last_blocks():
    boundary = Boundary(FIRST, FIRST_SIGNED)
    word = RecordSignature(1, bytes(64))
    assert [boundary.lags(NODE, word, at) for at in (0, 500, 900, 1_000)] == [0, 1, 0, 1]
    assert not boundary.lags(FOUNDERS[1].node, word, 2_000)
    for other in (RecordSignature(0, bytes(64)), RecordComplete(SECOND_SIGNED)):
        assert not any(boundary.lags(NODE, other, at) for at in (3_000, 4_000))


def test_blocks_of_other_epochs_are_no_offence():
    boundary = Boundary(SECOND_LINK, SECOND_SIGNED)
    faults = [PeerFault(code, "") for code in ("early-epoch", "past-epoch", "early-epoch", "coin")]
    told, remaining = boundary.sort_out(NODE, (b"block",), faults, 0)
    assert told == [FollowRequest(SECOND_LINK.digest), RecordComplete(SECOND_SIGNED)]
    assert [fault.code for fault in remaining] == ["coin"]
    assert boundary.early == ((NODE, encode_message(Blocks((b"block",)))),)


def test_a_record_of_another_epoch_is_not_held_against_who_repeats_it():
    handover = Handover(FIRST, Closing(SECOND, b""), NODE, KEYS[0].sign)
    handover.hear(FOUNDERS[1].node, RecordComplete(FIRST_SIGNED))
    with pytest.raises(PeerFault, match="two records"):
        handover.hear(FOUNDERS[1].node, RecordComplete(rival()))
    assert handover.signed is None


def test_a_handover_takes_a_quorum_of_the_old_committee():
    handover = Handover(FIRST, Closing(SECOND, b""), NODE, KEYS[0].sign)
    message = record_signed_bytes(codec.encode(SECOND))
    for number, key in enumerate(KEYS[1:3], 2):
        assert handover.signed is None, "Q - 1 signatures are too few"
        handover.hear(key.public, RecordSignature(1, key.sign(message)))
        assert (handover.signed is not None) == (number == 3)


def passage_to(next_one: EpochRecord, secret: bytes) -> Passage:
    """The second founder's, out of the first epoch, whose secret it has."""
    record = NetworkRecord(b"", (FIRST_SIGNED,), secret, (), b"", b"")
    founded = found(4, 1, Parameters(coin_length=256))
    steward = Steward(
        network=founded.network,
        epoch=0,
        identity=founded.identities[1],
        coin_length=256,
        vendor_cap="none",
        randomness=bytes,
        secret=secret,
        record=bytes(32),
        evidence=lambda anchor: anchor,
    )
    closing = Closing(next_one, first_roster(next_one).encode())
    identity = Identity(bytes([2]) * 32, bytes(32))  # FOUNDERS[1]
    return Passage(identity, 256, record, closing, steward, MemoryStore())


def test_who_restarts_in_an_epoch_that_ends_gets_its_secret_from_those_between_the_two():
    secret = b"s" * 32
    passage = passage_to(SECOND, secret)
    wanted = RECORD.epoch_key
    for node in FOUNDERS[:2]:
        assert passage.hear(node.node, SecretRequest(wanted)) == SecretReply(wanted, secret)
    assert passage.hear(LATE.node, SecretRequest(wanted)) == SecretReply(wanted, b"")
    assert passage.hear(b"x" * 32, SecretRequest(wanted)) == SecretReply(wanted, b"")


def test_a_secret_is_taken_from_nodes_of_either_epoch_and_from_nobody_else():
    passage = passage_to(replace(SECOND, epoch_key=b"k" * 32), b"s" * 32)
    wrong = SecretReply(b"k" * 32, b"x" * 32)
    assert passage.hear(b"x" * 32, wrong) is None
    with pytest.raises(PeerFault, match="epoch key"):
        passage.hear(FOUNDERS[0].node, wrong)
    assert passage.hear(FOUNDERS[0].node, SecretReply(b"o" * 32, b"x" * 32)) is None


def test_who_left_gets_blocks_until_it_has_ended_its_epoch_but_is_not_in_the_network():
    founded = found(4, 1, Parameters(coin_length=256))
    record = NetworkRecord(b"", (FIRST_SIGNED, SECOND_SIGNED), bytes(32), (), b"", b"")
    keeper = RosterKeeper(SECOND_LINK, first_roster(SECOND), founded.means, 16)
    steward = Steward(
        network=founded.network,
        epoch=1,
        identity=founded.identities[1],
        coin_length=256,
        vendor_cap="none",
        randomness=bytes,
        secret=bytes(32),
        record=bytes(32),
        evidence=lambda anchor: anchor,
    )
    registry = Registry(record, keeper, steward)
    assert registry.place_of(NODE) == "none"
    assert registry.may_fetch(NODE)
    assert registry.may_fetch(LATE.node)
    assert not registry.may_fetch(b"a stranger")
