import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import codec
from ccp2p.model.block import Payload
from ccp2p.model.codec import Wire
from ccp2p.model.errors import MemberFault, PeerFault


class Sample(Wire, frozen=True):
    number: int
    text: str
    items: tuple[bytes, ...] = ()


SAMPLE = Sample(7, "seven", (b"a", b"b"))
ENCODED = codec.encode(SAMPLE)


def code_of(data: bytes, limit_bytes: int = 1024) -> str:
    with pytest.raises(PeerFault) as caught:
        codec.decode(data, Sample, limit_bytes)
    return caught.value.code


@given(st.integers(-(1 << 63), (1 << 64) - 1), st.text(), st.lists(st.binary()))
def test_what_is_encoded_is_decoded_and_canonical(number: int, text: str, items: list[bytes]):
    sample = Sample(number, text, tuple(items))
    data = codec.encode(sample)
    assert codec.decode_canonical(data, Sample, len(data)) == sample


def test_one_byte_over_the_limit_is_refused_before_it_is_read():
    assert codec.decode(ENCODED, Sample, len(ENCODED)) == SAMPLE
    assert code_of(ENCODED, len(ENCODED) - 1) == "oversized"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ENCODED[:-1],
        ENCODED + b"\x00",
        codec.encode([7, "seven", [b"a"], "unknown field"]),
        codec.encode([7]),
        codec.encode(["7", "seven", []]),
        codec.encode([7, b"\xff", []]),
        codec.encode({"number": 7, "text": "seven"}),
        b"\x92\x07\xa1\xff",
        b"\x91" * 100_000,
    ],
    ids=[
        "empty",
        "truncated",
        "trailing",
        "unknown-field",
        "too-few",
        "wrong-type",
        "bytes-for-text",
        "map",
        "not-utf-8",
        "too-deep",
    ],
)
def test_what_is_not_the_type_is_malformed(data: bytes):
    assert code_of(data, 200_000) == "malformed"


def test_the_fault_is_the_one_of_whoever_sent_it():
    with pytest.raises(MemberFault):
        codec.decode(b"", Sample, 10, MemberFault)


def test_a_claimed_length_costs_no_memory():
    # 2**32 - 1 envelopes in five bytes.
    with pytest.raises(PeerFault):
        codec.decode(b"\x93\xdd\xff\xff\xff\xff", Payload, 1024)
    with pytest.raises(PeerFault):
        codec.decode(b"\x93\x90\x90\xdd\xff\xff\xff\xff", Payload, 1024)


@pytest.mark.parametrize(
    "data",
    [
        b"\x93\xcc\x07\xa5seven\x92\xc4\x01a\xc4\x01b",  # 7 in two bytes
        b"\xdc\x00\x03\x07\xa5seven\x92\xc4\x01a\xc4\x01b",  # the array's length in two bytes
        b"\x93\x07\xd9\x05seven\x92\xc4\x01a\xc4\x01b",  # the text's length in one more byte
        b"\x93\x07\xa5seven\x92\xc5\x00\x01a\xc4\x01b",
        codec.encode([7, "seven"]),  # a default left out
    ],
)
def test_a_second_encoding_of_the_same_value_is_refused(data: bytes):
    codec.decode(data, Sample, 1024)
    with pytest.raises(PeerFault) as caught:
        codec.decode_canonical(data, Sample, 1024)
    assert caught.value.code == "not-canonical"


@given(st.binary(max_size=200))
def test_canonical_decoding_accepts_only_what_encodes_to_itself(data: bytes):
    try:
        value = codec.decode_canonical(data, Sample, 1024)
    except PeerFault:
        return
    assert codec.encode(value) == data


def test_wrapping_is_undone_by_unwrapping():
    assert codec.unwrap(codec.wrap("sample", ENCODED), "sample", 1024) == ENCODED


@pytest.mark.parametrize(
    ("data", "code", "named"),
    [
        (codec.wrap("other", ENCODED), "wrong-type", "'other'"),
        (codec.wrap("sample", ENCODED, 2), "unknown-version", "version 2"),
        (codec.wrap("x" * 500, ENCODED), "wrong-type", "'" + "x" * 32 + "'"),
        (ENCODED[:3], "malformed", "Outer"),
    ],
)
def test_another_type_or_version_is_refused_by_name(data: bytes, code: str, named: str):
    with pytest.raises(PeerFault, match=named) as caught:
        codec.unwrap(data, "sample", 1024)
    assert caught.value.code == code


def test_wire_values_cannot_be_changed():
    with pytest.raises(AttributeError):
        SAMPLE.number = 8
    assert isinstance(SAMPLE, msgspec.Struct)


def test_a_fault_names_positions_and_never_values():
    with pytest.raises(PeerFault) as caught:
        codec.decode(codec.encode(["a secret", "seven", []]), Sample, 1024)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 256, 65535, 65536])
def test_a_list_is_encoded_the_same_item_by_item(count: int):
    items = [b"item"] * count
    assert codec.encode_each(iter(items)) == codec.encode(items)
