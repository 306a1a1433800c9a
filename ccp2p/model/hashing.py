"""BLAKE2b-256 with one personalisation string per domain.

A digest is always `digest(DOMAIN, parts...)`; parts are concatenated, so each call site must make
them self-delimiting (fixed sizes, or one variable part at the end).
"""

from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 32
ZERO_DIGEST: Final = bytes(DIGEST_BYTES)

# At most 16 bytes each: the size of BLAKE2b's personalisation field (RFC 7693 section 2.8).
BLOCK: Final = b"ccp2p.block"
PAYLOAD: Final = b"ccp2p.payload"
GENESIS: Final = b"ccp2p.genesis"
EPOCH_RECORD: Final = b"ccp2p.epoch"
RECOVERY: Final = b"ccp2p.recovery"
COMMIT: Final = b"ccp2p.commit"
EVENT: Final = b"ccp2p.event"
ENVELOPE: Final = b"ccp2p.envelope"
COIN: Final = b"ccp2p.coin"
COIN_ORDER: Final = b"ccp2p.coinorder"
LINEAR_ORDER: Final = b"ccp2p.linear"
EPOCH_ROOT: Final = b"ccp2p.epochroot"
CHECKPOINT: Final = b"ccp2p.checkpt"
LEAF: Final = b"ccp2p.leaf"
BUCKET: Final = b"ccp2p.bucket"
TREE: Final = b"ccp2p.tree"
SALT: Final = b"ccp2p.salt"
OUTCOME: Final = b"ccp2p.outcome"
VALUE: Final = b"ccp2p.value"
SESSION: Final = b"ccp2p.session"
INVITE: Final = b"ccp2p.invite"
POLICY: Final = b"ccp2p.policy"
AMENDMENT: Final = b"ccp2p.amendment"
PLATFORM: Final = b"ccp2p.platform"
MEASUREMENT: Final = b"ccp2p.measure"
NONCE: Final = b"ccp2p.nonce"
ROUTE: Final = b"ccp2p.route"
APP_SEED: Final = b"ccp2p.appseed"
VERDICT: Final = b"ccp2p.verdict"
TICKET: Final = b"ccp2p.ticket"
STORAGE: Final = b"ccp2p.storage"
REPORT_DATA: Final = b"ccp2p.reportdata"
SIMULATED: Final = b"ccp2p.simulated"
SEALING: Final = b"ccp2p.sealing"
MEMBERSHIP: Final = b"ccp2p.membership"
BEACON_SHARE: Final = b"ccp2p.beacshare"
SEALED_BOX: Final = b"ccp2p.sealedbox"
EVENT_LOG: Final = b"ccp2p.eventlog"
RECOVERY_SHARE: Final = b"ccp2p.recshare"
BEACON: Final = b"ccp2p.beacon"
SAMPLE: Final = b"ccp2p.sample"
KADEMLIA: Final = b"ccp2p.kademlia"
COMMIT_NEWS: Final = b"ccp2p.commitnews"
TOPIC: Final = b"ccp2p.topic"
TOPIC_KEY: Final = b"ccp2p.topickey"


def digest(domain: bytes, *parts: bytes) -> bytes:
    """The 32-byte BLAKE2b digest of `parts` under `domain`."""
    return blake2b(b"".join(parts), digest_size=DIGEST_BYTES, person=domain).digest()


def keyed(domain: bytes, key: bytes, *parts: bytes) -> bytes:
    """A 32-byte PRF: BLAKE2b keyed with `key` (at most 64 bytes) under `domain`."""
    data = b"".join(parts)
    return blake2b(data, digest_size=DIGEST_BYTES, person=domain, key=key).digest()
