"""Records: where a node of a network is, signed by its key, sealed for whoever knows the network.

A record lies under a key that is hashed from its topic, twice: from the key nobody learns the
topic, and what the record says is sealed under the topic. So those who keep it learn that a node
belongs to something, and not to what; who holds a ticket of a private group, or looks for a mesh,
knows the topic. Everybody who keeps or passes on a record checks its signature and its dates. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ccp2p.crypto import aead, signatures
from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import PeerFault
from ccp2p.network.announcement import Announcement, encode_announcement, parse_announcement

_DOMAIN: Final = b"ccp2p.kademlia-record/1"
_AEAD: Final = "aegis256"
_NETWORK: Final = b"\x00"
_MESHES: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Topic:
    """What is looked for. `secret` (32 bytes) seals what is kept under `key` (32 bytes)."""

    secret: bytes

    @property
    def key(self) -> bytes:
        """The place of its records."""
        return hashing.digest(hashing.TOPIC_KEY, self.secret)


def network_topic(network: bytes) -> Topic:
    """The nodes of one network, by its id (32 bytes)."""
    return Topic(hashing.digest(hashing.TOPIC, _NETWORK, network))


def meshes_topic(policy_digest: bytes, app: str) -> Topic:
    """The nodes of all meshes of one policy (its digest, 32 bytes) that run one app."""
    return Topic(hashing.digest(hashing.TOPIC, _MESHES, policy_digest, app.encode()))


class Record(Wire, frozen=True):
    """What is signed. Times are Unix time in milliseconds; of one author's the newest counts."""

    key: bytes
    node: bytes
    issued_ms: int
    expires_ms: int
    sealed: bytes


class SignedRecord(Wire, frozen=True):
    """An encoded Record, and its author's signature."""

    record: bytes
    signature: bytes


def make_record(
    topic: Topic, announcement: Announcement, sign: Callable[[bytes], bytes], now_ms: int
) -> SignedRecord:
    """What the announcing node, whose key `sign` signs with, publishes under `topic`."""
    key = topic.key
    sealed = aead.seal(_AEAD, topic.secret, encode_announcement(announcement), key)
    body = codec.encode(
        Record(key, announcement.node, now_ms, now_ms + limits.RECORD_LIFETIME_MS, sealed)
    )
    return SignedRecord(body, sign(_DOMAIN + body))


def check_record(signed: SignedRecord, now_ms: int) -> Record:
    """The record, if it is signed by its author and in its time.

    PeerFault: `record`, or `record-time` where our clock and another's may just differ.
    """
    record = codec.decode_canonical(signed.record, Record, limits.MAX_RENDEZVOUS_BYTES)
    if len(record.key) != hashing.DIGEST_BYTES or not signatures.is_admissible_key(record.node):
        raise _bad("a key that is none")
    lifetime_ms = record.expires_ms - record.issued_ms
    if not 0 < lifetime_ms <= limits.RECORD_LIFETIME_MS:
        raise _bad("a lifetime that no record has")
    if not signatures.verify(record.node, signed.signature, _DOMAIN + signed.record):
        raise _bad("a signature that is not its author's")
    if record.expires_ms <= now_ms or record.issued_ms > now_ms + limits.CLOCK_SLACK_MS:
        raise PeerFault("record-time", "a record is of another time than ours")
    return record


def open_record(topic: Topic, record: Record) -> Announcement:
    """What a checked record says to whoever knows the topic; PeerFault otherwise."""
    if record.key != topic.key:
        raise _bad("another key")
    plain = aead.open_one(_AEAD, topic.secret, record.sealed, record.key)
    if plain is None:
        raise _bad("nothing that was sealed for this topic")
    announcement = parse_announcement(plain)
    if announcement.node != record.node:
        raise _bad("another node than its author")
    return announcement


def _bad(reason: str) -> PeerFault:
    return PeerFault("record", f"a record has {reason}")
