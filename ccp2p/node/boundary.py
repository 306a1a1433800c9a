"""What a node in one epoch does with what belongs to the epochs before and after it. No IO.

A peer that speaks of a past epoch is told that it ended. What comes of the next epoch waits for its
record, and shows that this node may have been left behind.
"""

from collections.abc import Sequence
from typing import Final

from ccp2p.crypto import signatures
from ccp2p.membership.records import Link, check_successor
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, parse_record, record_digest
from ccp2p.model.errors import PeerFault
from ccp2p.node.early_frames import EarlyFrames
from ccp2p.node.messages import (
    Blocks,
    FollowRequest,
    PeerMessage,
    RecordComplete,
    RecordSignature,
    encode_message,
)

_TELL_MS: Final = 1_000  # between two words to a peer that it, or this node, fell behind an epoch
_LAG_MS: Final = 500  # between two questions for blocks of an epoch that others have ended


class Boundary:
    """The edges of the epoch of `link`, whose record is `signed`. Times of any clock that rises.

    `successor` is the next record, once somebody shows that this epoch has ended, and
    `successor_signed` the same with its signatures. `promised` is the digest of the only one that
    may seat this node, once it gave its word for a recovery; empty before.
    """

    def __init__(self, link: Link, signed: SignedEpochRecord) -> None:
        self.successor: EpochRecord | None = None
        self.successor_signed: SignedEpochRecord | None = None
        self.promised = b""
        self._promiser = b""
        self._link = link
        self._epoch = link.record.epoch
        self._signed = signed
        self._early = EarlyFrames()
        self._told_ms: dict[bytes, int] = {}
        self._signers: dict[bytes, None] = {}
        self._lagged_ms = -_LAG_MS

    @property
    def early(self) -> tuple[tuple[bytes, bytes], ...]:
        """(node, frame) of the next epoch, in the order in which they came."""
        return self._early.in_order()

    def hear(
        self, node: bytes, message: RecordSignature | RecordComplete, frame: bytes, now_ms: int
    ) -> PeerMessage | None:
        """Keep what belongs to the next record; whoever asks for this one's gets it.

        Who shows a later record is asked for those between. PeerFault when a complete record is not
        this one's successor.
        """
        if isinstance(message, RecordSignature):
            if message.epoch <= self._epoch:
                return self.remind(node, now_ms)
        else:
            shown = parse_record(message.signed.record).epoch
            if shown <= self._epoch:
                return None
            if shown > self._epoch + 1:
                is_due = self.successor is None and self._is_due(node, now_ms)
                return FollowRequest(self._link.digest) if is_due else None
        self._early.append(node, frame)
        if isinstance(message, RecordComplete):
            self.learn((message.signed,))
        return None

    def hear_of(self, node: bytes, epoch: int, now_ms: int) -> PeerMessage | None:
        """What to tell a peer that speaks of another epoch's commits."""
        if epoch < self._epoch:
            return self.remind(node, now_ms)
        is_due = self.successor is None and self._is_due(node, now_ms)
        return FollowRequest(self._link.digest) if is_due else None

    def lags(self, node: bytes, message: RecordSignature | RecordComplete, now_ms: int) -> bool:
        """Whether to ask for the last blocks of this epoch, after a message that was heard.

        A peer that says again that it ended the epoch waits for this node perhaps: what the peer
        ended it by may have been lost on the way, and nobody sends blocks of it any more.
        """
        if not isinstance(message, RecordSignature) or message.epoch != self._epoch + 1:
            return False
        says_again = node in self._signers
        self._signers[node] = None
        if not says_again or now_ms < self._lagged_ms + _LAG_MS:
            return False
        self._lagged_ms = now_ms
        return True

    def promise(self, digest: bytes, node: bytes) -> None:
        """This node, `node`, goes on by the recovery with this digest, or without a seat."""
        self.promised, self._promiser = digest, node

    def learn(self, records: Sequence[SignedEpochRecord]) -> None:
        """Whether somebody shows that this epoch has ended.

        PeerFault when it is shown by another record than the one that counts here.
        """
        for signed in records:
            record = parse_record(signed.record)
            if record.epoch != self._epoch + 1:
                continue
            digest = record_digest(signed.record)
            held = self.successor_signed
            counts = record_digest(held.record) if held is not None else self._bound_to(record)
            if counts and counts != digest:
                raise PeerFault(
                    "two-records",
                    f"two records for epoch {self._epoch + 1}: a peer shows {digest.hex()}, and "
                    f"what counts here is {counts.hex()}",
                )
            if held is None:
                link = check_successor(signed, self._link, signatures.verify_batch)
                self.successor, self.successor_signed = link.record, signed

    def _bound_to(self, record: EpochRecord) -> bytes:
        """The digest that this record has to have; empty where any will do.

        A promise binds whoever would vote: a recovery that leaves this node out it may follow, for
        then the promised one came to nothing or goes on without it.
        """
        leaves_out = all(seat.node != self._promiser for seat in record.seats)
        return b"" if record.recovery is not None and leaves_out else self.promised

    def sort_out(
        self, node: bytes, blocks: tuple[bytes, ...], faults: Sequence[PeerFault], now_ms: int
    ) -> tuple[list[PeerMessage], list[PeerFault]]:
        """What to tell a peer whose blocks are of other epochs; and the faults that remain."""
        replies: list[PeerMessage] = []
        for code in dict.fromkeys(fault.code for fault in faults):
            if code == "early-epoch":
                self._early.append(node, encode_message(Blocks(blocks)))
                replies.append(FollowRequest(self._link.digest))
            elif code == "past-epoch" and (word := self.remind(node, now_ms)) is not None:
                replies.append(word)
        return replies, [f for f in faults if f.code not in ("early-epoch", "past-epoch")]

    def remind(self, node: bytes, now_ms: int) -> PeerMessage | None:
        """What to tell a peer that speaks of a past epoch: that this one has begun."""
        return RecordComplete(self._signed) if self._is_due(node, now_ms) else None

    def _is_due(self, node: bytes, now_ms: int) -> bool:
        if now_ms < self._told_ms.get(node, -_TELL_MS) + _TELL_MS:
            return False
        self._told_ms[node] = now_ms
        return True
