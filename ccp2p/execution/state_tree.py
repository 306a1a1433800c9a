"""The Merkle tree over the hashes of the state's 65,536 buckets, kept in memory.

Sixteen children a node: an update then hashes 4 nodes of 512 bytes (four BLAKE2b blocks each)
where a binary tree hashes 16 of 64 bytes, and the fixed cost of a call outweighs the blocks; the
price is a proof of 2 KiB. A node without content is all zeros, so empty subtrees cost nothing.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from ccp2p.crypto import buckets
from ccp2p.model import limits
from ccp2p.model.hashing import DIGEST_BYTES, TREE, ZERO_DIGEST

_ARITY: Final = 16
_DEPTH: Final = 4
_GROUP_BYTES: Final = _ARITY * DIGEST_BYTES
_EMPTY_GROUP: Final = bytes(_GROUP_BYTES)


class StateTree:
    """All nodes below the root, one flat array a level, leaves first."""

    def __init__(self) -> None:
        self._levels = [
            bytearray(limits.STATE_BUCKETS // _ARITY**level * DIGEST_BYTES)
            for level in range(_DEPTH)
        ]
        self.root = ZERO_DIGEST

    def leaf(self, index: int) -> bytes:
        """The hash of bucket `index`; ZERO_DIGEST when it is empty."""
        return bytes(self._levels[0][index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def is_empty(self, index: int) -> bool:
        """Whether bucket `index` has no entry."""
        return self._levels[0].startswith(ZERO_DIGEST, index * DIGEST_BYTES)

    def update(self, indices: Sequence[int], leaves: bytes) -> None:
        """Set bucket hashes, indices ascending, and all above; a shared node is hashed once."""
        self.root = buckets.update_tree(self._levels, indices, leaves) or self.root

    def occupied(self) -> list[int]:
        """The buckets that are not empty, ascending."""
        found = []
        for group in range(limits.STATE_BUCKETS // _ARITY):
            if self._group(self._levels[0], group) != _EMPTY_GROUP:
                first = group * _ARITY
                indices = range(first, first + _ARITY)
                found += [index for index in indices if not self.is_empty(index)]
        return found

    def proof(self, index: int) -> tuple[bytes, ...]:
        """The groups of sixteen on the way from bucket `index` to the root, lowest first."""
        return tuple(
            self._group(nodes, index // _ARITY ** (level + 1))
            for level, nodes in enumerate(self._levels)
        )

    def part_digests(self) -> tuple[bytes, ...]:
        """The 256 nodes two levels above the leaves."""
        nodes = self._levels[2]
        return tuple(
            bytes(nodes[at : at + DIGEST_BYTES]) for at in range(0, len(nodes), DIGEST_BYTES)
        )

    @staticmethod
    def _group(nodes: bytearray, group: int) -> bytes:
        return bytes(nodes[group * _GROUP_BYTES : (group + 1) * _GROUP_BYTES])


def verify_proof(root: bytes, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that bucket `index` has the hash `leaf` under `root`."""
    if not 0 <= index < limits.STATE_BUCKETS or len(proof) != _DEPTH:
        return False
    value = leaf
    for group in proof:
        start = index % _ARITY * DIGEST_BYTES
        if len(group) != _GROUP_BYTES or group[start : start + DIGEST_BYTES] != value:
            return False
        value = _node(group)
        index //= _ARITY
    return value == root


def _node(group: bytes | bytearray) -> bytes:
    if group == _EMPTY_GROUP:
        return ZERO_DIGEST
    return blake2b(group, digest_size=DIGEST_BYTES, person=TREE).digest()
