"""Snapshots: the state in 256 parts, each checked by itself against the state root.

A part is the 256 buckets under one node of the state tree's third level. The head of a snapshot
holds the hashes of all parts, which give the root; a part then stands or falls alone.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ccp2p.crypto import buckets
from ccp2p.model import hashing, limits
from ccp2p.model.errors import PeerFault

PARTS: Final = 256
PART_BUCKETS: Final = limits.STATE_BUCKETS // PARTS
_ARITY: Final = 16
_EMPTY_GROUP: Final = bytes(_ARITY * hashing.DIGEST_BYTES)


def root_of(parts: Sequence[bytes]) -> bytes:
    """The state root above the hashes of all parts; PeerFault when their number is wrong."""
    if len(parts) != PARTS or any(len(part) != hashing.DIGEST_BYTES for part in parts):
        raise PeerFault("snapshot", f"a snapshot has {PARTS} parts")
    return _fold(list(parts))


def check_part(part: int, held: Sequence[tuple[int, bytes]], expected: bytes) -> None:
    """PeerFault unless `held` are all encoded buckets of a part whose hash is `expected`."""
    first = part * PART_BUCKETS
    indices = [index for index, _ in held]
    is_of_part = all(first <= index < first + PART_BUCKETS for index in indices)
    if not is_of_part or len(set(indices)) != len(held) or not all(data for _, data in held):
        raise PeerFault("snapshot", "a bucket that does not belong into this part")
    try:
        joined = buckets.digests([data for _, data in held])
    except ValueError:
        raise PeerFault("malformed", "a bucket of a snapshot is malformed") from None
    size = hashing.DIGEST_BYTES
    leaves = {index: joined[at * size : (at + 1) * size] for at, index in enumerate(indices)}
    if part_digest(part, leaves) != expected:
        raise PeerFault("snapshot", "a part of a snapshot does not match the state root")


def part_digest(part: int, leaves: Mapping[int, bytes]) -> bytes:
    """The hash of a part whose buckets have these hashes; what is not named is empty."""
    first = part * PART_BUCKETS
    indices = range(first, first + PART_BUCKETS)
    return _fold([leaves.get(index, hashing.ZERO_DIGEST) for index in indices])


def _fold(level: list[bytes]) -> bytes:
    while len(level) > 1:
        groups = [b"".join(level[at : at + _ARITY]) for at in range(0, len(level), _ARITY)]
        level = [_node(group) for group in groups]
    return level[0]


def _node(group: bytes) -> bytes:
    if group == _EMPTY_GROUP:
        return hashing.ZERO_DIGEST
    return hashing.digest(hashing.TREE, group)
