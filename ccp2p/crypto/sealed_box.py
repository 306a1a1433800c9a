"""Sealed boxes of libsodium, to an Ed25519 key, that are the same each time for one plaintext.

The format is that of `crypto_box_seal`: `ephemeral key (32 bytes) || box`, its nonce being
BLAKE2b-192 of both public keys; and an Ed25519 key stands for the X25519 key that libsodium's
`crypto_sign_ed25519_pk_to_curve25519` makes of it. What differs is where the ephemeral key comes
from: here from a hash of recipient and plaintext, which is Encrypt-with-Hash (Bellare, Boldyreva,
O'Neill, "Deterministic and Efficiently Searchable Encryption", CRYPTO 2007). So who knows the
plaintext can check a box by making it again. It hides a plaintext that nobody can guess, such as a
key, and no other.
"""

from hashlib import blake2b
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import hashing

OVERHEAD_BYTES: Final = bindings.crypto_box_SEALBYTES


def seal(public: bytes, plaintext: bytes) -> bytes:
    """The box for the owner of an Ed25519 key; ValueError when that is no key to seal to."""
    try:
        recipient = bindings.crypto_sign_ed25519_pk_to_curve25519(public)
    except (CryptoError, ValueError, TypeError):
        raise ValueError("not a point that a box can be sealed to") from None
    ephemeral = hashing.digest(hashing.SEALED_BOX, recipient, plaintext)
    shown = bindings.crypto_scalarmult_base(ephemeral)
    nonce = blake2b(shown + recipient, digest_size=bindings.crypto_box_NONCEBYTES).digest()
    return shown + bindings.crypto_box(plaintext, nonce, recipient, ephemeral)


def open_sealed(box: bytes, key: SigningKey) -> bytes | None:
    """The plaintext, or None when the box is not for this key."""
    own = key.agreement_key()
    try:
        return bindings.crypto_box_seal_open(box, bindings.crypto_scalarmult_base(own), own)
    except (CryptoError, ValueError, TypeError):
        return None
