"""Recovery shares: the secret of an epoch, split among governors (design sections 7 and 9).

Any `threshold` shares give the secret, fewer nothing: Shamir's scheme ("How to Share a Secret",
CACM 1979) in the field of P-521 (FIPS 186). The coefficients follow from the secret and from who
shares it, as Bellare, Dai and Rogaway draw a sharing's coins from a hash of what is shared
("Reimagining Secret Sharing", PoPETs 2020). Each share is in a box for its governor, made so that
it follows from the share (`crypto.sealed_box`). So whoever holds the secret can make all boxes, and
compares them before it acknowledges; and whoever is given a share can tell whether it is the one in
its box.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ccp2p.crypto import hpke, sealed_box
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import hashing, limits

SHARE_BYTES: Final = 66
BOX_BYTES: Final = limits.MAX_SHARE_BYTES

_INFO: Final = b"ccp2p recovery share"
_PRIME: Final = 2**521 - 1
_SECRET_BYTES: Final = 32
_DRAWN: Final = 4  # digests a coefficient: so much longer than the prime that none is likelier


def boxes(secret: bytes, governors: Sequence[bytes], threshold: int) -> tuple[bytes, ...]:
    """One box a governor, in their order; empty for a key that nothing can be sealed to."""
    found = []
    for governor, share in zip(governors, split(secret, governors, threshold), strict=True):
        try:
            found.append(sealed_box.seal(governor, share))
        except ValueError:
            found.append(b"")
    return tuple(found)


def seal_to_node(share: bytes, sealing_key: bytes, network: bytes, epoch_key: bytes) -> bytes:
    """A share on its way to an attested node, sealed to that by HPKE (RFC 9180)."""
    return hpke.seal(sealing_key, _INFO, share, network + epoch_key)


def open_at_node(
    sealed: bytes, sealing_key: hpke.PrivateKey, network: bytes, epoch_key: bytes
) -> bytes | None:
    """The share in `seal_to_node`'s result, or None."""
    return sealing_key.open(sealed, _INFO, network + epoch_key)


def open_box(box: bytes, governor: SigningKey) -> bytes | None:
    """The share in a governor's box, or None when it is not for this key."""
    share = sealed_box.open_sealed(box, governor)
    return share if share is not None and is_in_box(share, box, governor.public) else None


def is_in_box(share: bytes, box: bytes, governor: bytes) -> bool:
    """Whether this is the share that the governor's box holds."""
    try:
        return len(share) == SHARE_BYTES and sealed_box.seal(governor, share) == box
    except ValueError:
        return False


def split(secret: bytes, governors: Sequence[bytes], threshold: int) -> list[bytes]:
    """A share (66 bytes) for each governor: the polynomial's values at 1, 2, ..."""
    coefficients = [int.from_bytes(secret)]
    coefficients += [_coefficient(secret, governors, threshold, n) for n in range(1, threshold)]
    shares = []
    for at in range(1, len(governors) + 1):
        value = sum(c * pow(at, power, _PRIME) for power, c in enumerate(coefficients)) % _PRIME
        shares.append(value.to_bytes(SHARE_BYTES))
    return shares


def combine(shares: Mapping[int, bytes]) -> bytes | None:
    """The secret, from shares by their governors' places; None when it is none of 32 bytes.

    With a wrong share, or with fewer than the threshold, it is another secret or none.
    """
    values = {place + 1: int.from_bytes(share) for place, share in shares.items()}
    total = 0
    for at, value in values.items():
        weight = 1
        for other in values:
            if other != at:
                weight = weight * other * pow(other - at, -1, _PRIME) % _PRIME
        total += value * weight
    total %= _PRIME
    return total.to_bytes(_SECRET_BYTES) if total < 1 << 8 * _SECRET_BYTES else None


def _coefficient(secret: bytes, governors: Sequence[bytes], threshold: int, number: int) -> int:
    where = bytes((threshold, number))
    drawn = (
        hashing.keyed(hashing.RECOVERY_SHARE, secret, where, bytes((part,)), *governors)
        for part in range(_DRAWN)
    )
    return int.from_bytes(b"".join(drawn)) % _PRIME
