import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.model import block as blocks
from ccp2p.model import codec, limits
from ccp2p.model.block import Block, BlockHeader, BlockReference, Payload, VerifiedBlock
from ccp2p.model.errors import PeerFault

KEY = SigningKey(b"k" * 32)
NETWORK = b"n" * 32
PAYLOAD = Payload((b"one", b"two"), (b"vote",))


def build(payload: Payload = PAYLOAD, **changes: object) -> VerifiedBlock:
    payload_bytes = codec.encode(payload)
    header = BlockHeader(
        NETWORK,
        0,
        1,
        2,
        (blocks.epoch_root(NETWORK, 0),),
        blocks.payload_digest(payload_bytes),
        b"",
        123,
    )
    header = msgspec.structs.replace(header, **changes)
    unsigned = blocks.build(header, payload, payload_bytes, b"")
    return blocks.build(header, payload, payload_bytes, KEY.sign(unsigned.signed_bytes()))


BLOCK = build()
ENCODED = BLOCK.to_bytes()


def fault_of(data: bytes) -> str:
    with pytest.raises(PeerFault) as caught:
        Block.parse(data)
    return caught.value.code


def test_a_block_is_read_back_with_the_bytes_it_came_in():
    parsed = Block.parse(ENCODED)
    assert parsed.to_bytes() == ENCODED
    assert parsed.to_bytes() is parsed.to_bytes()
    assert parsed.reference == BLOCK.reference == BlockReference(1, 2, parsed.reference.digest)
    assert (parsed.header, parsed.payload) == (BLOCK.header, PAYLOAD)
    assert verify(KEY.public, parsed.signature, parsed.signed_bytes())


def test_parsing_does_not_make_a_block_verified():
    assert not isinstance(Block.parse(ENCODED), VerifiedBlock)
    assert isinstance(VerifiedBlock.trust(Block.parse(ENCODED)), VerifiedBlock)


def test_the_id_covers_the_header_and_not_the_signature():
    header, _, payload = msgspec.msgpack.decode(ENCODED)
    forged = Block.parse(codec.encode([header, b"x" * 64, payload]))
    assert forged.reference == BLOCK.reference
    assert build(timestamp_ms=124).reference != BLOCK.reference


def test_another_payload_is_refused():
    header, signature, _ = msgspec.msgpack.decode(ENCODED)
    other = codec.encode(Payload((b"one",)))
    assert fault_of(codec.encode([header, signature, other])) == "payload-digest"


def test_a_header_in_a_second_encoding_is_refused():
    _, signature, payload = msgspec.msgpack.decode(ENCODED)
    header = BLOCK.header_bytes
    assert header[0] == 0x98
    stretched = b"\xdc\x00\x08" + header[1:]
    assert fault_of(codec.encode([stretched, signature, payload])) == "not-canonical"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (bytes(limits.MAX_PAYLOAD_BYTES + 1), "oversized"),
        (b"\x93\x90\x90", "malformed"),
        (b"", "malformed"),
    ],
)
def test_a_payload_that_is_none_is_refused(payload: bytes, code: str):
    header = msgspec.structs.replace(BLOCK.header, payload=blocks.payload_digest(payload))
    assert fault_of(codec.encode([codec.encode(header), b"s" * 64, payload])) == code


def test_an_oversized_block_or_header_is_refused():
    assert fault_of(bytes(limits.MAX_BLOCK_BYTES + 1)) == "oversized"
    header = bytes(limits.MAX_HEADER_BYTES + 1)
    assert fault_of(codec.encode([header, b"", b""])) == "oversized"


@pytest.mark.parametrize("kept", range(0, len(ENCODED), 7))
def test_a_truncated_block_is_refused(kept: int):
    assert fault_of(ENCODED[:kept]) == "malformed"


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_peers_fault(data: bytes):
    fault_of(data)


@given(st.integers(0, len(ENCODED) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_leaves_the_signature_wrong(at: int, value: int):
    changed = bytes([*ENCODED[:at], value, *ENCODED[at + 1 :]])
    try:
        parsed = Block.parse(changed)
    except PeerFault:
        return
    holds = verify(KEY.public, parsed.signature, parsed.signed_bytes())
    assert holds == (changed == ENCODED)


@given(
    st.integers(0, 1 << 62),
    st.integers(0, 199),
    st.lists(st.binary(max_size=50), max_size=5),
    st.integers(0, limits.MAX_TIMESTAMP_MS),
)
def test_any_block_survives_the_wire(round_, author, envelopes, timestamp_ms):
    built = build(Payload(tuple(envelopes)), round=round_, author=author, timestamp_ms=timestamp_ms)
    parsed = Block.parse(built.to_bytes())
    assert (parsed.reference, parsed.payload) == (built.reference, built.payload)


def test_roots_differ_by_network_and_epoch():
    roots = {blocks.epoch_root(n, e).digest for n in (NETWORK, b"m" * 32) for e in (0, 1)}
    assert len(roots) == 4


def test_an_empty_payload_changes_nothing():
    assert Payload().is_empty
    assert not Payload(votes=(b"v",)).is_empty
    assert not Payload(membership=(b"m",)).is_empty
