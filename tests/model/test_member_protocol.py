import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import codec, limits
from ccp2p.model.errors import MemberFault, PeerFault
from ccp2p.model.member_protocol import (
    AskHosting,
    GetPeers,
    GetStatus,
    GiveShare,
    Hello,
    Hosting,
    Outcomes,
    Peers,
    PeerShown,
    Query,
    Recover,
    Recovered,
    Refusal,
    Refused,
    Reply,
    SeatStatus,
    ShareTaken,
    Status,
    Submit,
    Welcome,
    decode_client_message,
    decode_node_message,
    encode_message,
)

FROM_CLIENT = [
    Hello(b"n" * 32),
    Submit((b"a", b"b")),
    Query(1, b"s", b"q"),
    GetStatus(2, 0),
    Recover(3, b"plan", ((0, b"signature"),)),
    GiveShare(3, b"e" * 32, 1, b"sealed"),
    GetPeers(4),
    AskHosting(5, b"sealed"),
]
FROM_NODE = [
    Welcome(b"g", (b"r",), b"n", b"s", b"e", ("a",), ("b",)),
    Refused((Refusal(b"t", "code", "message"),)),
    Outcomes(((b"t", b"o"),)),
    Reply(1, b"s", ""),
    Hosting(5, b"sealed", ""),
    Recovered(3, "alive", "a quorum lives", b""),
    ShareTaken(3, "", "", 1, 2),
    Peers(
        4,
        (PeerShown(b"n" * 32, "", True, False, 5, 6, "t", "v", 1, 2, 3, 4, (("sealed", 2),), ""),),
        (("full", 1),),
        1,
        0,
        ("/ip4/127.0.0.1/tcp/1",),
    ),
    Status(2, 0, 5, b"c", b"r", 1, 7, 4, 3, "peers:9", (SeatStatus(b"n", "tdx", 1, 7),), (b"o",)),
]


@pytest.mark.parametrize("message", FROM_CLIENT, ids=lambda m: m.kind)
def test_a_clients_message_is_read_back(message):
    assert decode_client_message(encode_message(message), MemberFault) == message


@pytest.mark.parametrize("message", FROM_NODE, ids=lambda m: m.kind)
def test_a_nodes_message_is_read_back(message):
    assert decode_node_message(encode_message(message), PeerFault) == message


@pytest.mark.parametrize("message", FROM_NODE, ids=lambda m: m.kind)
def test_a_node_takes_no_nodes_message_from_a_client(message):
    with pytest.raises(MemberFault, match=message.kind) as caught:
        decode_client_message(encode_message(message), MemberFault)
    assert caught.value.code == "wrong-type"


@pytest.mark.parametrize("message", FROM_CLIENT, ids=lambda m: m.kind)
def test_an_unknown_version_is_refused_by_name(message):
    frame = codec.wrap(message.kind, codec.encode(message), 2)
    with pytest.raises(MemberFault, match="version 2") as caught:
        decode_client_message(frame, MemberFault)
    assert caught.value.code == "unknown-version"


@pytest.mark.parametrize("number", [-1, 1 << 62])
@pytest.mark.parametrize("kind", [Query, GetStatus])
def test_a_number_that_no_seal_can_carry_is_malformed(kind, number: int):
    fields = (number, b"s", b"q") if kind is Query else (number, 0)
    with pytest.raises(MemberFault) as caught:
        decode_client_message(encode_message(kind(*fields)), MemberFault)
    assert caught.value.code == "malformed"


def test_an_oversized_frame_is_refused():
    with pytest.raises(MemberFault) as caught:
        decode_client_message(bytes(limits.MAX_CLIENT_FRAME_BYTES + 1), MemberFault)
    assert caught.value.code == "oversized"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_blame_whoever_sent_them(data: bytes):
    with pytest.raises(MemberFault):
        decode_client_message(data, MemberFault)
    with pytest.raises(PeerFault):
        decode_node_message(data, PeerFault)


@given(st.sampled_from(FROM_CLIENT + FROM_NODE), st.data())
def test_a_changed_byte_raises_nothing_but_a_fault(message, data: st.DataObject):
    good = encode_message(message)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytes([*good[:at], data.draw(st.integers(0, 255)), *good[at + 1 :]])
    for decode, fault in ((decode_client_message, MemberFault), (decode_node_message, PeerFault)):
        try:
            decode(changed, fault)
        except fault:
            continue
