"""Encoded buckets and their tree: native and pure are one, and are what the design says."""

from hashlib import blake2b
from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.crypto import _buckets, _buckets_pure
from ccp2p.model.hashing import ZERO_DIGEST

PLACEMENT, SALT_KEY = b"p" * 32, b"s" * 32
TWINS = (_buckets, _buckets_pure)


@pytest.fixture
def twin(core) -> ModuleType:
    return core("buckets")


class Store:
    """The buckets and the tree of one twin."""

    def __init__(self, core: ModuleType) -> None:
        self.core = core
        self.buckets: dict[int, bytes] = {}
        self.levels = [bytearray(65_536 // 16**level * 32) for level in range(4)]

    def write(self, writes, epoch: int = 0, commit: int = 1):
        folded = self.core.fold(writes, self.load, PLACEMENT, SALT_KEY, epoch, commit)
        places, encoded, digests = folded
        self.buckets.update(zip(places, encoded, strict=True))
        return folded, self.core.update_tree(self.levels, places, digests)

    def load(self, places):
        return [self.buckets.get(place, b"") for place in places]


def person(domain: bytes, data: bytes, key: bytes = b"") -> bytes:
    return blake2b(data, digest_size=32, person=domain, key=key).digest()


def test_a_write_is_placed_salted_and_hashed_as_the_design_says(twin):
    store = Store(twin)
    (places, (bucket,), digests), root = store.write({b"key": b"value"}, 3, 7)
    place = int.from_bytes(person(b"ccp2p.bucket", b"key", PLACEMENT)[:2], "big")
    position = (3).to_bytes(8, "big") + (7).to_bytes(8, "big")
    salt = person(b"ccp2p.salt", position + b"key", SALT_KEY)[:16]
    leaf = salt + (3).to_bytes(4, "big") + b"key" + b"value"
    assert places == [place]
    assert bucket == len(leaf).to_bytes(4, "big") + leaf
    assert digests == person(b"ccp2p.bucket", person(b"ccp2p.leaf", leaf))
    node = digests
    for level in range(4):
        children = bytearray(512)
        at = place // 16**level % 16 * 32
        children[at : at + 32] = node
        node = person(b"ccp2p.tree", bytes(children))
    assert root == node


def test_thousands_of_random_writes_leave_the_same_buckets_and_roots():
    random, stores, model = Random(7), [Store(core) for core in TWINS], {}
    for commit in range(250):
        writes = {}
        for _ in range(random.randrange(40)):
            key = bytes([random.randrange(64)]) * random.randrange(1, 6)
            kept = random.random() < 0.7
            writes[key] = random.randbytes(int(3000 ** random.random())) if kept else None
        native, pure = (store.write(writes, commit // 50, commit) for store in stores)
        assert native == pure
        model.update(writes)
    assert stores[0].buckets == stores[1].buckets
    assert stores[0].levels == stores[1].levels
    held = [pair for data in stores[0].buckets.values() for pair in _buckets.entries(data)]
    assert dict(held) == {key: value for key, value in model.items() if value is not None}
    for key, value in model.items():
        place = int.from_bytes(person(b"ccp2p.bucket", key, PLACEMENT)[:2], "big")
        assert all(core.find(stores[0].buckets.get(place, b""), key) == value for core in TWINS)


def test_a_bucket_has_one_encoding_whatever_the_order_of_writes(twin):
    results = [
        fold(twin, {bytes([n]): b"v" for n in order}) for order in (range(9), range(8, -1, -1))
    ]
    assert results[0] == results[1]
    one = results[0][1][0]
    assert twin.entries(one) == sorted(twin.entries(one))
    with pytest.raises(ValueError, match="malformed"):
        twin.digests([one + one])


def test_what_is_emptied_has_no_bytes_and_the_zero_digest(twin):
    store = Store(twin)
    store.write({b"a": b"1"})
    (_, encoded, digests), root = store.write({b"a": None, b"never": None})
    assert set(encoded) == {b""}
    assert digests == ZERO_DIGEST * len(encoded)
    assert root == ZERO_DIGEST
    assert store.write({})[1] is None


@given(st.binary(max_size=120))
@settings(max_examples=2000, deadline=None)
def test_any_bytes_are_one_bucket_or_none_to_both(data):
    for call in (
        lambda c: c.entries(data),
        lambda c: c.digests([data]),
        lambda c: c.find(data, b""),
    ):
        assert outcome(call, _buckets) == outcome(call, _buckets_pure)


def outcome(call, core: ModuleType):
    try:
        return call(core)
    except (ValueError, TypeError, OverflowError) as error:
        return type(error)


LEVELS = [bytearray(65_536 // 16**level * 32) for level in range(4)]


def fold(core, writes, load=lambda places: [b""] * len(places), placement=PLACEMENT):
    return core.fold(writes, load, placement, SALT_KEY, 0, 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda core: fold(core, {"key": b""}), TypeError),
        (lambda core: fold(core, {b"key": 7}), TypeError),
        (lambda core: fold(core, {b"key": b""}, placement=b"short"), ValueError),
        (lambda core: fold(core, {b"key": b""}, lambda _: []), ValueError),
        (lambda core: fold(core, {b"key": b""}, lambda _: [None]), TypeError),
        (lambda core: fold(core, {b"key": b""}, lambda _: [b"broken"]), ValueError),
        (lambda core: core.digests([b"broken"]), ValueError),
        (lambda core: core.digests([bytearray(3)]), TypeError),
        (lambda core: core.entries(b"\0\0\0\x14" + bytes(16) + b"\0\0\0\1"), ValueError),
        (lambda core: core.update_tree(LEVELS[:3], [], b""), ValueError),
        (lambda core: core.update_tree([*LEVELS[:3], bytearray(1)], [], b""), ValueError),
        (lambda core: core.update_tree([*LEVELS[:3], bytes(512)], [], b""), TypeError),
        (lambda core: core.update_tree(LEVELS, [1], b"short"), ValueError),
        (lambda core: core.update_tree(LEVELS, [1, 1], bytes(64)), ValueError),
        (lambda core: core.update_tree(LEVELS, [2, 1], bytes(64)), ValueError),
        (lambda core: core.update_tree(LEVELS, [65_536], bytes(32)), ValueError),
        (lambda core: core.update_tree(LEVELS, [-1], bytes(32)), ValueError),
    ],
)
def test_what_does_not_fit_is_refused(twin, call, error):
    with pytest.raises(error):
        call(twin)
    assert not any(any(level) for level in LEVELS)
