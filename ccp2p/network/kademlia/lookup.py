"""One lookup: towards a place, step by step, through what each node on the way knows. Pure.

What a node says of others may be a lie, so it gets others no further than this: of the nearest, a
subnet has ORIGIN_CONTACTS; of those that nobody has tried yet, the word of one subnet brings
INTRODUCED; and whose word led to nobody is followed last, and after LIES_BORNE no more. Whoever
wants to surround a place needs addresses in many subnets, not keys.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ccp2p.model import limits
from ccp2p.network.addresses import origin_of
from ccp2p.network.kademlia.contacts import Contact, distance, place_of


@dataclass(slots=True)
class _Candidate:
    contact: Contact
    distance: int
    origin: str
    introducer: str  # the origin whose word brought it; empty for our own contacts
    state: Literal["new", "asked", "answered", "failed"] = "new"


class Lookup:
    """The nodes nearest to `target`, beginning with `seeds`: contacts that answered before."""

    def __init__(self, target: bytes, own: bytes, seeds: Iterable[Contact]) -> None:
        self.target = target
        self._own = own
        self._candidates: dict[bytes, _Candidate] = {}
        self._lies: Counter[str] = Counter()
        self._queries = 0
        for seed in seeds:
            self._consider(seed, "")

    def next(self) -> Contact | None:
        """Whom to ask now; None when nobody, or while enough are being asked."""
        asked = sum(one.state == "asked" for one in self._candidates.values())
        if asked >= limits.ASKED_AT_ONCE or self._queries >= limits.LOOKUP_QUERIES:
            return None
        waiting = [one for one in self._nearest() if one.state == "new"]
        if not waiting:
            return None
        chosen = min(waiting, key=lambda one: (self._lies[one.introducer], one.distance))
        chosen.state = "asked"
        self._queries += 1
        return chosen.contact

    def answered(self, contact: Contact, named: Iterable[Contact]) -> None:
        """A contact that `next` gave answered, and named others."""
        self._candidates[contact.node].state = "answered"
        introducer = origin_of(contact.address)
        for one in named:
            self._consider(one, introducer)

    def failed(self, contact: Contact) -> None:
        """A contact that `next` gave did not answer, or not as it should."""
        one = self._candidates[contact.node]
        one.state = "failed"
        if one.introducer:
            self._lies[one.introducer] += 1

    @property
    def is_done(self) -> bool:
        """Whether nobody is being asked, and nobody nearer is left to ask."""
        if any(one.state == "asked" for one in self._candidates.values()):
            return False
        is_spent = self._queries >= limits.LOOKUP_QUERIES
        return is_spent or not any(one.state == "new" for one in self._nearest())

    def closest(self) -> list[Contact]:
        """The nearest that answered, within every subnet's share."""
        return [one.contact for one in self._nearest() if one.state == "answered"]

    def _consider(self, contact: Contact, introducer: str) -> None:
        if (
            contact.node == self._own
            or contact.node in self._candidates
            or len(self._candidates) >= limits.LOOKUP_CANDIDATES
        ):
            return
        self._candidates[contact.node] = _Candidate(
            contact,
            distance(place_of(contact.node), self.target),
            origin_of(contact.address),
            introducer,
        )

    def _nearest(self) -> list[_Candidate]:
        """The NEAREST candidates, within the shares of subnets and of their words."""
        shares: Counter[str] = Counter()
        brought: Counter[str] = Counter()
        nearest: list[_Candidate] = []
        for one in sorted(self._candidates.values(), key=_by_distance):
            if one.state == "failed" or (one.origin and _is_full(shares, one.origin)):
                continue
            if one.introducer and one.state == "new":
                if (
                    brought[one.introducer] >= limits.INTRODUCED
                    or self._lies[one.introducer] >= limits.LIES_BORNE
                ):
                    continue
                brought[one.introducer] += 1
            shares[one.origin] += 1
            nearest.append(one)
            if len(nearest) == limits.NEAREST:
                break
        return nearest


def _is_full(shares: Counter[str], origin: str) -> bool:
    return shares[origin] >= limits.ORIGIN_CONTACTS


def _by_distance(one: _Candidate) -> int:
    return one.distance
