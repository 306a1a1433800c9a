"""HPKE: the published vector, an independent receiver, and refusals."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.crypto import hpke
from tests.crypto import hpke_by_the_book

KEY = hpke.PrivateKey(bytes(range(32)))


# RFC 9180 section A.2.1: the first encryption.
RFC_SECRET = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
RFC_INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
RFC_BLOB = bytes.fromhex(
    "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
    "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db"
    "21993c62ce81883d2dd1b51a28"
)


def test_the_receiver_by_the_book_opens_the_published_vector():
    text = hpke_by_the_book.open_(RFC_SECRET, RFC_BLOB, RFC_INFO, b"Count-0")
    assert text == b"Beauty is truth, truth beauty"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=100))
def test_what_we_seal_the_receiver_by_the_book_opens(info, associated, text):
    blob = hpke.seal(KEY.public, info, text, associated)
    bound = struct.pack(">I", len(info)) + info + associated
    assert hpke_by_the_book.open_(bytes(range(32)), blob, bound) == text
    assert KEY.open(blob, info, associated) == text
    assert len(blob) == len(text) + hpke.OVERHEAD_BYTES


def test_info_and_associated_data_are_bound_apart():
    blob = hpke.seal(KEY.public, b"ab", b"text", b"c")
    assert KEY.open(blob, b"ab", b"c") == b"text"
    assert KEY.open(blob, b"a", b"bc") is None
    assert KEY.open(blob, b"abc") is None
    assert hpke.PrivateKey.generate().open(blob, b"ab", b"c") is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_arbitrary_bytes_never_open_and_never_raise(blob):
    assert KEY.open(blob, b"") is None


def test_encapsulations_of_small_order_do_not_open():
    tail = hpke.seal(KEY.public, b"", b"text")[32:]
    for encapsulation in (bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"):
        assert KEY.open(encapsulation + tail, b"") is None


def test_a_bad_public_key_is_a_value_error():
    for key in (b"", bytes(31), bytes(32)):
        with pytest.raises(ValueError, match=r"32 bytes|shared key"):
            hpke.seal(key, b"", b"text")


def test_the_representation_shows_no_secret():
    assert bytes(range(32)).hex() not in repr(KEY)
