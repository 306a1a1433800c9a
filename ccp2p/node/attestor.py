"""This node's side of attestation: evidence over its keys, and judgement of its peers'."""

from typing import Protocol

from ccp2p.attestation.binding import report_data
from ccp2p.attestation.bundle import parse_bundle
from ccp2p.attestation.platforms.interface import Platform
from ccp2p.attestation.policy import Policy
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import verify_bundle
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import AttestationFault, PeerFault
from ccp2p.sealing.identity import Identity


class PeerEvidence(Wire, frozen=True):
    """What the attested handshake carries: an encoded bundle and the X25519 key it covers."""

    sealing: bytes
    bundle: bytes


class NodeAttestor:
    """Speaks for one node in one network, and judges by `policy`, the one in force."""

    def __init__(
        self, identity: Identity, platform: Platform, network: bytes, policy: Policy, clock: "Clock"
    ) -> None:
        self._identity = identity
        self._platform = platform
        self._network = network
        self.policy = policy
        self._clock = clock
        self.node = identity.node

    def sign(self, message: bytes) -> bytes:
        """The node key's signature."""
        return self._identity.signing.sign(message)

    def evidence(self, binding: bytes) -> bytes:
        """Encoded PeerEvidence that is bound to `binding` (the handshake, or a nonce)."""
        return codec.encode(PeerEvidence(self._identity.sealing.public, self.bundle(binding)))

    def bundle(self, nonce: bytes) -> bytes:
        """An encoded evidence bundle over this node's keys and `nonce`."""
        data = report_data(self._network, self.node, self._identity.sealing.public, nonce)
        return codec.encode(self._platform.bundle(data))

    def check(self, node: bytes, binding: bytes, evidence: bytes) -> Verdict:
        """The verdict on a peer; AttestationFault with every reason when it is refused."""
        try:
            limit_bytes = limits.MAX_EVIDENCE_BYTES + limits.MAX_ENDORSEMENT_BYTES + 2048
            peer = codec.decode(evidence, PeerEvidence, limit_bytes)
            return self.judge(node, peer.sealing, binding, peer.bundle)
        except AttestationFault:
            raise
        except PeerFault as fault:
            raise AttestationFault(str(fault), (fault.code,)) from None

    def judge(
        self,
        node: bytes,
        sealing: bytes,
        nonce: bytes,
        bundle: bytes,
        at_s: int | None = None,
        policy: Policy | None = None,
    ) -> Verdict:
        """The accepting verdict on a bundle over these keys and this nonce; else PeerFault.

        `at_s` (Unix seconds) is the ledger's time where replicas must agree; None is now.
        `policy` is another one than that in force.
        """
        if len(node) != 32 or len(sealing) != 32:
            raise PeerFault("malformed", "a node's keys have 32 bytes each")
        expected = report_data(self._network, node, sealing, nonce)
        verdict = verify_bundle(
            parse_bundle(bundle),
            policy or self.policy,
            self._clock() // 1000 if at_s is None else at_s,
            salt=self._network,
            report_data=expected,
        )
        return verdict.require()


class Clock(Protocol):
    """Unix time in milliseconds."""

    def __call__(self) -> int:
        """Now."""
