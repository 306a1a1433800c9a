"""RFC 9180 sections 4.1, 5.1 and 5.2 for our one suite, written out: to check what we use."""

import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_KEM = b"KEM" + struct.pack(">H", 0x20)
_SUITE = b"HPKE" + struct.pack(">HHH", 0x20, 1, 3)


def open_(secret: bytes, blob: bytes, info: bytes, associated: bytes = b"") -> bytes:
    """What was sealed to the private key `secret`."""
    private = X25519PrivateKey.from_private_bytes(secret)
    shared = private.exchange(X25519PublicKey.from_public_bytes(blob[:32]))
    context = blob[:32] + private.public_key().public_bytes_raw()
    key, nonce = _schedule(shared, context, info)
    return ChaCha20Poly1305(key).decrypt(nonce, blob[32:], associated)


def seal(ephemeral: bytes, public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal under a given ephemeral private key: for vectors alone, never for secrets."""
    private = X25519PrivateKey.from_private_bytes(ephemeral)
    encapsulation = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    key, nonce = _schedule(shared, encapsulation + public, info)
    return encapsulation + ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def _schedule(shared: bytes, context: bytes, info: bytes) -> tuple[bytes, bytes]:
    secret = _expand(_KEM, _extract(_KEM, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    schedule = (
        b"\x00"
        + _extract(_SUITE, b"", b"psk_id_hash", b"")
        + _extract(_SUITE, b"", b"info_hash", info)
    )
    base = _extract(_SUITE, secret, b"secret", b"")
    key = _expand(_SUITE, base, b"key", schedule, 32)
    return key, _expand(_SUITE, base, b"base_nonce", schedule, 12)


def _extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    text = struct.pack(">H", size) + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, text + b"\x01", "sha256")[:size]
