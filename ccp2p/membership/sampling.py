"""The draw: who of many sits in a mesh's next committee, from the roster and the beacon alone.

At most a third of the seats change hands in an epoch, counting those that go anyway: silent seats
first, then seats by lot. They and open seats go to candidates by lot, within the caps of vendor and
subnet. The lot is a keyed hash of the platform id, so one chip has one chance whatever keys it
makes; and since the beacon is younger than the list of candidates, none could be chosen for it. No
seat is given up that nobody takes, so the draw never lowers f.

A candidate that stays away after the draw is left out, and the next by the same lot moves up: who
withdraws own platforms trades places that it has for places that anybody may get.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ccp2p.membership.roster import Member, Roster
from ccp2p.model import hashing, limits
from ccp2p.model.subnets import subnet_of_host

_NO_BEACON = bytes(32)

Fill = Callable[[Sequence[Member], Sequence[Member], str, int], tuple[Member, ...]]
"""(staying, joining, vendor cap, most seats) to a committee that keeps the cap."""


class Sampling(NamedTuple):
    """How a mesh draws: its most seats, the ledger time of an epoch until it does, its subnet cap.

    `subnet_seats` of 0 caps nothing.
    """

    seats: int = limits.MAX_COMMITTEE
    interval_ms: int = 3_600_000
    subnet_seats: int = 0


def lot(beacon: bytes, purpose: bytes, platform_id: bytes) -> bytes:
    """What a platform draws: the lowest win. `purpose` is "join" or "retire"."""
    return hashing.keyed(hashing.SAMPLE, beacon, purpose, b"/", platform_id)


def drawn(
    roster: Roster,
    staying: Sequence[Member],
    joining: Sequence[Member],
    sampling: Sampling,
    vendor_cap: str,
    fill: Fill,
) -> tuple[Member, ...]:
    """The committee that the beacon draws: of `staying` as many as keep their seats, and joiners.

    Before there is a beacon nobody goes by lot, and who comes is a guess that shows whether anybody
    would. `staying` are the seats, or their heirs, that need not go; `joining` who waits.
    """
    beacon = roster.beacon or _NO_BEACON
    registered = _registered(roster)
    candidates = sorted(
        (one for one in joining if one.platform_id in registered),
        key=lambda one: lot(beacon, b"join", one.platform_id),
    )
    most = len(roster.members) // 3 - (len(roster.members) - len(staying))
    retiring = _retiring(roster, staying, beacon)[: max(0, most)]

    def with_new(kept: Sequence[Member]) -> tuple[Member, ...]:
        able = _within_subnets(kept, candidates, sampling.subnet_seats)
        first = _first_of_vendors(able, sampling.seats - len(kept))
        return fill(kept, first, vendor_cap, sampling.seats)

    without = with_new(staying)
    for count in range(len(retiring), 0, -1):
        kept = [one for one in staying if one not in retiring[:count]]
        chosen = with_new(kept)
        if len(chosen) >= len(without):
            return chosen
    return without


def _registered(roster: Roster) -> set[bytes]:
    """The platforms that may be drawn: since registration froze, those of that moment."""
    if roster.drawing is not None:
        return set(roster.drawing.registered)
    return set(registering(roster))


def registering(roster: Roster) -> tuple[bytes, ...]:
    """The platforms of the observers that are candidates now."""
    here = set(roster.candidates)
    candidates = [one for one in roster.observers if one.node in here]
    return tuple(one.platform_id for one in candidates if one.platform_id)


def _retiring(roster: Roster, staying: Sequence[Member], beacon: bytes) -> list[Member]:
    """Seats in the order in which they go: the useless first, the others only by lot."""
    useless = [one for one in staying if roster.is_silent(one.node) or roster.is_stale(one)]
    others = [one for one in staying if one not in useless] if roster.beacon else []

    def by_lot(seats: Sequence[Member]) -> list[Member]:
        return sorted(seats, key=lambda one: lot(beacon, b"retire", one.platform_id))

    return [*by_lot(useless), *by_lot(others)]


def _within_subnets(
    kept: Sequence[Member], candidates: Sequence[Member], most: int
) -> list[Member]:
    """Candidates in order, without those whose subnet has its seats.

    Addresses are what a node says of itself: this keeps out who runs many nodes in one place and
    does not care to lie. Of several addresses each counts.
    """
    if not most:
        return list(candidates)
    held = Counter(subnet for one in kept for subnet in subnets_of(one))
    able = []
    for one in candidates:
        subnets = subnets_of(one)
        if all(held[subnet] < most for subnet in subnets):
            held.update(subnets)
            able.append(one)
    return able


def subnets_of(member: Member) -> set[str]:
    """The subnets of a member's addresses; who names none shares one with all such."""
    hosts = [address.split("/")[2] for address in member.addresses if address.count("/") > 2]
    return {subnet_of_host(host) for host in hosts} or {""}


def _first_of_vendors(candidates: Sequence[Member], room: int) -> list[Member]:
    """Without those of whose vendor there are enough before them to fill all the room."""
    seen = Counter[str]()
    first = []
    for one in candidates:
        seen[one.vendor] += 1
        if seen[one.vendor] <= room:
            first.append(one)
    return first
