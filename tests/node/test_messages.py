import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.gossip.messages import Announce, Graft, Have, Prune, Want
from ccp2p.membership.founding import FounderRequest
from ccp2p.model import codec, limits
from ccp2p.model.block import BlockReference
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import PeerFault
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FloorReply,
    FloorRequest,
    FollowReply,
    FollowRequest,
    FoundingComplete,
    FoundingJoin,
    FoundingProposal,
    FoundingRefusal,
    FoundingSignature,
    HandedOn,
    PeerMessage,
    RecordComplete,
    RecordSignature,
    RecoveryAnswer,
    RecoveryProposal,
    Relay,
    SecretReply,
    SecretRequest,
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
    decode_message,
    encode_fetched,
    encode_message,
)
from ccp2p.node.network_record import NodeAddresses

REQUEST = FounderRequest(b"n" * 32, b"s" * 32, b"evidence", ("a",), ("b",), b"invite")
MESSAGES = [
    Blocks((b"one", b"two")),
    FetchBlocks((BlockReference(1, 2, b"d" * 32),), (0, 1, 2, 3), 0),
    FetchedBlocks(()),
    FloorRequest(b"nonce"),
    FloorReply(b"nonce", 0, b"own", b"yours", True),
    RecordSignature(1, b"signature"),
    RecordComplete(SignedEpochRecord(b"record", ((0, b"signature"),))),
    RecoveryProposal(b"record", ((0, b"signature"),), b"sealed"),
    RecoveryAnswer(b"digest", b"", "because"),
    Relay((b"event",)),
    HandedOn((b"envelope",)),
    FollowRequest(b"digest"),
    FollowReply(
        (SignedEpochRecord(b"record", ()),),
        b"anchor",
        "observer",
        "",
        (NodeAddresses(b"n" * 32, ("a",), ("b",)),),
    ),
    SecretRequest(b"key"),
    SecretReply(b"key", b"secret"),
    VoteRequest(1, 2),
    VoteReply(2, b"vote"),
    SnapshotRequest(1, 2, -1),
    SnapshotHead(1, 2, (b"commit",), (b"n" * 32,)),
    SnapshotPart(2, 3, ((7, b"bucket"),), False),
    FoundingJoin(REQUEST),
    FoundingProposal(b"record", (REQUEST,), b"sealed"),
    FoundingSignature(b"signature"),
    FoundingRefusal("because"),
    FoundingComplete(SignedEpochRecord(b"record", ((0, b"signature"),))),
    Announce(b"announcement"),
    Have((b"i" * 32,)),
    Want((b"i" * 32,)),
    Graft(),
    Prune(),
]


def test_every_kind_of_message_is_here():
    assert {type(message) for message in MESSAGES} == set(PeerMessage.__args__)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.kind)
def test_a_message_is_read_back(message: PeerMessage):
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.kind)
def test_an_unknown_version_is_refused_by_name(message: PeerMessage):
    with pytest.raises(PeerFault, match="version 2") as caught:
        decode_message(codec.wrap(message.kind, codec.encode(message), 2))
    assert caught.value.code == "unknown-version"


def test_an_unknown_type_is_refused_by_name():
    with pytest.raises(PeerFault, match="'gossip'") as caught:
        decode_message(codec.wrap("gossip", codec.encode(MESSAGES[0])))
    assert caught.value.code == "wrong-type"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.kind)
def test_another_kinds_body_is_malformed(message: PeerMessage):
    with pytest.raises(PeerFault) as caught:
        decode_message(codec.wrap(message.kind, codec.encode([{"a": 1}] * 7)))
    assert caught.value.code == "malformed"


def test_an_oversized_frame_is_refused():
    with pytest.raises(PeerFault) as caught:
        decode_message(bytes(limits.MAX_FRAME_BYTES + 1))
    assert caught.value.code == "oversized"


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_a_peers_fault(data: bytes):
    with pytest.raises(PeerFault):
        decode_message(data)


@given(st.sampled_from(MESSAGES), st.binary(max_size=200))
def test_a_garbage_body_raises_nothing_but_a_peers_fault(message: PeerMessage, body: bytes):
    for frame in (b"\x93" + codec.encode(message.kind) + b"\x01" + body,):
        try:
            decode_message(frame)
        except PeerFault:
            continue


@given(st.sampled_from(MESSAGES), st.data())
def test_a_changed_or_cut_frame_raises_nothing_but_a_peers_fault(message, data: st.DataObject):
    good = encode_message(message)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytes([*good[:at], data.draw(st.integers(0, 255)), *good[at + 1 :]])
    for frame in (changed, good[:at]):
        try:
            decode_message(frame)
        except PeerFault:
            continue


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_fetched_blocks_make_the_same_frame_one_by_one(blocks: list[bytes]) -> None:
    assert encode_fetched(iter(blocks)) == encode_message(FetchedBlocks(tuple(blocks)))
