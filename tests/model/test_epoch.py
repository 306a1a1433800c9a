import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import codec, limits
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import EpochRecord, parse_record, record_digest, record_signed_bytes
from ccp2p.model.errors import PeerFault


def seat(number: int) -> Seat:
    return Seat(number.to_bytes(32, "big"), b"s" * 32, b"p" * 32, "vendor")


DIGEST = b"d" * 32
RECORD = EpochRecord(
    DIGEST,
    0,
    DIGEST,
    (seat(0), seat(1)),
    DIGEST,
    (),
    0,
    (),
    DIGEST,
    DIGEST,
    0,
    DIGEST,
    DIGEST,
    DIGEST,
    1,
    1,
)


def with_seats(seats: list[Seat]) -> bytes:
    return codec.encode(msgspec.structs.replace(RECORD, seats=tuple(seats)))


def test_a_record_is_read_back_with_its_committee():
    record = parse_record(codec.encode(RECORD))
    assert record == RECORD
    assert (record.committee().epoch, record.committee().size) == (0, 2)


@pytest.mark.parametrize(
    "seats",
    [[], [seat(0), seat(0)], [seat(i) for i in range(limits.MAX_COMMITTEE + 1)]],
    ids=["none", "twice", "too-many"],
)
def test_an_impossible_committee_is_refused(seats: list[Seat]):
    with pytest.raises(PeerFault) as caught:
        parse_record(with_seats(seats))
    assert caught.value.code == "record"


def test_the_largest_committee_fits():
    seats = [seat(i) for i in range(limits.MAX_COMMITTEE)]
    assert len(parse_record(with_seats(seats)).seats) == limits.MAX_COMMITTEE


@pytest.mark.parametrize(
    ("shares", "holds"),
    [
        ((), True),
        ((b"s" * limits.MAX_SHARE_BYTES, b""), True),
        ((b"s" * limits.MAX_SHARE_BYTES,), False),
        ((b"s" * (limits.MAX_SHARE_BYTES - 1), b""), False),
        ((b"s" * (limits.MAX_SHARE_BYTES + 1), b""), False),
        ((b"",) * (limits.MAX_GOVERNORS + 1), False),
    ],
)
def test_a_record_has_a_share_of_its_size_for_each_governor_or_none(
    shares: tuple[bytes, ...], holds: bool
):
    governed = msgspec.structs.replace(
        RECORD, governors=(b"g" * 32, b"h" * 32), governor_threshold=2, shares=shares
    )
    if holds:
        assert parse_record(codec.encode(governed)) == governed
    else:
        with pytest.raises(PeerFault):
            parse_record(codec.encode(governed))


def test_what_is_signed_is_not_the_bare_digest():
    data = codec.encode(RECORD)
    assert record_signed_bytes(data).endswith(record_digest(data))
    assert record_signed_bytes(data) != record_digest(data)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_peers_fault(data: bytes):
    with pytest.raises(PeerFault):
        parse_record(data)


@given(st.data())
def test_a_changed_byte_never_keeps_the_digest(data: st.DataObject):
    good = codec.encode(RECORD)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytes([*good[:at], data.draw(st.integers(0, 255)), *good[at + 1 :]])
    try:
        parse_record(changed)
    except PeerFault:
        return
    assert (record_digest(changed) == record_digest(good)) == (changed == good)
