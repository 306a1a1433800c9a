"""Amendments: what a network's governors may change after its founding.

A governor approves with its member key and outside any TEE's word: so whoever knows the governors
of an epoch can check offline what they agreed on.
"""

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import Fault, PeerFault
from ccp2p.model.genesis import check_governors


class Amendment(Wire, frozen=True):
    """What changes when `epoch` ends; in no other epoch does it count.

    `policy` is TOML, whole, or empty: it stays. `governors` are all that there will be, of whom
    `governor_threshold` must agree; none: they stay. `evict` are keys of nodes that lose their
    place, though f may be lower then.
    """

    network: bytes
    epoch: int
    policy: str = ""
    governors: tuple[bytes, ...] = ()
    governor_threshold: int = 0
    evict: tuple[bytes, ...] = ()


def amendment_digest(amendment_bytes: bytes) -> bytes:
    """What names an amendment."""
    return hashing.digest(hashing.AMENDMENT, amendment_bytes)


def approval_bytes(network: bytes, digest: bytes) -> bytes:
    """What a governor signs who approves the amendment with this digest."""
    return hashing.AMENDMENT + network + digest


def parse_amendment(amendment_bytes: bytes, fault: type[Fault] = PeerFault) -> Amendment:
    """Read an amendment; `fault` says what is wrong with it. Its policy is judged elsewhere."""
    amendment = codec.decode_canonical(
        amendment_bytes, Amendment, limits.MAX_AMENDMENT_BYTES, fault
    )
    check_governors(amendment.governors, amendment.governor_threshold, fault, "governors")
    evict = amendment.evict
    if len(set(evict)) != len(evict) or any(len(node) != 32 for node in evict):
        raise fault("evict", "nodes are evicted by their keys of 32 bytes, each once")
    if len(evict) > limits.MAX_COMMITTEE:
        raise fault("evict", f"an amendment evicts up to {limits.MAX_COMMITTEE} nodes")
    if not (amendment.policy or amendment.governors or evict):
        raise fault("amendment", "an amendment that changes nothing")
    return amendment
