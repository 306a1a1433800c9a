"""Authenticated encryption: native and pure are one function, and agree with published vectors."""

from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccp2p.crypto import _aead, _aead_pure, aead

ALGORITHMS = ("aegis256", "xchacha20")
KEY = bytes(range(32))


@pytest.fixture
def cipher(core, monkeypatch) -> ModuleType:
    monkeypatch.setattr(aead, "_core", core("aead"))
    return aead


def _published(group: dict) -> list[tuple[bytes, bytes, bytes, bytes, bool]]:
    return [
        (
            bytes.fromhex(case["key"]),
            bytes.fromhex(case["aad"]),
            bytes.fromhex(case["msg"]),
            bytes.fromhex(case["iv"] + case["ct"] + case["tag"]),
            case["result"] == "valid",
        )
        for case in group["tests"]
    ]


def test_xchacha20_agrees_with_wycheproof(cipher, vectors):
    judged = 0
    for group in vectors("aead/xchacha20_poly1305_wycheproof.json")["testGroups"]:
        if group["ivSize"] != 192:
            continue
        for key, associated, plaintext, sealed, valid in _published(group):
            opened = cipher.open_one("xchacha20", key, sealed, associated)
            assert opened == (plaintext if valid else None)
            if valid:
                nonce = sealed[:24]
                assert cipher.seal("xchacha20", key, plaintext, associated, nonce) == sealed
            judged += 1
    assert judged > 250


def test_aegis256_ciphertexts_agree_with_wycheproof_whose_tags_are_shorter(cipher, vectors):
    judged = 0
    for group in vectors("aead/aegis256_wycheproof.json")["testGroups"]:
        for key, associated, plaintext, sealed, valid in _published(group):
            if not valid or group["ivSize"] != 256 or group["tagSize"] != 128:
                continue
            ours = cipher.seal("aegis256", key, plaintext, associated, sealed[:32])
            assert ours[:-32] == sealed[:-16]
            # The 128-bit tag is the exclusive or of the halves of the 256-bit tag.
            halves = zip(ours[-32:-16], ours[-16:], strict=True)
            assert bytes(a ^ b for a, b in halves) == sealed[-16:]
            judged += 1
    assert judged > 50


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_items_come_back_in_order(cipher, algorithm):
    texts = [bytes([i % 251]) * i for i in range(300)]
    keys = [bytes([i % 7]) * 32 for i in range(300)]
    associated = [b"a" * (i % 40) for i in range(300)]
    sealed = list(cipher.seal_many(algorithm, keys, associated, texts))
    assert list(cipher.open_many(algorithm, keys, associated, sealed)) == texts


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_altered_item_fails_alone_and_leaves_nothing_behind(cipher, algorithm):
    count, text = 5, b"secret" * 10
    keys, associated = [KEY] * count, [b"x"] * count
    sealed = list(cipher.seal_many(algorithm, keys, associated, [text] * count))
    sealed[1] = sealed[1][:-1] + bytes([sealed[1][-1] ^ 1])
    sealed[3] = sealed[3][:20]
    opened = cipher.open_many(algorithm, keys, associated, sealed)
    assert list(opened) == [text, None, text, None, text]
    assert opened.buffer.replace(text, b"").strip(b"\0") == b""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_or_associated_data_does_not_open(cipher, algorithm):
    sealed = cipher.seal(algorithm, KEY, b"text", b"a")
    assert cipher.open_one(algorithm, KEY, sealed, b"a") == b"text"
    assert cipher.open_one(algorithm, bytes(32), sealed, b"a") is None
    assert cipher.open_one(algorithm, KEY, sealed, b"b") is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nonces_are_fresh_unless_given(cipher, algorithm):
    size = cipher.NONCE_BYTES[algorithm]
    sealed = cipher.seal_many(algorithm, [KEY] * 64, [b""] * 64, [b""] * 64)
    assert len({item[:size] for item in sealed}) == 64
    fixed = cipher.seal(algorithm, KEY, b"", b"", bytes(size))
    assert fixed[:size] == bytes(size)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_items_are_an_empty_arena(cipher, algorithm):
    assert len(cipher.seal_many(algorithm, [], [], [])) == 0
    assert list(cipher.open_many(algorithm, [], [], [])) == []


def test_callers_mistakes_are_exceptions(cipher):
    with pytest.raises(ValueError, match="unknown algorithm"):
        cipher.seal("rot13", KEY, b"", b"")
    with pytest.raises(ValueError, match="key"):
        cipher.seal("aegis256", KEY[:31], b"", b"")
    with pytest.raises(ValueError, match="nonce"):
        cipher.seal("aegis256", KEY, b"", b"", bytes(31))
    with pytest.raises(ValueError, match="number"):
        cipher.open_many("aegis256", [KEY], [b""], [])
    with pytest.raises(TypeError):
        cipher.open_many("aegis256", [KEY], [b""], [bytearray(80)])
    with pytest.raises(ValueError, match="nonce"):
        cipher.seal_many("aegis256", [KEY], [b""], [b""], [])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ALGORITHMS),
    st.lists(
        st.tuples(
            st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.binary(max_size=300)
        ),
        max_size=20,
    ),
    st.data(),
)
def test_native_and_pure_seal_and_open_alike(algorithm, items, data):
    keys, associated, texts = (
        (list(column) for column in zip(*items, strict=True))
        if items
        else (
            [],
            [],
            [],
        )
    )
    size = aead.NONCE_BYTES[algorithm] * len(items)
    nonces = data.draw(st.binary(min_size=size, max_size=size))
    native = _aead.seal_many(algorithm, keys, nonces, associated, texts)
    assert native == _aead_pure.seal_many(algorithm, keys, nonces, associated, texts)
    sealed = [
        data.draw(st.one_of(st.just(item), st.binary(max_size=100), st.just(item[:-1])))
        for item in native
    ]
    opened = _aead.open_many(algorithm, keys, associated, sealed)
    assert list(opened) == list(_aead_pure.open_many(algorithm, keys, associated, sealed))
