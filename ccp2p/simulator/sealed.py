"""What members and rekey proposers seal, with chosen randomness.

A run must be the same wherever it is repeated.

The library draws HPKE's ephemeral key itself, so the sender's side of RFC 9180 (base mode, X25519,
HKDF-SHA256, ChaCha20-Poly1305) stands here once more; nodes open its result with the real one.
"""

import hmac
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ccp2p.crypto import aead
from ccp2p.model import codec
from ccp2p.model.envelope import Envelope, Event, pad
from ccp2p.sealing.beacon_shares import INFO
from ccp2p.sealing.session import Opening, SessionContext, SessionKeys

_KEM = b"KEM" + (0x0020).to_bytes(2, "big")
_HPKE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x0020, 0x0001, 0x0003))
_INFO = b"ccp2p session"


def seal_opening(
    context: SessionContext, epoch_key: bytes, key: bytes, invite: bytes, ephemeral: bytes
) -> bytes:
    """As `sealing.session.seal_opening`, with the ephemeral key made from 32 given bytes."""
    plaintext = codec.encode(Opening(key, invite))
    associated = context.associated(b"open", b"")
    return _seal_to(epoch_key, _INFO, plaintext, associated, ephemeral)


def seal_secret(
    secret: bytes, sealing_key: bytes, network: bytes, epoch: int, ephemeral: bytes
) -> bytes:
    """As `sealing.secrets.seal_to_seat`, with the ephemeral key made from 32 given bytes."""
    associated = network + epoch.to_bytes(8, "big")
    return _seal_to(sealing_key, b"ccp2p epoch secret", secret, associated, ephemeral)


def seal_share(share: bytes, sealing_key: bytes, associated: bytes, ephemeral: bytes) -> bytes:
    """As `sealing.beacon_shares.seal_share`, with the ephemeral key made from 32 given bytes."""
    return _seal_to(sealing_key, INFO, share, associated, ephemeral)


def _seal_to(
    public_key: bytes, info: bytes, plaintext: bytes, associated: bytes, ephemeral: bytes
) -> bytes:
    """HPKE to an X25519 key; ValueError when that is of small order."""
    info = len(info).to_bytes(4, "big") + info + associated
    private = X25519PrivateKey.from_private_bytes(ephemeral)
    encapsulation = private.public_key().public_bytes_raw()
    exchanged = private.exchange(X25519PublicKey.from_public_bytes(public_key))
    prk = _extract(_KEM, b"", b"eae_prk", exchanged)
    shared = _expand(_KEM, prk, b"shared_secret", encapsulation + public_key, 32)
    schedule = b"\0" + _extract(_HPKE, b"", b"psk_id_hash", b"")
    schedule += _extract(_HPKE, b"", b"info_hash", info)
    secret = _extract(_HPKE, shared, b"secret", b"")
    cipher = ChaCha20Poly1305(_expand(_HPKE, secret, b"key", schedule, 32))
    nonce = _expand(_HPKE, secret, b"base_nonce", schedule, 12)
    return encapsulation + cipher.encrypt(nonce, plaintext, b"")


def seal_event(
    context: SessionContext, keys: SessionKeys, event: Event, opening: bytes, nonce: bytes
) -> bytes:
    """The encoded envelope of an event, as `sealing.session.seal_event` makes it."""
    tag = keys.tag_of(event.sequence)
    plaintext = pad(codec.encode(event))
    associated = context.associated(b"event", tag)
    sealed = aead.seal(context.aead, keys.up, plaintext, associated, nonce)
    return codec.encode(Envelope(context.epoch, tag, opening, sealed))


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    """At most one block of SHA-256, which is all that this suite needs."""
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, labelled + b"\1", sha256)[:size]
