"""Opening a commit's envelopes: native and pure are one, and agree with the members' code."""

import os
from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.crypto import _envelopes, _envelopes_pure, aead, envelopes
from ccp2p.model import codec, hashing, limits
from ccp2p.model.envelope import Envelope, Event, event_id, pad

NETWORK, EPOCH = b"n" * 32, 3
TAG_KEY, UP_KEY, MEMBER = b"t" * 32, b"u" * 32, b"m" * 32
TWINS = (_envelopes, _envelopes_pure)
GOOD, SEALED, ODD = envelopes.GOOD, envelopes.SEALED, envelopes.ODD


@pytest.fixture
def twin(core) -> ModuleType:
    return core("envelopes")


def tag_of(sequence: int) -> bytes:
    number = (sequence % (1 << 64)).to_bytes(8, "big")
    return hashing.keyed(hashing.ENVELOPE, TAG_KEY, number)[:16]


def sealed(padded: bytes, tag: bytes, algorithm: str = "aegis256", up_key: bytes = UP_KEY) -> bytes:
    associated = b"event" + NETWORK + EPOCH.to_bytes(8, "big") + tag
    return codec.encode(Envelope(EPOCH, tag, b"", aead.seal(algorithm, up_key, padded, associated)))


def envelope(sequence: int, body: bytes = b"body", **changes) -> bytes:
    event = Event(MEMBER, sequence, body, b"s" * 64)
    return sealed(pad(codec.encode(event)), tag_of(sequence), **changes)


def open_all(core: ModuleType, data: list[bytes], algorithm: str = "aegis256"):
    count = len(data)
    keys = ([TAG_KEY] * count, [UP_KEY] * count, [MEMBER] * count)
    return core.open_events(algorithm, NETWORK, EPOCH, data, *keys)


@pytest.mark.parametrize("algorithm", ["aegis256", "xchacha20"])
def test_events_come_out_as_they_went_in(twin, algorithm):
    numbers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1]
    bodies = [
        os.urandom(length) for length in (0, 1, 120, 121, 140, 255, 256, 800, 4000, 65_000, 9)
    ]
    data = [envelope(n, b, algorithm=algorithm) for n, b in zip(numbers, bodies, strict=True)]
    assert twin.tags_of(data, EPOCH) == [tag_of(number) for number in numbers]
    statuses, sequences, found, ids, signatures = open_all(twin, data, algorithm)
    assert statuses == bytes([GOOD]) * len(data)
    assert (sequences, found) == (numbers, bodies)
    expected = [event_id(NETWORK, MEMBER, n, b) for n, b in zip(numbers, bodies, strict=True)]
    assert ids == b"".join(expected)
    assert signatures == b"s" * 64 * len(data)


def odd_ones() -> dict[str, tuple[bytes, int]]:
    """Envelopes that open or do not, by what is the matter with them."""
    event = Event(MEMBER, 5, b"body", b"s" * 64)
    encoded, tag = codec.encode(event), tag_of(5)
    padded = pad(encoded)
    longer = len(encoded).to_bytes(4, "big") + encoded
    return {
        "another key": (envelope(5, up_key=b"x" * 32), SEALED),
        "short": (codec.encode(Envelope(EPOCH, tag, b"", b"short")), SEALED),
        "not a bucket": (sealed(padded[:-1], tag), ODD),
        "too large a bucket": (sealed(longer.ljust(1024, b"\0"), tag), ODD),
        "dirty padding": (sealed(padded[:-1] + b"x", tag), ODD),
        "long length": (sealed(b"\0\0\xff\xff" + padded[4:], tag), ODD),
        "trailing bytes": (sealed(pad(encoded + b"\0"), tag), ODD),
        "another tag": (sealed(padded, tag_of(6)), ODD),
        "another member": (
            sealed(pad(codec.encode(Event(b"o" * 32, 5, b"", b"s" * 64))), tag),
            ODD,
        ),
        "short signature": (sealed(pad(codec.encode(Event(MEMBER, 5, b"", b"s"))), tag), ODD),
        "negative": (sealed(pad(codec.encode(Event(MEMBER, -1, b"", b"s" * 64))), tag_of(-1)), ODD),
        "huge": (
            sealed(pad(codec.encode(Event(MEMBER, 1 << 63, b"", b"s" * 64))), tag_of(1 << 63)),
            ODD,
        ),
        "wide number": (sealed(pad(encoded.replace(b"\x05\xc4", b"\xcc\x05\xc4")), tag), ODD),
        "wide length": (sealed(pad(encoded.replace(b"\xc4\x04", b"\xc5\0\x04")), tag), ODD),
    }


