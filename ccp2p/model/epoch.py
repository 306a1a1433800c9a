"""Epoch records: who votes under which keys, signed by the committee that hands over.

Record 0 is signed by all of its committee; its successor by a quorum of its predecessor's, or,
where that was lost, by those who go on, with the approval of enough governors.
"""

from collections.abc import Sequence

from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.committee import Committee, Seat
from ccp2p.model.errors import PeerFault


class Recovery(Wire, frozen=True):
    """How a network went on that had lost its quorum (design section 9).

    `commit` and `chain` (its digest) are the newest certified checkpoint of the lost epoch that was
    found; 0 and zeros where there was none. From it to the record's `close_commit` the survivors'
    word counts; whatever came after that is lost. `fallen` are the seats that did not go on.
    """

    commit: int
    chain: bytes
    fallen: tuple[Seat, ...]


class EpochRecord(Wire, frozen=True):
    """Design section 7. Digests and keys are 32 bytes; `predecessor` is zero for record 0.

    `amendment` is the digest of the amendment that came into force with this record; empty: none.
    `shares` are of the epoch's secret, one sealed to each governor of this record, in their order
    (empty bytes for a key that nothing can be sealed to); none, where the disks of this committee
    need no recovery (`Parameters.keeps_group`).
    """

    network: bytes
    epoch: int
    predecessor: bytes
    seats: tuple[Seat, ...]
    policy_digest: bytes
    governors: tuple[bytes, ...]
    governor_threshold: int
    measurements: tuple[bytes, ...]
    coin_anchor: bytes
    epoch_key: bytes
    close_commit: int
    close_chain: bytes
    state_root: bytes
    outcomes_root: bytes
    ledger_time_ms: int
    protocol: int
    amendment: bytes = b""
    recovery: Recovery | None = None
    shares: tuple[bytes, ...] = ()

    def committee(self) -> Committee:
        """The committee that votes in this epoch."""
        return Committee(self.epoch, self.seats)


class SignedEpochRecord(Wire, frozen=True):
    """A record's bytes as signed, and (seat index, signature) pairs.

    `amendment` are the bytes of the record's amendment, `approvals` (governor index, signature)
    pairs, for it or for a recovery: who voted and who governed in the epoch before is in its
    record.
    """

    record: bytes
    signatures: tuple[tuple[int, bytes], ...]
    amendment: bytes = b""
    approvals: tuple[tuple[int, bytes], ...] = ()


def record_digest(record_bytes: bytes) -> bytes:
    """The digest that a successor and a ticket name."""
    return hashing.digest(hashing.EPOCH_RECORD, record_bytes)


def first_page(records: Sequence[SignedEpochRecord]) -> tuple[SignedEpochRecord, ...]:
    """As many of the records as one message carries: up to the one that fills a page.

    The first is one that the reader may know already, and takes no room.
    """
    size = 0
    for end, signed in enumerate(records[1:], 2):
        size += len(codec.encode(signed))
        if size >= limits.RECORD_PAGE_BYTES:
            return tuple(records[:end])
    return tuple(records)


def is_full_page(encoded: Sequence[bytes]) -> bool:
    """Whether a page of encoded records may have another one behind it, from its last one on."""
    return sum(map(len, encoded[1:])) >= limits.RECORD_PAGE_BYTES


def record_signed_bytes(record_bytes: bytes) -> bytes:
    """What a seat signs."""
    return hashing.EPOCH_RECORD + record_digest(record_bytes)


def are_shares(shares: Sequence[bytes]) -> bool:
    """Whether sealed recovery shares are within their bounds."""
    sizes = (0, limits.MAX_SHARE_BYTES)
    return len(shares) <= limits.MAX_GOVERNORS and all(len(share) in sizes for share in shares)


def parse_record(record_bytes: bytes) -> EpochRecord:
    """Read a record; PeerFault when it is malformed. Signatures are another matter."""
    record = codec.decode_canonical(record_bytes, EpochRecord, limits.MAX_RECORD_BYTES)
    if not 1 <= len(record.seats) <= limits.MAX_COMMITTEE:
        raise PeerFault("record", "an epoch record without a possible committee")
    if len({seat.node for seat in record.seats}) != len(record.seats):
        raise PeerFault("record", "an epoch record seats one node twice")
    if not are_shares(record.shares) or len(record.shares) not in (0, len(record.governors)):
        raise PeerFault("record", "an epoch record has a share for each governor, or none")
    return record
