"""HPKE base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

A blob is `encapsulation (32 bytes) || ciphertext || tag (16 bytes)`. Each blob is the only message
of its context, so associated data is bound through the key schedule's info, as
`length of info (4 bytes, big endian) || info || associated`; the AEAD's own field stays empty.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

KEY_BYTES: Final = 32
ENCAPSULATION_BYTES: Final = 32
OVERHEAD_BYTES: Final = ENCAPSULATION_BYTES + 16

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class PrivateKey:
    """An X25519 private key that opens what was sealed to `public`."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        """From 32 secret bytes (clamped as X25519 does); ValueError on another length."""
        self._key = X25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "PrivateKey":
        """A fresh key from the CSPRNG."""
        return cls(os.urandom(KEY_BYTES))

    def open(self, blob: bytes, info: bytes, associated: bytes = b"") -> bytes | None:
        """The plaintext, or None when `blob` was not sealed to this key, info and associated."""
        if len(blob) < OVERHEAD_BYTES:
            return None
        try:
            return _SUITE.decrypt(blob, self._key, _bound_info(info, associated))
        except (InvalidTag, ValueError):
            # ValueError: an encapsulation of small order, whose shared secret would be zero.
            return None

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public.hex()})"


def seal(public_key: bytes, info: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """Seal to a 32-byte X25519 public key; ValueError when it is malformed or of small order."""
    key = X25519PublicKey.from_public_bytes(public_key)
    return _SUITE.encrypt(plaintext, key, _bound_info(info, associated))


def _bound_info(info: bytes, associated: bytes) -> bytes:
    return len(info).to_bytes(4, "big") + info + associated
