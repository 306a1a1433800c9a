"""Bytes of membership events: read once, bounded, and no fault but the peer's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.membership import events
from ccp2p.membership.events import (
    Accusation,
    Acknowledgement,
    Body,
    Candidacy,
    CloseIntent,
    Contribution,
    Holding,
    JoinRequest,
    LeaveRequest,
    Opening,
    Prekey,
    Rekey,
    Renewal,
    consent_bytes,
    encode_event,
    parse_event,
    signed_bytes,
)
from ccp2p.model import codec, limits
from ccp2p.model.errors import PeerFault

KEY = SigningKey(b"k" * 32)
NETWORK = b"n" * 32
JOIN = JoinRequest(b"s" * 32, b"a" * 32, b"evidence", b"invite", ("a",), ("b",))
BODIES: list[Body] = [
    JOIN,
    JoinRequest(b"s" * 32, b"a" * 32, b"", b"", (), (), b"r" * 32, b"c" * 64),
    Renewal(b"a" * 32, b"evidence"),
    LeaveRequest(),
    CloseIntent(0),
    Prekey(1, b"p" * 32),
    Rekey(2, b"c" * 32, b"e" * 32, (b"s" * 80, b"")),
    Acknowledgement(3, 1),
    Accusation((b"h", b"1" * 64), (b"h", b"2" * 64)),
    Candidacy(),
    Contribution((b"c" * 32, b"d" * 32), (b"s" * 80, b"")),
    Holding((0, 2)),
    Opening((b"s" * 32, b"")),
]


def encoded(body: Body, epoch: int = 3) -> bytes:
    return encode_event(KEY.public, NETWORK, epoch, body, KEY.sign)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.kind)
def test_an_event_reads_as_it_was_said(body: Body):
    event = parse_event(encoded(body))
    assert (event.node, event.epoch, event.body) == (KEY.public, 3, body)
    assert verify(event.node, event.signature, signed_bytes(NETWORK, event.body_bytes))


def test_every_kind_is_tried():
    assert {body.kind for body in BODIES} == set(events._KINDS)


def test_the_signature_covers_network_epoch_and_body():
    event = parse_event(encoded(CloseIntent(0)))
    others = [parse_event(encoded(CloseIntent(0), 4)), parse_event(encoded(CloseIntent(1)))]
    for other in others:
        assert not verify(KEY.public, event.signature, signed_bytes(NETWORK, other.body_bytes))
    assert not verify(KEY.public, event.signature, signed_bytes(b"x" * 32, event.body_bytes))


def test_a_consent_is_for_one_seat_and_successor():
    words = {consent_bytes(NETWORK, since, heir) for since in (0, 1) for heir in (b"a", b"b")}
    assert len(words) == 4


def changed(body: Body, **changes: object) -> Body:
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    return type(body)(**{**fields, **changes})


@pytest.mark.parametrize(
    "body",
    [
        changed(JOIN, sealing=b"s" * 31),
        changed(JOIN, anchor=b"a" * 33),
        changed(JOIN, evidence=bytes(limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES + 1)),
        changed(JOIN, invite=bytes(65)),
        changed(JOIN, replaces=b"r"),
        changed(JOIN, consent=b"c" * 63),
        changed(JOIN, addresses=("a",) * limits.MAX_ADDRESSES),
        changed(JOIN, client_addresses=("a" * (limits.MAX_ADDRESS_CHARS + 1),)),
        Renewal(b"a" * 31, b"evidence"),
        Renewal(b"a" * 32, bytes(limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES + 1)),
        Prekey(0, b"p" * 31),
        Rekey(0, b"c" * 31, b"e" * 32, ()),
        Rekey(0, b"c" * 32, b"", ()),
        Rekey(0, b"c" * 32, b"e" * 32, (b"",) * (limits.MAX_COMMITTEE + 1)),
        Rekey(0, b"c" * 32, b"e" * 32, (bytes(limits.MAX_SEALED_SECRET_BYTES + 1),)),
        Rekey(0, b"c" * 32, b"e" * 32, (), (b"",) * (limits.MAX_GOVERNORS + 1)),
        Rekey(0, b"c" * 32, b"e" * 32, (), (bytes(limits.MAX_SHARE_BYTES - 1),)),
        Accusation((b"h", b"1" * 64), (b"h", b"2" * 63)),
        Accusation((bytes(limits.MAX_HEADER_BYTES + 1), b"1" * 64), (b"h", b"2" * 64)),
        Contribution((b"c" * 31,), (b"s",)),
        Contribution((b"c" * 32,), ()),
        Contribution((b"c" * 32,), (bytes(limits.MAX_SEALED_SECRET_BYTES + 1),)),
        Contribution(
            (b"c" * 32,) * (limits.MAX_COMMITTEE + 1), (b"s",) * (limits.MAX_COMMITTEE + 1)
        ),
        Holding((0,) * (limits.MAX_COMMITTEE + 1)),
        Opening((b"s" * 31,)),
        Opening((b"",) * (limits.MAX_COMMITTEE + 1)),
    ],
)
def test_what_is_out_of_bounds_is_refused(body: Body):
    with pytest.raises(PeerFault) as caught:
        parse_event(encoded(body))
    assert caught.value.code == "membership"


@pytest.mark.parametrize(
    ("node", "epoch", "signature"), [(b"n" * 31, 0, 64), (b"n" * 32, -1, 64), (b"n" * 32, 0, 63)]
)
def test_an_impossible_node_epoch_or_signature_is_refused(node: bytes, epoch: int, signature: int):
    data = encode_event(node, NETWORK, epoch, LeaveRequest(), lambda _: bytes(signature))
    with pytest.raises(PeerFault, match="impossible") as caught:
        parse_event(data)
    assert caught.value.code == "membership"


@pytest.mark.parametrize(
    ("wrapped", "code"),
    [
        (codec.wrap("coup", codec.encode(LeaveRequest())), "wrong-type"),
        (codec.wrap("leave", codec.encode(LeaveRequest()), version=2), "unknown-version"),
        (codec.wrap("leave", codec.encode((1,))), "malformed"),
        (b"\x00", "malformed"),
    ],
)
def test_other_types_and_versions_are_refused_by_name(wrapped: bytes, code: str):
    placed = codec.encode(events._Place(0, wrapped))
    data = codec.encode(events._Signed(KEY.public, placed, bytes(64)))
    with pytest.raises(PeerFault) as caught:
        parse_event(data)
    assert caught.value.code == code


def test_an_event_has_a_bounded_size():
    with pytest.raises(PeerFault) as caught:
        parse_event(bytes(limits.MAX_MEMBERSHIP_EVENT_BYTES + 1))
    assert caught.value.code == "oversized"


def parse_or_refuse(data: bytes) -> None:
    try:
        parse_event(data)
    except PeerFault:
        return


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes):
    parse_or_refuse(data)


@given(st.sampled_from(BODIES), st.data())
@settings(max_examples=300)
def test_spoiled_events_are_read_or_refused(body: Body, data: st.DataObject):
    spoiled = bytearray(encoded(body))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[place] = data.draw(st.integers(0, 255))
    parse_or_refuse(bytes(spoiled[: data.draw(st.integers(0, len(spoiled)))]))
    parse_or_refuse(bytes(spoiled))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=8,
)


@given(st.sampled_from(sorted(events._KINDS)), VALUES, VALUES)
def test_bodies_of_any_shape_are_read_or_refused(kind: str, value: object, epoch: object):
    placed = codec.encode((epoch, codec.wrap(kind, codec.encode(value))))
    parse_or_refuse(codec.encode((KEY.public, placed, bytes(64))))
