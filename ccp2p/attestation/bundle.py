"""Evidence as it travels between nodes, and from a node to a client."""

from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import PeerFault

_OVERHEAD_BYTES = 1024  # names and lengths around the parts


class EvidenceBundle(Wire, frozen=True):
    """Evidence, the TEE that is said to have made it, and what endorses it.

    `endorsements` are certificates, chains, revocation lists and collateral, in any order. They
    are never trusted by being here: a verifier accepts only what chains to a pinned root.
    """

    tee: str
    evidence: bytes
    endorsements: tuple[bytes, ...]


def parse_bundle(data: bytes) -> EvidenceBundle:
    """Read a bundle; PeerFault (`oversized`, `malformed`, `not-canonical`) refuses it."""
    limit_bytes = limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES + _OVERHEAD_BYTES
    bundle = codec.decode_canonical(data, EvidenceBundle, limit_bytes)
    check_sizes(bundle.evidence, bundle.endorsements)
    return bundle


def check_sizes(evidence: bytes, endorsements: tuple[bytes, ...]) -> None:
    """Refuse (PeerFault `oversized`) what no genuine evidence needs, before anything is parsed."""
    if len(evidence) > limits.MAX_EVIDENCE_BYTES:
        raise PeerFault("oversized", f"evidence of {len(evidence)} bytes is over the limit")
    if len(endorsements) > limits.MAX_ENDORSEMENTS:
        raise PeerFault("oversized", f"{len(endorsements)} endorsements are over the limit")
    total_bytes = sum(len(endorsement) for endorsement in endorsements)
    if total_bytes > limits.MAX_ENDORSEMENT_BYTES:
        raise PeerFault("oversized", f"endorsements of {total_bytes} bytes are over the limit")
