"""The secrets of one epoch, all derived from one that is sealed to each seat.

A seat that receives the secret recomputes the epoch key and the coin's anchor and compares them
with the epoch record before it signs: a proposer who sends garbage to some gets no signature.
"""

from ccp2p.crypto import hpke
from ccp2p.model import hashing
from ccp2p.model.epoch import EpochRecord
from ccp2p.model.errors import PeerFault
from ccp2p.sealing.coin import CoinChain

SECRET_BYTES = 32
_INFO = b"ccp2p epoch secret"


class EpochSecrets:
    """What the TEEs of an epoch share. `secret` has 32 bytes; `coin_length` is T."""

    def __init__(self, secret: bytes, coin_length: int) -> None:
        self.secret = secret
        self.coin = CoinChain(_derive(secret, b"coin"), coin_length)
        self.epoch_key = hpke.PrivateKey(_derive(secret, b"epoch key"))
        self.salt_key = _derive(secret, b"salt")

    @classmethod
    def of_record(cls, secret: bytes, coin_length: int, record: EpochRecord) -> "EpochSecrets":
        """A record's secrets; PeerFault (code `founding`) when it is not committed to this one.

        Garbage costs no walk of a coin chain.
        """
        if record.epoch_key != cls.public_key(secret):
            raise PeerFault("founding", "the record's epoch key is not the one sealed to this node")
        secrets = cls(secret, coin_length)
        if record.coin_anchor != secrets.coin.anchor:
            raise PeerFault("founding", "the record's coin anchor is not the end of its chain")
        return secrets

    @staticmethod
    def public_key(secret: bytes) -> bytes:
        """The epoch key of a secret, without walking its coin chain."""
        return hpke.PrivateKey(_derive(secret, b"epoch key")).public

    @staticmethod
    def disk_key(secret: bytes, node: bytes) -> bytes:
        """What the disk of `node` is under in this epoch (`at_rest = "group"`)."""
        return _derive(secret, b"disk" + node)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hashing.keyed(hashing.EPOCH_RECORD, secret, purpose)


def seal_to_seat(secret: bytes, sealing_key: bytes, network: bytes, epoch: int) -> bytes:
    """The epoch secret sealed to one seat's X25519 key by HPKE (RFC 9180)."""
    return hpke.seal(sealing_key, _INFO, secret, _context(network, epoch))


def open_from_proposer(
    sealed: bytes, sealing_key: hpke.PrivateKey, network: bytes, epoch: int
) -> bytes:
    """The secret inside `seal_to_seat`'s result, or PeerFault."""
    secret = sealing_key.open(sealed, _INFO, _context(network, epoch))
    if secret is None or len(secret) != SECRET_BYTES:
        raise PeerFault("founding", "the epoch secret sealed to this node does not open")
    return secret


def _context(network: bytes, epoch: int) -> bytes:
    return network + epoch.to_bytes(8, "big")
