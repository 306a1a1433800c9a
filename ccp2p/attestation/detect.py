"""Which TEE made these bytes, by their first fields. A guess: the verifier decides."""

from ccp2p.attestation import simulated
from ccp2p.model.errors import PeerFault

_CCA_TAG = bytes.fromhex("d9018f")  # CBOR tag 399
_COSE_SIGN1 = (b"\x84\x44", b"\xd2\x84")  # bare with a 4-byte protected header, or tagged 18
_DCAP_KEY_TYPES = (2, 3)  # ECDSA over P-256 and P-384
_TDX = 0x81


def detect(evidence: bytes) -> str:
    """The TEE's name; PeerFault (code `unknown-tee`) when the bytes look like none."""
    version = int.from_bytes(evidence[0:2], "little")
    key_type = int.from_bytes(evidence[2:4], "little")
    if evidence.startswith(_CCA_TAG):
        return "arm-cca"
    if evidence.startswith(_COSE_SIGN1):
        return "aws-nitro"
    if simulated.is_simulated(evidence):
        return "simulated"
    if version in (3, 4, 5) and key_type in _DCAP_KEY_TYPES:
        return "tdx" if int.from_bytes(evidence[4:8], "little") == _TDX else "sgx"
    if 1 <= version <= 5 and key_type == 0:
        return "sev-snp"
    raise PeerFault("unknown-tee", "this looks like the evidence of no known TEE")
