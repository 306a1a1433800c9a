"""Signatures that only a signer who knows the secret can make, and that only ZIP-215 accepts.

Adds a point of order 8 to R, or to the public key, and signs over the result.
"""

from hashlib import sha512

from nacl import bindings

ORDER = 2**252 + 27742317777372353535851937790883648493
# A point of order 8, canonically encoded.
TORSION = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


def _secret_scalar(seed: bytes) -> int:
    digest = bytearray(sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return int.from_bytes(digest, "little") % ORDER


def sign_with_torsion(
    seed: bytes, message: bytes, on_commitment: bool, on_key: bool
) -> tuple[bytes, bytes, bytes]:
    """(public key, signature, message), valid under ZIP-215 whichever point carries torsion."""
    secret = _secret_scalar(seed)
    public = bindings.crypto_scalarmult_ed25519_base_noclamp(secret.to_bytes(32, "little"))
    nonce = int.from_bytes(sha512(seed + message).digest(), "little") % ORDER
    commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))
    if on_key:
        public = bindings.crypto_core_ed25519_add(public, TORSION)
    if on_commitment:
        commitment = bindings.crypto_core_ed25519_add(commitment, TORSION)
    challenge = int.from_bytes(sha512(commitment + public + message).digest(), "little") % ORDER
    response = (nonce + challenge * secret) % ORDER
    return public, commitment + response.to_bytes(32, "little"), message
