"""A node's own keys, sealed by its TEE."""

from ccp2p.crypto import aead, hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, hashing
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault

_ALGORITHM = "xchacha20"
_ASSOCIATED = b"ccp2p node identity"


class _Sealed(Wire, frozen=True):
    signing: bytes
    sealing: bytes


class Identity:
    """The Ed25519 key that is the node's name and the X25519 key that secrets are sealed to."""

    def __init__(self, signing_seed: bytes, sealing_seed: bytes) -> None:
        self._seeds = _Sealed(signing_seed, sealing_seed)
        self.signing_seed = signing_seed
        self.signing = SigningKey(signing_seed)
        self.sealing = hpke.PrivateKey(sealing_seed)

    @property
    def node(self) -> bytes:
        """The node's public key, 32 bytes."""
        return self.signing.public

    def seal(self, sealing_key: bytes) -> bytes:
        """The identity for the disk, under the TEE's sealing key (32 bytes)."""
        return aead.seal(_ALGORITHM, sealing_key, codec.encode(self._seeds), _ASSOCIATED)

    @classmethod
    def unseal(cls, sealing_key: bytes, sealed: bytes) -> "Identity":
        """Read `seal`'s result; LocalFault (code `wrong-key`) when this TEE did not seal it."""
        plaintext = aead.open_one(_ALGORITHM, sealing_key, sealed, _ASSOCIATED)
        if plaintext is None:
            raise LocalFault("wrong-key", "this node's identity was sealed by another TEE")
        seeds = codec.decode(plaintext, _Sealed, 256, LocalFault)
        return cls(seeds.signing, seeds.sealing)


def storage_key(sealing_key: bytes, network: bytes) -> bytes:
    """The at-rest key of one network on this node that its TEE alone gives."""
    return hashing.keyed(hashing.PLATFORM, sealing_key, b"storage", network)
