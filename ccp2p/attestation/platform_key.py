"""Reading an Arm CCA platform key from a file: a JSON Web Key, PEM or DER."""

import base64
import binascii
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from ccp2p.model.errors import MemberFault

_CURVES: Final = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}


class _WebKey(msgspec.Struct, frozen=True):
    kty: str
    crv: str
    x: str
    y: str


def read_platform_key(data: bytes) -> str:
    """The key as a policy's `platform_keys` writes it: a hexadecimal uncompressed point.

    MemberFault (code `platform-key`) when this is no public key on P-256 or P-384.
    """
    try:
        key = _from_web_key(data) if data.lstrip().startswith(b"{") else _from_structure(data)
    except (ValueError, TypeError, KeyError, binascii.Error, msgspec.DecodeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in (
        "secp256r1",
        "secp384r1",
    ):
        raise MemberFault("platform-key", "a platform key is a P-256 or P-384 key: JWK, PEM or DER")
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()


def _from_web_key(data: bytes) -> ec.EllipticCurvePublicKey:
    web_key = msgspec.json.decode(data, type=_WebKey)
    point = b"\x04" + _unpadded(web_key.x) + _unpadded(web_key.y)
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[web_key.crv](), point)


def _from_structure(data: bytes) -> object:
    return load_pem_public_key(data) if b"-----BEGIN" in data else load_der_public_key(data)


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
