"""Who sits in the next committee: decided from the roster alone, so that every replica agrees."""

from collections import Counter
from collections.abc import Sequence

from ccp2p.membership.founding import check_vendors, vendors_fit
from ccp2p.membership.roster import Member, Roster, faulty_of, quorum_of
from ccp2p.membership.sampling import Sampling, drawn
from ccp2p.model import limits
from ccp2p.model.committee import Seat
from ccp2p.model.errors import PeerFault


def next_members(
    roster: Roster, vendor_cap: str, sampling: Sampling | None = None
) -> tuple[Member, ...]:
    """The committee that a FREEZE now would fix, in seat order.

    Who leaves, was expelled or is evicted by governors goes; who is silent, or shows no evidence
    that satisfies the next policy, goes as far as that does not lower f. Observers with a platform
    of their own come in the order of their admission, as far as the vendor cap (the next policy's)
    and the committee's size allow. A successor takes the place of the seat that it replaces. Where
    a mesh has more nodes than seats, the draw decides instead who comes and goes (`sampling`).
    """
    staying, joining = _standing(roster)
    vendor_cap = _cap_in_force(roster, vendor_cap)
    if sampling is not None and must_draw(roster, sampling):
        chosen = drawn(roster, staying, joining, sampling, vendor_cap, _with_joiners)
    else:
        chosen = _without_silent(roster, staying, joining, vendor_cap)
    return chosen or roster.members


def kept_out(roster: Roster, vendor_cap: str, sampling: Sampling | None = None) -> dict[bytes, str]:
    """The observers that get no seat because of the vendor cap, each with the rule's words.

    Nothing is said where a draw decides: there the lot keeps out most.
    """
    cap = _cap_in_force(roster, vendor_cap)
    if cap == "none" or not roster.observers or must_draw(roster, sampling):
        return {}
    seats = [member.seat for member in next_members(roster, vendor_cap, sampling)]
    taken = {seat.node for seat in seats}
    waiting = [one for one in _waiting(roster) if one.node not in taken and not one.replaces]
    vendors = {one.vendor: one.seat for one in waiting}
    words = {vendor: _too_many(seats, seat, cap) for vendor, seat in vendors.items()}
    return {one.node: words[one.vendor] for one in waiting if words[one.vendor]}


def _too_many(seats: Sequence[Seat], another: Seat, cap: str) -> str:
    """Why a seat of this vendor would be one too many, or empty."""
    try:
        check_vendors([*seats, another], cap, len(seats) + 1)
    except PeerFault as fault:
        return f"{fault.code}: {fault}"
    return ""


def must_draw(roster: Roster, sampling: Sampling | None) -> bool:
    """Whether a mesh has more nodes that could have seats than seats, or had when a draw began.

    What began as a draw ends as one: else who came after the beacon would get seats.
    """
    if sampling is None or roster.drawing is not None:
        return sampling is not None
    return sum(map(len, _standing(roster))) > sampling.seats


def _cap_in_force(roster: Roster, vendor_cap: str) -> str:
    return vendor_cap if roster.amended is None else roster.amended.vendor_cap


def _standing(roster: Roster) -> tuple[list[Member], list[Member]]:
    """The seats that need not go, each as itself or as its heir, and who waits for another."""
    waiting = _waiting(roster)
    heirs = {one.replaces: one for one in waiting if one.replaces}
    joining = [one for one in waiting if not one.replaces]
    gone = roster.going
    staying = [
        heirs.get(member.node, member)
        for member in roster.members
        if member.node in heirs or member.node not in gone
    ]
    return staying, joining


def can_follow(roster: Roster, members: Sequence[Member]) -> bool:
    """Whether the adopted amendment may come in with these members.

    Somebody must stay, and if it brings a policy, a quorum must satisfy that: nodes refuse to talk
    to those who do not.
    """
    if any(one.node in roster.evicted for one in members):
        return False
    satisfying = sum(not roster.is_stale(one) for one in members)
    is_bound = roster.amended is not None and bool(roster.amended.policy)
    return not is_bound or satisfying >= quorum_of(len(members))


def is_left_out(roster: Roster, waiting: Member) -> bool:
    """Whether an observer is passed over because its platform's silence cost a change.

    It comes back with a request that is bound to a checkpoint after that change, `MAX_JOIN_TRIES`
    times an epoch; and once an epoch has ended without it.
    """
    cases = [commit for platform, commit in roster.left_out if platform == waiting.platform_id]
    return len(cases) >= limits.MAX_JOIN_TRIES or any(waiting.anchor <= at for at in cases)


def _waiting(roster: Roster) -> list[Member]:
    """The observers that may get a seat. One without a hardware id only follows."""
    seated = {member.platform_id: member.node for member in roster.members}
    gone = roster.going
    return [
        one
        for one in roster.observers
        if one.platform_id
        and one.node not in gone
        and not roster.is_stale(one)
        and not is_left_out(roster, one)
        and one.replaces == seated.get(one.platform_id, b"")
        and (not one.replaces or _may_replace(roster, one))
    ]


def _may_replace(roster: Roster, heir: Member) -> bool:
    if heir.replaces in roster.expelled:
        return False
    is_free = roster.is_silent(heir.replaces) or heir.replaces in roster.evicted
    return heir.consented or is_free


def _without_silent(
    roster: Roster, staying: list[Member], joining: list[Member], vendor_cap: str
) -> tuple[Member, ...]:
    """`staying` and whoever may join them, without silent and stale seats, the oldest first.

    f stays what it would be with them: or delaying honest nodes until they are evicted would bring
    f+1 others to their goal.
    """
    chosen = _with_joiners(staying, joining, vendor_cap)
    faulty = faulty_of(len(chosen))
    rounds = roster.last_rounds or (0,) * len(roster.members)
    for place in sorted(range(len(rounds)), key=lambda place: rounds[place]):
        silent = roster.members[place]
        may_go = roster.is_silent(silent.node) or roster.is_stale(silent)
        if silent not in staying or not may_go:
            continue
        others = [member for member in staying if member is not silent]
        smaller = _with_joiners(others, joining, vendor_cap)
        if others and faulty_of(len(smaller)) >= faulty:
            staying, chosen = others, smaller
    return chosen


def _with_joiners(
    staying: Sequence[Member],
    waiting: Sequence[Member],
    vendor_cap: str,
    most: int = limits.MAX_COMMITTEE,
) -> tuple[Member, ...]:
    """`staying`, and as many of `waiting` as size and vendor cap allow.

    All are tried at once: a cap may allow two more where it allows no single one. While they are
    too many, the last one goes of the vendor that has the most seats among those with joiners.
    """
    room = max(0, most - len(staying))
    if vendor_cap == "none":
        return (*staying, *waiting[:room])
    held = Counter(member.vendor for member in (*staying, *waiting))
    joining: dict[str, list[Member]] = {}
    for one in waiting:
        joining.setdefault(one.vendor, []).append(one)
    count = len(waiting)
    while count and not (count <= room and vendors_fit(held, vendor_cap)):
        surplus = max((v for v in joining if joining[v]), key=lambda vendor: (held[vendor], vendor))
        joining[surplus].pop()
        held[surplus] -= 1
        count -= 1
    kept = {one.node for each in joining.values() for one in each}
    return (*staying, *(one for one in waiting if one.node in kept))
