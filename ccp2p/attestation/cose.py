"""Just enough COSE and CBOR for evidence: one encoding, one algorithm, no surprises.

CBOR of strangers is decoded with everything off that evidence does not use: tags with a meaning,
duplicate keys, depth. A COSE_Sign1 (RFC 9052, section 4.2) must re-encode to the bytes
received, because only its parts are signed and not the way they are put together.
"""

from io import BytesIO
from typing import Any, Final, NamedTuple

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from ccp2p.attestation.certificates import ecdsa_holds
from ccp2p.model.errors import PeerFault

SIGN1_TAG: Final = 18
ES256: Final = -7
ES384: Final = -35

_MAX_DEPTH: Final = 6  # genuine evidence nests three deep
_SCALAR_BYTES: Final = {ES256: 32, ES384: 48}
_PROTECTED: Final = {bytes.fromhex("a10126"): ES256, bytes.fromhex("a1013822"): ES384}
# Tags that the library would otherwise turn into dates, patterns, fractions and the like.
_REFUSED_TAGS: Final = (
    *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004),
    *(43000, 55799),
)


class Sign1(NamedTuple):
    """The parts of a COSE_Sign1: its algorithm, and protected header, payload and signature."""

    algorithm: int
    protected: bytes
    payload: bytes
    signature: bytes

    def holds(self, key: ec.EllipticCurvePublicKey) -> bool:
        """Whether `key`, on the algorithm's curve, signed this with no external data."""
        size = _SCALAR_BYTES[self.algorithm]
        if key.key_size != 8 * size:
            return False
        r = int.from_bytes(self.signature[:size], "big")
        s = int.from_bytes(self.signature[size:], "big")
        message = cbor2.dumps(["Signature1", self.protected, b"", self.payload])
        return ecdsa_holds(key, r, s, message)


def decode(data: bytes) -> Any:
    """Plain CBOR data, whole; PeerFault (code `malformed`) otherwise."""
    file = BytesIO(data)
    decoder = cbor2.CBORDecoder(
        file,
        max_depth=_MAX_DEPTH,
        allow_duplicate_keys=False,
        semantic_decoders=dict.fromkeys(_REFUSED_TAGS, _refuse_tag),
    )
    try:
        value = decoder.decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        raise PeerFault("malformed", "the evidence is not the CBOR that it should be") from None
    if file.tell() != len(data):
        raise PeerFault("malformed", "there are bytes after the end of the evidence")
    return value


def parse_sign1(data: bytes, tagged: bool) -> Sign1:
    """Read a COSE_Sign1 with an empty unprotected header; PeerFault (`malformed`) otherwise."""
    value = decode(data)
    if tagged:
        if not isinstance(value, cbor2.CBORTag) or value.tag != SIGN1_TAG:
            raise PeerFault("malformed", "the evidence is not a tagged COSE_Sign1")
        value = value.value
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise PeerFault("malformed", "the evidence is not a COSE_Sign1")
    protected, unprotected, payload, signature = value
    algorithm = _PROTECTED.get(protected) if isinstance(protected, bytes) else None
    if algorithm is None:
        raise PeerFault("malformed", "the COSE signature algorithm is not one that is used here")
    if unprotected != {} or not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise PeerFault("malformed", "the COSE_Sign1 has parts of a wrong kind")
    if len(signature) != 2 * _SCALAR_BYTES[algorithm]:
        raise PeerFault("malformed", "the COSE signature has a wrong size")
    parts = [protected, {}, payload, signature]
    if cbor2.dumps(cbor2.CBORTag(SIGN1_TAG, parts) if tagged else parts) != data:
        raise PeerFault("malformed", "the COSE_Sign1 is not in its shortest encoding")
    return Sign1(algorithm, protected, payload, signature)


def _refuse_tag(_value: object, _immutable: bool) -> object:
    raise ValueError("a tag that evidence does not use")
