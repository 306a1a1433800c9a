"""Authenticated encryption of many small items in one call.

A sealed item is `nonce || ciphertext || tag`. Algorithms, a network parameter: `aegis256`
(32-byte nonce and tag) and `xchacha20` (24-byte nonce, 16-byte tag; XChaCha20-Poly1305). Neither
commits to its key unless the caller binds one; nonces are drawn from the CSPRNG, because counters
are unsafe after a storage rollback. The native core releases the GIL.
"""

import os
from collections.abc import Sequence
from typing import Final

from ccp2p.crypto._choice import choose, is_native
from ccp2p.crypto.arena import Arena

_core = choose("aead")

NATIVE: Final = is_native(_core)
KEY_BYTES: Final = 32
NONCE_BYTES: Final = {"aegis256": 32, "xchacha20": 24}
TAG_BYTES: Final = {"aegis256": 32, "xchacha20": 16}


def seal_many(
    algorithm: str,
    keys: Sequence[bytes],
    associated: Sequence[bytes],
    plaintexts: Sequence[bytes],
    nonces: Sequence[bytes] | None = None,
) -> Arena:
    """Seal `plaintexts[i]` under `keys[i]` with `associated[i]`; all three of one number.

    Nonces come from the CSPRNG unless given. Raises ValueError for an unknown algorithm, a wrong
    key or nonce length or unequal numbers, TypeError for anything but bytes.
    """
    size = _nonce_bytes(algorithm)
    if nonces is None:
        joined = os.urandom(size * len(keys))
    elif any(len(nonce) != size for nonce in nonces):
        raise ValueError(f"a nonce of {algorithm} has {size} bytes")
    else:
        joined = b"".join(nonces)
    return _core.seal_many(algorithm, keys, joined, associated, plaintexts)


def open_many(
    algorithm: str, keys: Sequence[bytes], associated: Sequence[bytes], sealed: Sequence[bytes]
) -> Arena:
    """Open each of `sealed`; an item that does not open is None in the arena, never an error.

    Raises as `seal_many` does, for what the caller (not the sealer) got wrong.
    """
    _nonce_bytes(algorithm)
    return _core.open_many(algorithm, keys, associated, sealed)


def seal(
    algorithm: str, key: bytes, plaintext: bytes, associated: bytes, nonce: bytes | None = None
) -> bytes:
    """Seal one item; see `seal_many`."""
    nonces = None if nonce is None else (nonce,)
    return seal_many(algorithm, (key,), (associated,), (plaintext,), nonces).buffer


def open_one(algorithm: str, key: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """Open one item, or None when it is short, altered or sealed under another key."""
    _nonce_bytes(algorithm)
    return _core.open_one(algorithm, key, associated, sealed)


def _nonce_bytes(algorithm: str) -> int:
    size = NONCE_BYTES.get(algorithm)
    if size is None:
        raise ValueError(f"unknown algorithm {algorithm!r}; known: {', '.join(NONCE_BYTES)}")
    return size


# Key, nonce, associated data, plaintext and sealed form, from the AEGIS draft (256-bit tag; section
# A.3 of draft-irtf-cfrg-aegis-aead) and the XChaCha draft (A.3.1, its first key and nonce).
_KNOWN_ANSWERS: Final = {
    "aegis256": (
        "1001000000000000000000000000000000000000000000000000000000000000",
        "1000020000000000000000000000000000000000000000000000000000000000",
        "",
        "00000000000000000000000000000000",
        "754fc3d8c973246dcc6d741412a4b236"
        "1181a1d18091082bf0266f66297d167d2e68b845f61a3b0527d31fc7b7b89f13",
    ),
    "xchacha20": (
        "d821dce9b890ea37ae1c89e7cb6aeae9371b8179add0d08f5494718322ae0071",
        "3ec3f7c45e687d75a895bf5e71809e7cdac32158bb48ec0d",
        "8780fb400f94c55d",
        "",
        "966c22d655b9e56326024f028cf887ad",
    ),
}


def _self_test() -> None:
    for algorithm, answer in _KNOWN_ANSWERS.items():
        key, nonce, associated, plaintext, expected = map(bytes.fromhex, answer)
        sealed = seal(algorithm, key, plaintext, associated, nonce)
        altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
        if (
            sealed != nonce + expected
            or open_one(algorithm, key, sealed, associated) != plaintext
            or open_one(algorithm, key, altered, associated) is not None
        ):
            raise ImportError(f"{algorithm} fails its known-answer test")


_self_test()
