"""The pure twin of `ext/buckets.pyx`.

An encoded bucket is its entries in key order, each the size of what follows (4 bytes), then what
its leaf hashes: salt (16 bytes), the key's size (4 bytes), key and value. Sizes are big-endian.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise

from ccp2p.model.hashing import BUCKET, DIGEST_BYTES, LEAF, SALT, TREE, ZERO_DIGEST, digest, keyed

_KEY_BYTES = 32
_SALT_BYTES = 16
_SIZE_BYTES = 4
_FIXED_BYTES = _SALT_BYTES + _SIZE_BYTES
_MAX_ENTRY_BYTES = 1 << 30
_ARITY = 16
_LEVELS = 4
_LEAVES = 65_536
_GROUP_BYTES = _ARITY * DIGEST_BYTES
_EMPTY_GROUP = bytes(_GROUP_BYTES)


def fold(
    writes: Mapping[bytes, bytes | None],
    load: Callable[[list[int]], Sequence[bytes]],
    placement: bytes,
    salt_key: bytes,
    epoch: int,
    commit: int,
) -> tuple[list[int], list[bytes], bytes]:
    """See `ccp2p.crypto.buckets`."""
    if len(placement) != _KEY_BYTES or len(salt_key) != _KEY_BYTES:
        raise ValueError(f"a key has {_KEY_BYTES} bytes")
    position = epoch.to_bytes(8, "big") + commit.to_bytes(8, "big")
    placer = blake2b(digest_size=DIGEST_BYTES, person=BUCKET, key=placement)
    by_place: dict[int, dict[bytes, bytes | None]] = {}
    for key, value in writes.items():
        if type(key) is not bytes or not (value is None or type(value) is bytes):
            raise TypeError("keys and values must be bytes")
        if value is not None and len(key) + len(value) > _MAX_ENTRY_BYTES:
            raise ValueError("a key or value is too long")
        state = placer.copy()
        state.update(key)
        leaf = None
        if value is not None:
            salt = keyed(SALT, salt_key, position, key)[:_SALT_BYTES]
            leaf = b"".join((salt, len(key).to_bytes(_SIZE_BYTES, "big"), key, value))
        by_place.setdefault(int.from_bytes(state.digest()[:2], "big"), {})[key] = leaf
    places = sorted(by_place)
    olds = load(places)
    if len(olds) != len(places):
        raise ValueError("one bucket a place must be loaded")
    encoded = [_merge(old, by_place[place]) for place, old in zip(places, olds, strict=True)]
    return places, encoded, digests(encoded)


def digests(buckets: Sequence[bytes]) -> bytes:
    """See `ccp2p.crypto.buckets`."""
    return b"".join(map(_digest, buckets))


def find(bucket: bytes, key: bytes) -> bytes | None:
    """See `ccp2p.crypto.buckets`."""
    for held, leaf in _leaves(bucket):
        if held == key:
            return leaf[_FIXED_BYTES + len(key) :]
    return None


def entries(bucket: bytes) -> list[tuple[bytes, bytes]]:
    """See `ccp2p.crypto.buckets`."""
    pairs = [(key, leaf[_FIXED_BYTES + len(key) :]) for key, leaf in _leaves(bucket)]
    _check_order([key for key, _ in pairs])
    return pairs


def update_tree(levels: Sequence[bytearray], indices: Sequence[int], leaves: bytes) -> bytes | None:
    """See `ccp2p.crypto.buckets`."""
    sizes = [_LEAVES // _ARITY**level * DIGEST_BYTES for level in range(_LEVELS)]
    if len(levels) != _LEVELS or len(leaves) != len(indices) * DIGEST_BYTES:
        raise ValueError("levels, indices and leaves do not fit")
    if any(type(nodes) is not bytearray for nodes in levels):
        raise TypeError("a level must be a bytearray")
    if [len(nodes) for nodes in levels] != sizes:
        raise ValueError("levels, indices and leaves do not fit")
    bounds = [-1, *indices, _LEAVES]
    if any(left >= right for left, right in pairwise(bounds)):
        raise ValueError("indices must ascend, below the number of leaves")
    changed = {
        index: leaves[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]
        for place, index in enumerate(indices)
    }
    for nodes in levels:
        for index, value in changed.items():
            nodes[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES] = value
        groups = dict.fromkeys(index // _ARITY for index in changed)
        changed = {
            group: _node(nodes[group * _GROUP_BYTES : (group + 1) * _GROUP_BYTES])
            for group in groups
        }
    return changed.get(0)


def _merge(bucket: bytes, writes: Mapping[bytes, bytes | None]) -> bytes:
    merged: dict[bytes, bytes | None] = dict(_leaves(bucket))
    merged.update(writes)
    leaves = [leaf for _, leaf in sorted(merged.items()) if leaf is not None]
    return b"".join(part for leaf in leaves for part in (len(leaf).to_bytes(4, "big"), leaf))


def _digest(bucket: bytes) -> bytes:
    found = list(_leaves(bucket))
    _check_order([key for key, _ in found])
    if not found:
        return ZERO_DIGEST
    return digest(BUCKET, *(digest(LEAF, leaf) for _, leaf in found))


def _leaves(bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each entry's key and what its leaf hashes."""
    if type(bucket) is not bytes:
        raise TypeError("a bucket must be bytes")
    at = 0
    while at < len(bucket):
        size = int.from_bytes(bucket[at : at + _SIZE_BYTES], "big")
        leaf = bucket[at + _SIZE_BYTES : at + _SIZE_BYTES + size]
        key_bytes = int.from_bytes(leaf[_SALT_BYTES:_FIXED_BYTES], "big")
        if len(leaf) != size or size < _FIXED_BYTES or key_bytes > size - _FIXED_BYTES:
            raise ValueError("a bucket is malformed")
        yield leaf[_FIXED_BYTES : _FIXED_BYTES + key_bytes], leaf
        at += _SIZE_BYTES + size


def _check_order(keys: Sequence[bytes]) -> None:
    if any(left >= right for left, right in pairwise(keys)):
        raise ValueError("a bucket is malformed")


def _node(group: bytes | bytearray) -> bytes:
    if group == _EMPTY_GROUP:
        return ZERO_DIGEST
    return blake2b(group, digest_size=DIGEST_BYTES, person=TREE).digest()
