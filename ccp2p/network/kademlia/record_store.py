"""Records kept for others: bounded in number for all, a key, an author and a subnet. Pure.

Only its author brings a record, over a connection that proved its key: so its address is known, and
nobody fills a key with records that others once signed.
"""

from collections import Counter
from dataclasses import dataclass

from ccp2p.model import limits
from ccp2p.network.kademlia.contacts import distance
from ccp2p.network.kademlia.records import Record, SignedRecord


@dataclass(frozen=True, slots=True)
class _Kept:
    signed: SignedRecord
    record: Record
    origin: str


class RecordStore:
    """What one node keeps; `place` is its own."""

    def __init__(self, place: bytes) -> None:
        self._place = place
        self._keys: dict[bytes, dict[bytes, _Kept]] = {}
        self._authors: Counter[bytes] = Counter()
        self._origins: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._authors.total()

    def put(self, signed: SignedRecord, record: Record, origin: str) -> str:
        """Keep a checked record that came from `origin`; a word says why not.

        Of one author's the newest stays. When all is full, the record furthest from us makes room.
        """
        held = self._keys.get(record.key, {}).get(record.node)
        if held is not None and held.record.issued_ms > record.issued_ms:
            return "older"
        if held is not None:
            self._drop(held.record)
        refusal = self._refusal(record, origin)
        if refusal and held is not None:
            self._keep(held)
            return refusal
        if not refusal:
            self._keep(_Kept(signed, record, origin))
        return refusal

    def get(self, key: bytes, now_ms: int) -> tuple[SignedRecord, ...]:
        """What is kept under a key and has not expired."""
        kept = tuple(self._keys.get(key, {}).values())
        for one in kept:
            if one.record.expires_ms <= now_ms:
                self._drop(one.record)
        return tuple(one.signed for one in kept if one.record.expires_ms > now_ms)

    def expire(self, now_ms: int) -> None:
        """Forget what has expired."""
        for key in tuple(self._keys):
            self.get(key, now_ms)

    def _refusal(self, record: Record, origin: str) -> str:
        of_key = self._keys.get(record.key, {})
        if len(of_key) >= limits.RECORDS_OF_KEY:
            return "key-full"
        if self._authors[record.node] >= limits.RECORDS_OF_NODE:
            return "author-full"
        if origin:
            of_both = sum(one.origin == origin for one in of_key.values())
            if (
                of_both >= limits.RECORDS_OF_KEY_AND_ORIGIN
                or self._origins[origin] >= limits.RECORDS_OF_ORIGIN
            ):
                return "subnet-full"
        if len(self) < limits.RECORDS_KEPT:
            return ""
        furthest = max(self._keys, key=lambda key: distance(key, self._place))
        if distance(furthest, self._place) <= distance(record.key, self._place):
            return "full"
        self._drop(next(iter(self._keys[furthest].values())).record)
        return ""

    def _keep(self, one: _Kept) -> None:
        self._keys.setdefault(one.record.key, {})[one.record.node] = one
        self._authors[one.record.node] += 1
        self._origins[one.origin] += 1

    def _drop(self, record: Record) -> None:
        of_key = self._keys[record.key]
        one = of_key.pop(record.node)
        if not of_key:
            del self._keys[record.key]
        for counter, key in ((self._authors, record.node), (self._origins, one.origin)):
            counter[key] -= 1  # type: ignore[index]
            if not counter[key]:  # type: ignore[index]
                del counter[key]
