"""Between two epochs: whose signatures complete the next record, and whose do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_signed_bytes
from ccp2p.model.errors import PeerFault
from ccp2p.node.handover import Handover
from ccp2p.node.messages import RecordComplete, RecordSignature
from ccp2p.node.roster_keeper import Closing
from tests.membership.test_records import FIRST, FOUNDERS, LATE, SECOND, keys, signed_by

SIZE = len(FOUNDERS)
QUORUM = FIRST.record.committee().quorum
OTHER = replace(SECOND, state_root=b"x" * 32)


def handover(node: bytes = LATE.node, key: SigningKey = LATE.key) -> Handover:
    return Handover(FIRST, Closing(SECOND, b""), node, key.sign)


def signature(seat: int, record: EpochRecord = SECOND) -> RecordSignature:
    message = record_signed_bytes(codec.encode(record))
    return RecordSignature(SECOND.epoch, FOUNDERS[seat].key.sign(message))


def hear(one: Handover, *seats: int) -> None:
    for seat in seats:
        one.hear(FOUNDERS[seat].node, signature(seat))


def complete(record: EpochRecord = SECOND, count: int = QUORUM) -> RecordComplete:
    return RecordComplete(signed_by(record, keys(*range(count))))


def test_a_quorum_completes_the_record_and_one_less_does_not():
    one = handover()
    hear(one, *range(QUORUM - 1))
    assert (one.signed, one.word) == (None, None)
    hear(one, QUORUM - 1)
    assert one.signed == signed_by(SECOND, keys(*range(QUORUM)))
    assert one.word == RecordComplete(one.signed)


def test_a_seat_counts_itself_and_tells_its_signature():
    one = handover(FOUNDERS[0].node, FOUNDERS[0].key)
    assert one.word == signature(0)
    hear(one, *range(1, QUORUM - 1))
    assert one.signed is None
    hear(one, QUORUM)
    assert one.signed is not None
    assert [index for index, _ in one.signed.signatures] == [*range(QUORUM - 1), QUORUM]


@given(st.lists(st.integers(0, SIZE - 1), max_size=12))
def test_a_seat_counts_once_however_often_it_signs(seats: list[int]):
    one = handover()
    hear(one, *seats)
    assert (one.signed is not None) == (len(set(seats)) >= QUORUM)


def test_a_signature_of_another_record_is_blamed_and_does_not_count():
    one = handover()
    hear(one, *range(QUORUM - 1))
    for seat in range(SIZE):
        with pytest.raises(PeerFault, match="signed another record"):
            one.hear(FOUNDERS[seat].node, signature(seat, OTHER))
    assert one.signed is None


def test_nobody_signs_in_anothers_name():
    one = handover()
    hear(one, *range(QUORUM - 1))
    for seat in range(SIZE):
        with pytest.raises(PeerFault, match="signed another record"):
            one.hear(FOUNDERS[seat].node, signature((seat + 1) % SIZE))
    assert one.signed is None


def test_who_has_no_seat_does_not_count_however_well_it_signs():
    one = handover(FOUNDERS[0].node, FOUNDERS[0].key)
    hear(one, *range(1, QUORUM - 1))
    message = record_signed_bytes(codec.encode(SECOND))
    one.hear(LATE.node, RecordSignature(SECOND.epoch, LATE.key.sign(message)))
    assert one.signed is None


@pytest.mark.parametrize("epoch", [FIRST.record.epoch, SECOND.epoch + 1])
def test_a_signature_for_another_epoch_does_not_count(epoch: int):
    one = handover()
    hear(one, *range(QUORUM - 1))
    one.hear(FOUNDERS[QUORUM - 1].node, replace(signature(QUORUM - 1), epoch=epoch))
    assert one.signed is None


def test_a_complete_record_is_taken_from_anybody():
    one = handover()
    one.hear(LATE.node, complete())
    assert one.signed == complete().signed
    one.hear(LATE.node, complete(OTHER))  # too late to matter
    assert one.signed == complete().signed


@pytest.mark.parametrize(
    "told",
    [
        complete(OTHER),
        complete(count=QUORUM - 1),
        RecordComplete(SignedEpochRecord(codec.encode(SECOND), ())),
        RecordComplete(
            SignedEpochRecord(codec.encode(SECOND), complete().signed.signatures[:1] * QUORUM)
        ),
        RecordComplete(SignedEpochRecord(b"\xff", ())),
    ],
    ids=["another", "too few", "none", "one thrice", "malformed"],
)
def test_a_record_that_is_not_complete_is_blamed(told: RecordComplete):
    one = handover()
    with pytest.raises(PeerFault):
        one.hear(FOUNDERS[0].node, told)
    assert one.signed is None


def test_a_late_word_about_this_epochs_own_record_blames_nobody():
    one = handover()
    one.hear(FOUNDERS[0].node, RecordComplete(signed_by(FIRST.record, keys(*range(SIZE)))))
    assert one.signed is None
