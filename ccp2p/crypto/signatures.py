"""Ed25519 with one rule of validity for one signature and for many: ZIP-215.

A signature (R, S) of A over M is valid iff R and A are points of the curve (in any encoding that
ZIP-215 accepts), S is below the group's order, and `[8](S B - R - k A) = O` with k the hash of the
bytes R, A, M as received. libsodium's own verification has no cofactor, so a batch and a single
check could differ there, and two nodes with them. A key is checked once by `is_admissible_key`
when it is admitted. Verification handles public data only and takes variable time; signing is
libsodium's and takes constant time.
"""

import os
from array import array
from collections.abc import Sequence
from typing import Final

from nacl import bindings

from ccp2p.crypto._choice import choose, is_native
from ccp2p.crypto.arena import Arena

_core = choose("ed25519")

NATIVE: Final = is_native(_core)
BACKEND: Final[str] = _core.BACKEND
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class SigningKey:
    """An Ed25519 key pair; `public` is its 32-byte public key."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        """From a 32-byte seed (RFC 8032); ValueError on another length."""
        if len(seed) != KEY_BYTES:
            raise ValueError(f"a seed has {KEY_BYTES} bytes")
        self.public, self._secret = bindings.crypto_sign_seed_keypair(seed)

    @classmethod
    def generate(cls) -> "SigningKey":
        """A fresh key from the CSPRNG."""
        return cls(os.urandom(KEY_BYTES))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def agreement_key(self) -> bytes:
        """The X25519 private key of this key pair, by libsodium's conversion: 32 bytes."""
        return bindings.crypto_sign_ed25519_sk_to_curve25519(self._secret)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is valid; a wrong length is False, a wrong type a TypeError."""
    return _core.verify_many(((public, signature, message),))[0]


def verify_batch(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """One verdict for each (public key, signature, message), the same as `verify` gives.

    A wrong length is False for that item alone; a wrong type is a TypeError. Group items by the
    peer that sent them: one bad signature makes its whole batch slower.
    """
    return _core.verify_many(items)


def verify_arena(publics: bytes, signatures: bytes, messages: Arena) -> list[bool]:
    """As `verify_batch` without an object an item: n keys, n signatures, n messages.

    A failed message of the arena is False. ValueError when the numbers differ.
    """
    return _core.verify_arena(
        publics, signatures, messages.buffer, messages.offsets, messages.lengths
    )


def is_admissible_key(public: bytes) -> bool:
    """Whether a public key may be admitted: canonical, of prime order, not of small order."""
    return len(public) == KEY_BYTES and bindings.crypto_core_ed25519_is_valid_point(public)


# RFC 8032 section 7.1, test 2: seed, public key, message, signature.
_KNOWN_ANSWER: Final = tuple(
    map(
        bytes.fromhex,
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    )
)


def _self_test() -> None:
    seed, public, message, signature = _KNOWN_ANSWER
    key = SigningKey(seed)
    good = (public, signature, message)
    if (
        key.public != public
        or key.sign(message) != signature
        or verify_batch((good, (public, signature, b"")) * 8) != [True, False] * 8
        or not verify_arena(public, signature, Arena(message, array("q", [0]), array("q", [1])))[0]
    ):
        raise ImportError("Ed25519 fails its known-answer test")


_self_test()
