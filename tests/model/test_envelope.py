import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import codec, limits
from ccp2p.model.envelope import (
    TAG_BYTES,
    Envelope,
    event_id,
    event_signed_bytes,
    pad,
    parse_envelope,
    unpad,
)
from ccp2p.model.errors import MemberFault, PeerFault

ENVELOPE = Envelope(0, b"t" * TAG_BYTES, b"", b"sealed")


@given(st.binary(max_size=5000))
def test_padding_is_undone(event: bytes):
    padded = pad(event)
    assert len(padded) in limits.PADDING_BUCKETS
    assert unpad(padded) == event


@pytest.mark.parametrize("bucket", limits.PADDING_BUCKETS)
def test_each_bucket_is_used_to_its_last_byte(bucket: int):
    assert len(pad(b"x" * (bucket - 4))) == bucket
    assert unpad(pad(b"x" * (bucket - 4))) == b"x" * (bucket - 4)


def test_events_of_one_bucket_look_alike():
    assert {len(pad(b"x" * size)) for size in range(253)} == {256}
    assert len(pad(b"x" * 253)) == 1024


def test_an_event_beyond_the_largest_bucket_is_refused():
    assert len(pad(bytes(limits.MAX_EVENT_BYTES))) == limits.PADDING_BUCKETS[-1]
    with pytest.raises(MemberFault, match="65532") as caught:
        pad(bytes(limits.MAX_EVENT_BYTES + 1))
    assert caught.value.code == "oversized"


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        pad(b"event")[:-1],
        pad(b"event") + b"\0",
        pad(b"event")[:-1] + b"\1",
        (5).to_bytes(4, "big") + b"event" + bytes(1024 - 9),  # a larger bucket than needed
        (253).to_bytes(4, "big") + bytes(252),  # a length beyond the bucket
        b"\xff" * 256,
    ],
)
def test_padding_not_exactly_as_made_is_refused(padded: bytes):
    with pytest.raises(MemberFault) as caught:
        unpad(padded)
    assert caught.value.code == "padding"


@given(st.sampled_from(limits.PADDING_BUCKETS[:3]), st.binary(max_size=300), st.integers(0, 300))
def test_whatever_unpads_was_padded(bucket: int, start: bytes, length: int):
    data = (length.to_bytes(4, "big") + start).ljust(bucket, b"\0")[:bucket]
    try:
        event = unpad(data)
    except MemberFault:
        return
    assert pad(event) == data


def test_an_envelope_is_read_back():
    assert parse_envelope(codec.encode(ENVELOPE)) == ENVELOPE


@pytest.mark.parametrize("tag", [b"", b"t" * 15, b"t" * 17])
def test_a_tag_of_another_size_is_malformed(tag: bytes):
    with pytest.raises(MemberFault) as caught:
        parse_envelope(codec.encode(Envelope(0, tag, b"", b"")))
    assert caught.value.code == "malformed"


def test_an_oversized_envelope_is_refused():
    data = codec.encode(Envelope(0, b"t" * TAG_BYTES, b"", bytes(limits.MAX_ENVELOPE_BYTES)))
    with pytest.raises(MemberFault) as caught:
        parse_envelope(data)
    assert caught.value.code == "oversized"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_blame_their_sender(data: bytes):
    try:
        envelope = parse_envelope(data, PeerFault)
    except PeerFault:
        return
    assert codec.encode(envelope) == data


@given(st.data())
def test_a_changed_byte_is_refused_or_another_envelope(data: st.DataObject):
    good = codec.encode(ENVELOPE)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytes([*good[:at], data.draw(st.integers(0, 255)), *good[at + 1 :]])
    try:
        parsed = parse_envelope(changed)
    except MemberFault:
        return
    assert (parsed == ENVELOPE) == (changed == good)


def test_an_event_id_covers_network_member_sequence_and_body():
    parts = (b"n" * 32, b"m" * 32, 1, b"body")
    others = [(b"N" * 32, *parts[1:]), (parts[0], b"M" * 32, 1, b"body")]
    others += [(*parts[:2], 2, b"body"), (*parts[:3], b"bodY")]
    ids = {event_id(*each) for each in (parts, *others)}
    assert len(ids) == 5
    assert event_signed_bytes(event_id(*parts)) != event_id(*parts)
