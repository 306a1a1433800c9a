"""From CLOSE to the next epoch: the record's signatures are gathered outside the order.

Every seat that executed CLOSE computed the same record; Q of their signatures complete it. Whoever
has it complete tells the others. No IO.
"""

from collections.abc import Callable

from ccp2p.crypto import signatures
from ccp2p.membership.records import Link, check_successor
from ccp2p.model import codec
from ccp2p.model.epoch import (
    SignedEpochRecord,
    parse_record,
    record_digest,
    record_signed_bytes,
)
from ccp2p.model.errors import PeerFault
from ccp2p.node.messages import RecordComplete, RecordSignature
from ccp2p.node.roster_keeper import Closing


class Handover:
    """Completes what `closing` left, the successor of `previous`; `sign` is the key of `node`."""

    def __init__(
        self, previous: Link, closing: Closing, node: bytes, sign: Callable[[bytes], bytes]
    ) -> None:
        record = closing.record
        self.record = record
        self.signed = closing.signed
        self._previous = previous
        self._closing = closing
        self._bytes = codec.encode(record)
        self._message = record_signed_bytes(self._bytes)
        self._committee = previous.record.committee()
        self._signatures: dict[int, bytes] = {}
        self._own: RecordSignature | None = None
        seat = self._committee.index_of(node)
        if seat is not None and self.signed is None:
            self._own = RecordSignature(record.epoch, sign(self._message))
            self._add(seat, self._own.signature)

    @property
    def word(self) -> RecordSignature | RecordComplete | None:
        """What to tell the others now."""
        return RecordComplete(self.signed) if self.signed is not None else self._own

    def hear(self, node: bytes, message: RecordSignature | RecordComplete) -> None:
        """Take a signature or a complete record; PeerFault when it is not of this record."""
        if self.signed is not None:
            return
        if isinstance(message, RecordComplete):
            if parse_record(message.signed.record).epoch != self.record.epoch:
                return  # of another epoch, by somebody who is not here yet or long gone
            if message.signed.record != self._bytes:
                other, own = record_digest(message.signed.record), record_digest(self._bytes)
                raise PeerFault(
                    "record",
                    f"two records for epoch {self.record.epoch}: a peer shows {other.hex()}, and "
                    f"what this node executed leads to {own.hex()}",
                )
            check_successor(message.signed, self._previous, signatures.verify_batch)
            self.signed = message.signed
            return
        seat = self._committee.index_of(node)
        if seat is None or message.epoch != self.record.epoch:
            return
        if not signatures.verify(node, message.signature, self._message):
            raise PeerFault("record", "a peer signed another record of the next epoch")
        self._add(seat, message.signature)

    def _add(self, seat: int, signature: bytes) -> None:
        self._signatures[seat] = signature
        if len(self._signatures) >= self._committee.quorum:
            found = tuple(sorted(self._signatures.items()))
            self.signed = SignedEpochRecord(
                self._bytes, found, self._closing.amendment, self._closing.approvals
            )
