"""Shares of a beacon's contribution, each sealed to the key of the seat that it is for."""

from ccp2p.crypto import hpke
from ccp2p.membership.sharing import SHARE_BYTES

INFO = b"ccp2p beacon share"


def seal_share(share: bytes, sealing_key: bytes, associated: bytes) -> bytes:
    """A share sealed by HPKE (RFC 9180); `associated` names dealer and epoch."""
    return hpke.seal(sealing_key, INFO, share, associated)


def open_share(sealed: bytes, sealing_key: hpke.PrivateKey, associated: bytes) -> bytes | None:
    """What `seal_share` sealed to this key; None when it is not a share that opens."""
    share = sealing_key.open(sealed, INFO, associated)
    return share if share is not None and len(share) == SHARE_BYTES else None
