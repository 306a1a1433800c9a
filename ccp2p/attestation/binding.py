"""What evidence is about: report_data commits to a network, a node's keys and a nonce."""

from hashlib import sha512
from typing import Final

from ccp2p.model import hashing
from ccp2p.model.errors import LocalFault

REPORT_DATA_BYTES: Final = 64
_KEY_BYTES: Final = 32
_MAX_NONCE_BYTES: Final = 64


def report_data(network: bytes, node: bytes, sealing: bytes, nonce: bytes) -> bytes:
    """The 64 bytes that a node asks its TEE to sign.

    `network`, `node` (Ed25519) and `sealing` (X25519) have 32 bytes, `nonce` at most 64. The
    nonce is what makes evidence fresh: a checkpoint digest in a join request, the binding of the
    handshake (its hash and a role) between nodes, a client's challenge. LocalFault (code
    `binding`) when a size is wrong.
    """
    if not len(network) == len(node) == len(sealing) == _KEY_BYTES or len(nonce) > _MAX_NONCE_BYTES:
        raise LocalFault("binding", "report data needs three 32-byte values and a short nonce")
    return sha512(hashing.REPORT_DATA + network + node + sealing + nonce).digest()
