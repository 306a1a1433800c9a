"""A bucket: the keys of the state that share a leaf of the state tree.

It is the unit of storage, cache and hashing. Each entry keeps the salt under which its leaf was
hashed, so that a proof of one entry tells nothing about its neighbours.
"""

from hashlib import blake2b
from typing import Final

from ccp2p.model import codec, limits
from ccp2p.model.errors import Fault
from ccp2p.model.hashing import BUCKET, DIGEST_BYTES, LEAF, ZERO_DIGEST, digest

SALT_BYTES: Final = 16

_BUCKET_BYTES: Final = 300  # what Python needs for an empty bucket
_ENTRY_BYTES: Final = 400  # and for an entry besides its key and value
_Rows = list[tuple[bytes, bytes, bytes]]


class Bucket:
    """Entries by key: (value, salt, leaf hash). `size_bytes` is about what it takes in memory."""

    __slots__ = ("entries", "size_bytes")

    def __init__(self) -> None:
        self.entries: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self.size_bytes = _BUCKET_BYTES

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        entry = self.entries.get(key)
        return None if entry is None else entry[0]

    def matching(self, prefix: bytes | tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
        """Keys that start with `prefix`, or with one of several, and their values."""
        return [(key, entry[0]) for key, entry in self.entries.items() if key.startswith(prefix)]

    def put(self, key: bytes, value: bytes, salt: bytes) -> None:
        """Set a key; its leaf is hashed here."""
        self.remove(key)
        self.entries[key] = (value, salt, leaf_digest(key, value, salt))
        self.size_bytes += len(key) + len(value) + _ENTRY_BYTES

    def remove(self, key: bytes) -> None:
        """Forget a key, if it is here."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= len(key) + len(entry[0]) + _ENTRY_BYTES

    def digest(self) -> bytes:
        """The bucket's hash: its leaves in key order; ZERO_DIGEST when empty."""
        entries = self.entries
        if not entries:
            return ZERO_DIGEST
        return digest(BUCKET, b"".join([entries[key][2] for key in sorted(entries)]))

    def encode(self) -> bytes:
        """The stored form, `[[key, value, salt], ...]` in key order; empty bytes when empty."""
        entries = self.entries
        if not entries:
            return b""
        return codec.encode([(key, *entries[key][:2]) for key in sorted(entries)])

    @classmethod
    def decode(cls, data: bytes, fault: type[Fault]) -> "Bucket":
        """Read `encode`'s result; `fault` when it is malformed. The caller checks the digest."""
        bucket = cls()
        previous = None
        for key, value, salt in codec.decode(data, _Rows, limits.MAX_BUCKET_BYTES, fault):
            if len(salt) != SALT_BYTES or (previous is not None and key <= previous):
                raise fault("malformed", "a bucket's entries are not in order")
            bucket.put(key, value, salt)
            previous = key
        return bucket


def leaf_digest(key: bytes, value: bytes, salt: bytes) -> bytes:
    """The hash of one entry."""
    parts = b"".join((salt, len(key).to_bytes(4, "big"), key, value))
    return blake2b(parts, digest_size=DIGEST_BYTES, person=LEAF).digest()
