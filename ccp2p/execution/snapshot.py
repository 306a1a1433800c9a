"""Snapshots: the state in 256 parts, each checked by itself against the state root.

A part is the 256 buckets under one node of the state tree's third level. The head of a snapshot
holds the hashes of all parts, which give the root; a part then stands or falls alone.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ccp2p.execution.bucket import Bucket
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


def check_part(part: int, buckets: Sequence[tuple[int, bytes]], expected: bytes) -> None:
    """PeerFault unless these encoded buckets are all of a part whose hash is `expected`."""
    first = part * PART_BUCKETS
    leaves: dict[int, bytes] = {}
    for index, data in buckets:
        if not first <= index < first + PART_BUCKETS or index in leaves or not data:
            raise PeerFault("snapshot", "a bucket that does not belong into this part")
        leaves[index] = Bucket.decode(data, PeerFault).digest()
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
