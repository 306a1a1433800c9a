"""The pure twin of `ext/blake2b.pyx`."""

from collections.abc import Sequence
from hashlib import blake2b

_DIGEST_BYTES = 32
_KEY_BYTES = 32
_DOMAIN_BYTES = 16


def digest_each(domain: bytes, messages: Sequence[bytes], key: bytes = b"") -> bytes:
    """See `ccp2p.crypto.blake2b`."""
    _check(domain, key, messages)
    start = blake2b(digest_size=_DIGEST_BYTES, person=domain, key=key)
    digests = []
    for message in messages:
        state = start.copy()
        state.update(message)
        digests.append(state.digest())
    return b"".join(digests)


def digest_rows(domain: bytes, data: bytes, row_bytes: int) -> bytes:
    """See `ccp2p.crypto.blake2b`."""
    _check(domain, b"", (data,))
    if row_bytes < 1 or len(data) % row_bytes:
        raise ValueError("the data is not whole rows")
    starts = range(0, len(data), row_bytes)
    return digest_each(domain, [data[start : start + row_bytes] for start in starts])


def keyed_each(domain: bytes, keys: Sequence[bytes], messages: Sequence[bytes]) -> bytes:
    """See `ccp2p.crypto.blake2b`."""
    if len(keys) != len(messages):
        raise ValueError("keys and messages must be of one number")
    _check(domain, b"", [*keys, *messages])
    if any(len(key) != _KEY_BYTES for key in keys):
        raise ValueError("a key has 32 bytes")
    return b"".join(
        blake2b(message, digest_size=_DIGEST_BYTES, person=domain, key=key).digest()
        for key, message in zip(keys, messages, strict=True)
    )


def _check(domain: bytes, key: bytes, messages: Sequence[bytes]) -> None:
    for value in (domain, key, *messages):
        if type(value) is not bytes:
            raise TypeError("domains, keys and messages must be bytes")
    if len(domain) > _DOMAIN_BYTES:
        raise ValueError("a domain has at most 16 bytes")
