"""BLAKE2b-256 of many messages in one call. One message alone: `model.hashing`.

All three give the 32-byte digests one after another, under a domain (at most 16 bytes):

- `digest_each(domain, messages, key=b"")`, with one key of at most 64 bytes for all, or none;
- `digest_rows(domain, data, row_bytes)`, of the equally long rows of a buffer;
- `keyed_each(domain, keys, messages)`, each under a 32-byte key of its own.

ValueError for lengths that do not fit, TypeError for anything but bytes. The native core releases
the GIL and hashes up to eight messages abreast.
"""

from typing import Final

from ccp2p.crypto._choice import choose, is_native
from ccp2p.model import hashing

_core = choose("blake2b")

NATIVE: Final = is_native(_core)
digest_each = _core.digest_each
digest_rows = _core.digest_rows
keyed_each = _core.keyed_each


def split(digests: bytes, size: int = hashing.DIGEST_BYTES) -> list[bytes]:
    """One bytes object a digest, its first `size` bytes."""
    step = hashing.DIGEST_BYTES
    return [digests[start : start + size] for start in range(0, len(digests), step)]


def _self_test() -> None:
    messages = [bytes(range(256))[:length] for length in (0, 1, 127, 128, 129, 255, 256, 64, 32)]
    for key in (b"", bytes(range(32))):
        expected = b"".join(hashing.keyed(hashing.LEAF, key, message) for message in messages)
        if digest_each(hashing.LEAF, messages, key) != expected:
            raise ImportError("BLAKE2b fails its known-answer test")


_self_test()
