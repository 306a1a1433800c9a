"""The pure twin of `ext/aead.pyx`: the same calls, one item at a time through PyNaCl."""

from array import array
from collections.abc import Callable, Sequence

from nacl import bindings
from nacl.exceptions import CryptoError

from ccp2p.crypto.arena import Arena

KEY_BYTES = 32
# Algorithm: (nonce bytes, tag bytes, seal, open), each taking (data, associated, nonce, key).
_CIPHERS: dict[str, tuple[int, int, Callable[..., bytes], Callable[..., bytes]]] = {
    "aegis256": (
        32,
        32,
        bindings.crypto_aead_aegis256_encrypt,
        bindings.crypto_aead_aegis256_decrypt,
    ),
    "xchacha20": (
        24,
        16,
        bindings.crypto_aead_xchacha20poly1305_ietf_encrypt,
        bindings.crypto_aead_xchacha20poly1305_ietf_decrypt,
    ),
}


def seal_many(
    algorithm: str,
    keys: Sequence[bytes],
    nonces: bytes,
    associated: Sequence[bytes],
    plaintexts: Sequence[bytes],
) -> Arena:
    """Seal each item; `nonces` are all nonces one after another."""
    nonce_bytes, _, seal, _ = _CIPHERS[algorithm]
    _check(keys, associated, plaintexts)
    if len(nonces) != nonce_bytes * len(keys):
        raise ValueError("there must be one nonce an item")
    results: list[bytes | None] = []
    for index, (key, extra, plaintext) in enumerate(zip(keys, associated, plaintexts, strict=True)):
        nonce = nonces[index * nonce_bytes : (index + 1) * nonce_bytes]
        results.append(nonce + seal(plaintext, extra, nonce, key))
    return _arena(results)


def open_many(
    algorithm: str, keys: Sequence[bytes], associated: Sequence[bytes], sealed: Sequence[bytes]
) -> Arena:
    """Open each item; one that is too short, altered or under another key fails alone."""
    nonce_bytes, tag_bytes, _, open_ = _CIPHERS[algorithm]
    _check(keys, associated, sealed)
    results: list[bytes | None] = []
    for key, extra, blob in zip(keys, associated, sealed, strict=True):
        if len(blob) < nonce_bytes + tag_bytes:
            results.append(None)
            continue
        try:
            results.append(open_(blob[nonce_bytes:], extra, blob[:nonce_bytes], key))
        except CryptoError:
            results.append(None)
    return _arena(results)


def _check(keys: Sequence[bytes], associated: Sequence[bytes], texts: Sequence[bytes]) -> None:
    if not len(keys) == len(associated) == len(texts):
        raise ValueError("keys, associated data and texts must be of one number")
    for items in (keys, associated, texts):
        if any(type(item) is not bytes for item in items):
            raise TypeError("keys, associated data and texts must be bytes")
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a key has {KEY_BYTES} bytes")


def _arena(results: list[bytes | None]) -> Arena:
    offsets, lengths, position = array("q"), array("q"), 0
    for item in results:
        offsets.append(position)
        lengths.append(-1 if item is None else len(item))
        position += 0 if item is None else len(item)
    return Arena(b"".join(item or b"" for item in results), offsets, lengths)


def open_one(algorithm: str, key: bytes, associated: bytes, sealed: bytes) -> bytes | None:
    """Open one item, or None."""
    return open_many(algorithm, (key,), (associated,), (sealed,))[0]
