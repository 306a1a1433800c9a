"""The pure twin of `ext/ed25519.pyx`: ZIP-215 verification from PyNaCl's primitives.

What libsodium accepts, ZIP-215 accepts: libsodium's equation has no cofactor and its rules on
encodings are tighter. What it refuses is judged again by the equation itself. Multiplying by 8
first brings every point into the prime-order subgroup, the only place where libsodium multiplies.
"""

from collections.abc import Sequence
from hashlib import sha512
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

BACKEND: Final = "pure"
POINT_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
# The order of the prime-order subgroup (RFC 8032 section 5.1).
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_IDENTITY: Final = (1).to_bytes(POINT_BYTES, "little")


def verify_many(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """One verdict for each (public key, signature, message)."""
    for item in items:
        _check_types(*item)
    return [_verify(*item) for item in items]


def verify_arena(
    publics: bytes,
    signatures: bytes,
    messages: bytes,
    offsets: Sequence[int],
    lengths: Sequence[int],
) -> list[bool]:
    """As `verify_many`, over an arena; a message of length -1 is refused."""
    _check_arena(publics, signatures, messages, offsets, lengths)
    verdicts = []
    for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        verdicts.append(
            length >= 0
            and _verify(
                publics[index * POINT_BYTES : (index + 1) * POINT_BYTES],
                signatures[index * SIGNATURE_BYTES : (index + 1) * SIGNATURE_BYTES],
                messages[offset : offset + length],
            )
        )
    return verdicts


def _check_types(public: bytes, signature: bytes, message: bytes) -> None:
    if not type(public) is type(signature) is type(message) is bytes:
        raise TypeError("public key, signature and message must be bytes")


def _check_arena(
    publics: bytes,
    signatures: bytes,
    messages: bytes,
    offsets: Sequence[int],
    lengths: Sequence[int],
) -> None:
    _check_types(publics, signatures, messages)
    count = len(offsets)
    if (
        len(lengths) != count
        or len(publics) != count * POINT_BYTES
        or len(signatures) != count * SIGNATURE_BYTES
    ):
        raise ValueError("keys, signatures and messages must be of one number")
    for offset, length in zip(offsets, lengths, strict=True):
        if length >= 0 and not 0 <= offset <= len(messages) - length:
            raise ValueError("a message lies outside of the arena")


def _verify(public: bytes, signature: bytes, message: bytes) -> bool:
    if len(public) != POINT_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return _equation_holds(public, signature, message)
    return True


def _equation_holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `[8] S B = [8] R + [k] [8] A`, with S below the order."""
    commitment, response = signature[:POINT_BYTES], signature[POINT_BYTES:]
    if int.from_bytes(response, "little") >= _ORDER:
        return False
    try:
        public_8 = _times_8(public)
        commitment_8 = _times_8(commitment)
    except RuntimeError:
        return False  # not on the curve
    challenge = bindings.crypto_core_ed25519_scalar_reduce(
        sha512(commitment + public + message).digest()
    )
    left = _IDENTITY if not any(response) else _times_8(_base_times(response))
    right = bindings.crypto_core_ed25519_add(commitment_8, _times(challenge, public_8))
    return left == right


def _times_8(point: bytes) -> bytes:
    for _ in range(3):
        point = bindings.crypto_core_ed25519_add(point, point)
    return point


def _base_times(scalar: bytes) -> bytes:
    return bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)


def _times(scalar: bytes, point: bytes) -> bytes:
    # libsodium refuses to multiply the identity, or to yield it.
    if point == _IDENTITY or not any(scalar):
        return _IDENTITY
    return bindings.crypto_scalarmult_ed25519_noclamp(scalar, point)
