"""Ed25519 under ZIP-215: published vectors, and one verdict whatever the backend or the batch."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError

from ccp2p.crypto import _ed25519, _ed25519_pure, signatures
from ccp2p.crypto.arena import Arena
from tests.crypto.torsion import ORDER, TORSION, sign_with_torsion

Item = tuple[bytes, bytes, bytes]
Verify = Callable[[list[Item]], list[bool]]

KEYS = [signatures.SigningKey(bytes([i]) * 32) for i in range(20)]


@pytest.fixture(params=["pure", *_ed25519.BACKENDS])
def verify(request) -> Verify:
    if request.param == "pure":
        return _ed25519_pure.verify_many
    return lambda items: _ed25519.verify_many(items, request.param)


def signed(count: int, keys: int = len(KEYS)) -> list[Item]:
    items = []
    for index in range(count):
        key, message = KEYS[index % keys], b"message %d" % index
        items.append((key.public, key.sign(message), message))
    return items


def spoiled(item: Item) -> Item:
    return item[0], item[1], item[2] + b"!"


def test_zip215_vectors_are_all_valid(verify, vectors):
    pairs = vectors("ed25519/zip215.json")
    items = [(bytes.fromhex(key), bytes.fromhex(sig), b"Zcash") for key, sig in pairs]
    assert verify(items) == [True] * 196
    assert [verify([item])[0] for item in items] == [True] * 196


def test_cctv_vectors_are_all_valid(verify, vectors):
    items = [
        (bytes.fromhex(case["A"]), bytes.fromhex(case["R"] + case["S"]), case["M"].encode())
        for case in vectors("ed25519/cctv.json")
    ]
    assert verify(items) == [True] * 384


def test_speccheck_vectors(verify, vectors):
    fields = ("pub_key", "signature", "message")
    items = [
        tuple(bytes.fromhex(case[field]) for field in fields)
        for case in vectors("ed25519/speccheck.json")
    ]
    expected = [letter == "V" for letter in "VVVVVVXXXVVV"]
    assert verify(items) == expected
    assert [verify([item])[0] for item in items] == expected


def test_wycheproof_vectors(verify, vectors):
    items, expected = [], []
    for group in vectors("ed25519/wycheproof.json")["testGroups"]:
        for case in group["tests"]:
            key = bytes.fromhex(group["publicKey"]["pk"])
            items.append((key, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])))
            # ZIP-215 decodes x = 0 with either sign, which RFC 8032 does not.
            expected.append(case["result"] == "valid" or case["tcId"] == 151)
    assert verify(items) == expected
    assert [verify([item])[0] for item in items] == expected


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 11, 16, 33, 100])
def test_a_bad_signature_fails_alone_in_a_batch_of_any_size(verify, size):
    items = signed(size)
    assert verify(items) == [True] * size
    for bad in {0, size // 2, size - 1} if size else set():
        mixed = [spoiled(item) if index == bad else item for index, item in enumerate(items)]
        assert verify(mixed) == [index != bad for index in range(size)]


@pytest.mark.parametrize("backend", _ed25519.BACKENDS)
def test_a_batch_beyond_the_limit_is_judged_in_parts(backend):
    items = signed(4096, keys=16)
    items[2500] = spoiled(items[2500])
    verdicts = _ed25519.verify_many(items, backend)
    assert len(verdicts) == 4096
    assert [index for index, valid in enumerate(verdicts) if not valid] == [2500]


def test_messages_of_every_length_around_a_hash_block(verify):
    items = []
    for length in range(280):
        message = bytes(i % 256 for i in range(length))
        items.append((KEYS[0].public, KEYS[0].sign(message), message))
    assert verify(items) == [True] * len(items)
    cut = [(key, sig, message[:-1]) for key, sig, message in items[1:]]
    assert verify(cut) == [False] * len(cut)


def test_a_long_message_beside_short_ones(verify):
    long = os.urandom(100_000)
    items = [*signed(9), (KEYS[1].public, KEYS[1].sign(long), long)]
    assert verify(items) == [True] * 10


@pytest.mark.parametrize(("on_commitment", "on_key"), [(True, False), (False, True), (True, True)])
def test_torsion_never_parts_a_single_check_from_a_batch(verify, on_commitment, on_key):
    items = [
        sign_with_torsion(os.urandom(32), b"m%d" % index, on_commitment, on_key)
        for index in range(40)
    ]
    refused_by_libsodium = 0
    for public, signature, message in items:
        try:
            bindings.crypto_sign_open(signature + message, public)
        except BadSignatureError:
            refused_by_libsodium += 1
    assert refused_by_libsodium > 20
    assert verify(items) == [True] * 40
    assert [verify([item])[0] for item in items] == [True] * 40
    assert verify([spoiled(item) for item in items]) == [False] * 40


def test_responses_at_and_above_the_order_are_refused(verify):
    key, signature, message = signed(1)[0]
    response = int.from_bytes(signature[32:], "little")
    for other in (response + ORDER, ORDER, 2**256 - 1):
        assert verify([(key, signature[:32] + other.to_bytes(32, "little"), message)]) == [False]


def test_bytes_that_are_no_point_are_refused(verify):
    key, signature, message = signed(1)[0]
    no_point = b"\x02" + bytes(31)
    items = [(no_point, signature, message), (key, no_point + signature[32:], message)]
    assert verify(items * 8) == [False] * 16


def test_a_wrong_length_is_false_for_that_item_alone(verify):
    good = signed(1)[0]
    key, signature, message = good
    items = [good, (key[:31], signature, message), (key, signature + b"x", message), good]
    items += [(b"", b"", b""), (key, signature[:63], message)]
    assert verify(items) == [True, False, False, True, False, False]


def test_a_wrong_type_is_a_type_error(verify):
    key, signature, message = signed(1)[0]
    for bad in ((bytearray(key), signature, message), (key, None, message), (key, signature, "m")):
        with pytest.raises(TypeError):
            verify([signed(1)[0], bad])
    with pytest.raises(TypeError):
        verify([5])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 19),
            st.binary(max_size=40),
            st.sampled_from(["none", "key", "R", "S", "message"]),
            st.integers(0, 255),
        ),
        max_size=24,
    )
)
def test_native_and_pure_judge_altered_signatures_alike(cases):
    items = []
    for author, message, part, bit in cases:
        public, signature = KEYS[author].public, KEYS[author].sign(message)
        if part == "key":
            public = _flip(public, bit)
        elif part == "R":
            signature = _flip(signature[:32], bit) + signature[32:]
        elif part == "S":
            signature = signature[:32] + _flip(signature[32:], bit)
        elif part == "message":
            message += b"x"
        items.append((public, signature, message))
    expected = _ed25519_pure.verify_many(items)
    for backend in _ed25519.BACKENDS:
        assert _ed25519.verify_many(items, backend) == expected
        assert _ed25519.verify_many(items, backend, cached=False) == expected


def _flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "little") ^ (1 << bit)).to_bytes(len(data), "little")


def test_more_keys_than_the_cache_holds_change_no_verdict():
    seeds = [index.to_bytes(32, "big") for index in range(5000)]
    keys = [signatures.SigningKey(seed) for seed in seeds]
    items = [(key.public, key.sign(b"m"), b"m") for key in keys]
    for _ in range(2):
        assert all(_ed25519.verify_many(items))
    assert not any(_ed25519.verify_many([spoiled(item) for item in items[:100]]))


@pytest.mark.parametrize("size", [0, 1, 9, 60])
def test_an_arena_is_judged_as_its_items_are(core, monkeypatch, size):
    monkeypatch.setattr(signatures, "_core", core("ed25519"))
    items = [spoiled(item) if index % 7 == 3 else item for index, item in enumerate(signed(size))]
    arena, failed = _arena([message for _, _, message in items]), size - 1
    if size:
        arena.lengths[failed] = -1
    publics = b"".join(item[0] for item in items)
    joined = b"".join(item[1] for item in items)
    expected = [index % 7 != 3 and index != failed for index in range(size)]
    assert signatures.verify_arena(publics, joined, arena) == expected


def _arena(texts: list[bytes]) -> Arena:
    from array import array

    offsets, position = array("q"), 0
    for text in texts:
        offsets.append(position)
        position += len(text)
    return Arena(b"".join(texts), offsets, array("q", map(len, texts)))


def test_an_arena_that_does_not_add_up_is_a_value_error(core, monkeypatch):
    monkeypatch.setattr(signatures, "_core", core("ed25519"))
    key, signature, message = signed(1)[0]
    arena = _arena([message])
    with pytest.raises(ValueError, match="number"):
        signatures.verify_arena(key * 2, signature, arena)
    for offset, length in ((1, len(message)), (-1, 1), (0, len(message) + 1), (2**62, 2**62)):
        arena.offsets[0], arena.lengths[0] = offset, length
        with pytest.raises(ValueError, match="outside"):
            signatures.verify_arena(key, signature, arena)


def test_admissible_keys_are_canonical_and_of_prime_order():
    assert signatures.is_admissible_key(KEYS[0].public)
    mixed = bindings.crypto_core_ed25519_add(KEYS[0].public, TORSION)
    for key in (mixed, TORSION, b"\x01" + bytes(31), bytes(31), b"", b"\x02" + bytes(31)):
        assert not signatures.is_admissible_key(key)


def test_a_signing_key_shows_no_secret_and_needs_its_seed():
    assert (b"\x03" * 32).hex() not in repr(KEYS[3])
    with pytest.raises(ValueError, match="32"):
        signatures.SigningKey(bytes(31))


@pytest.mark.parametrize(
    ("environment", "backend"),
    [
        ({"CCP2P_PURE": "1"}, "pure"),
        ({"CCP2P_PURE": "0", "CCP2P_ED25519": "portable"}, "portable"),
        ({"CCP2P_PURE": "", "CCP2P_ED25519": "pure"}, "pure"),
    ],
)
def test_the_environment_picks_the_backend(environment, backend):
    program = "from ccp2p.crypto import signatures as s; print(s.BACKEND, s.NATIVE)"
    clean = {name: text for name, text in os.environ.items() if not name.startswith("CCP2P_")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [backend, str(backend != "pure")]


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(ValueError, match="abacus"):
        _ed25519.verify_many([], "abacus")
