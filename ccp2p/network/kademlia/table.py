"""The routing table: contacts in buckets by how much of their place they share with ours. Pure.

Rules: a contact is put in after it answered at its address, never on anybody's word; a bucket has
NEAREST of them and a subnet ORIGIN_CONTACTS in a bucket; who is there and answers is never driven
out by who comes later (long-lived contacts live longest), only by its own silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from ccp2p.model import limits
from ccp2p.network.addresses import origin_of, scope_of
from ccp2p.network.kademlia.contacts import PLACE_BYTES, Contact, distance, place_of

_BITS = 8 * PLACE_BYTES


@dataclass(slots=True)
class _Entry:
    contact: Contact
    place: bytes
    origin: str
    scope: int
    failures: int = 0


class RoutingTable:
    """The contacts of one node."""

    def __init__(self, own: bytes) -> None:
        """`own` is our node key."""
        self._own = own
        self._place = place_of(own)
        self._buckets: dict[int, dict[bytes, _Entry]] = {}
        self._asked_ms: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def __iter__(self) -> Iterator[Contact]:
        for index in sorted(self._buckets):
            for entry in self._buckets[index].values():
                yield entry.contact

    def __contains__(self, contact: Contact) -> bool:
        entry = self._buckets.get(self._index(place_of(contact.node)), {}).get(contact.node)
        return entry is not None and entry.contact == contact

    def answered(self, contact: Contact) -> bool:
        """A contact answered at its address; whether it is in the table now."""
        if contact.node == self._own:
            return False
        place = place_of(contact.node)
        bucket = self._buckets.setdefault(self._index(place), {})
        entry = _Entry(contact, place, origin_of(contact.address), scope_of(contact.address))
        held = bucket.get(contact.node)
        if held is not None and held.origin == entry.origin:
            bucket[contact.node] = entry
            return True
        others = [one for node, one in bucket.items() if node != contact.node]
        of_origin = [one for one in others if entry.origin and one.origin == entry.origin]
        if len(of_origin) >= limits.ORIGIN_CONTACTS:
            return False
        if len(others) >= limits.NEAREST:
            worst = max(others, key=lambda one: one.failures)
            if not worst.failures:
                return False
            del bucket[worst.contact.node]
        bucket[contact.node] = entry
        return True

    def failed(self, node: bytes) -> None:
        """Nobody answered there; after so many times in a row the contact is dropped."""
        index = self._index(place_of(node))
        entry = self._buckets.get(index, {}).get(node)
        if entry is not None:
            entry.failures += 1
            if entry.failures >= limits.CONTACT_FAILURES:
                del self._buckets[index][node]

    def nearest(self, target: bytes, scope: int = 0) -> tuple[Contact, ...]:
        """The NEAREST contacts to a place whose addresses mean something in `scope`."""
        entries = [
            entry
            for bucket in self._buckets.values()
            for entry in bucket.values()
            if entry.scope >= scope
        ]
        entries.sort(key=lambda entry: distance(entry.place, target))
        return tuple(entry.contact for entry in entries[: limits.NEAREST])

    def place_to_refresh(self, now_ms: int, randomness: Random) -> bytes:
        """A place in the bucket that was looked into longest ago, among those that matter.

        Buckets nearer than our nearest neighbours are empty whatever we ask.
        """
        deepest = max((index for index, bucket in self._buckets.items() if bucket), default=0)
        index = min(range(deepest + 1), key=lambda one: self._asked_ms.get(one, 0))
        self._asked_ms[index] = now_ms
        own = int.from_bytes(self._place, "big")
        flipped = own ^ (1 << (_BITS - 1 - index))
        low = _BITS - 1 - index
        place = (flipped >> low << low) | randomness.getrandbits(low) if low else flipped
        return place.to_bytes(PLACE_BYTES, "big")

    def _index(self, place: bytes) -> int:
        """How many leading bits a place shares with ours."""
        return _BITS - distance(self._place, place).bit_length()