@pytest.mark.parametrize("name", odd_ones())
def test_what_is_not_plain_is_left_to_the_caller(twin, name):
    data, status = odd_ones()[name]
    statuses, sequences, bodies, ids, signatures = open_all(twin, [envelope(1), data])
    assert list(statuses) == [GOOD, status]
    assert (sequences[1], bodies[1], ids[32:], signatures[64:]) == (0, b"", bytes(32), bytes(64))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        codec.encode(Envelope(EPOCH + 1, b"t" * 16, b"", b"sealed")),
        codec.encode(Envelope(-1, b"t" * 16, b"", b"sealed")),
        codec.encode(Envelope(EPOCH, b"t" * 15, b"", b"sealed")),
        codec.encode(Envelope(EPOCH, b"t" * 16, b"opening", b"sealed")),
        codec.encode(Envelope(EPOCH, b"t" * 16, b"", b"sealed")) + b"\0",
        b"\x94\xcc\x03" + codec.encode(Envelope(EPOCH, b"t" * 16, b"", b"sealed"))[2:],
        codec.encode(Envelope(EPOCH, b"t" * 16, b"", bytes(limits.MAX_ENVELOPE_BYTES))),
    ],
)
def test_other_bytes_have_no_tag_and_are_not_opened(twin, data):
    assert twin.tags_of([data, envelope(1)], EPOCH) == [None, tag_of(1)]
    with pytest.raises(ValueError, match="not a plain envelope"):
        open_all(twin, [data])


def test_thousands_of_spoiled_envelopes_are_judged_alike():
    random = Random(11)
    for _ in range(300):
        data = []
        for _ in range(10):
            good = bytearray(envelope(random.randrange(1 << random.randrange(1, 63)), b"b" * 9))
            if random.random() < 0.5:
                good[random.randrange(len(good))] ^= 1 << random.randrange(8)
            data.append(bytes(good))
        native, pure = (core.tags_of(data, EPOCH) for core in TWINS)
        assert native == pure
        plain = [each for each, tag in zip(data, native, strict=True) if tag is not None]
        assert open_all(_envelopes, plain) == open_all(_envelopes_pure, plain)


@given(st.binary(max_size=200), st.integers(0, 300))
@settings(max_examples=1500, deadline=None)
def test_any_plaintext_is_judged_alike(plaintext, sequence):
    data = [sealed(pad(plaintext), tag_of(sequence)), sealed(plaintext, tag_of(sequence))]
    assert open_all(_envelopes, data) == open_all(_envelopes_pure, data)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"algorithm": "rot13"}, ValueError),
        ({"network": b"short"}, ValueError),
        ({"keys": [b"short"]}, ValueError),
        ({"keys": []}, ValueError),
        ({"keys": [bytearray(32)]}, TypeError),
        ({"data": [None]}, TypeError),
    ],
)
def test_what_does_not_fit_is_refused(twin, change, error):
    given = {"algorithm": "aegis256", "network": NETWORK, "data": [envelope(1)], "keys": [UP_KEY]}
    given |= change
    with pytest.raises(error):
        twin.open_events(
            given["algorithm"],
            given["network"],
            EPOCH,
            given["data"],
            [TAG_KEY],
            given["keys"],
            [MEMBER],
        )
