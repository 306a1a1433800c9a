"""The beacon that a committee is drawn by: a random value that no f seats can foresee or bend.

Its messages are membership events, so all replicas agree on every step, and nothing waits for a
clock or for a named seat:
1. A seat orders a contribution: a secret, shared f+1 of n among the epoch's seats, with a hash of
   every share (`sharing`). A seat that opened its share and found it to match says so.
2. A contribution counts once Q seats hold it: f+1 of them are honest and can open it, whatever its
   dealer does from then on. The first f+1 that count fix the beacon; one of them at least comes
   from an honest seat, and nobody has seen its secret.
3. Only then do the seats open their shares. f+1 that match give each secret; or, whichever they
   are, that its dealer cheated, and it is left out. Both were fixed when it was ordered.
The beacon is a hash of the sum of the secrets. As in SCRAPE (Cascudo and David 2017) and RandHound
(Syta et al. 2017) nobody gains by withholding: there is no last revealer. An epoch makes one
beacon: who has seen it gets no other by letting the change of the committee fail.
"""

from msgspec.structs import replace

from ccp2p.membership import sharing
from ccp2p.membership.events import Contribution, Holding, Opening
from ccp2p.membership.roster import Dealt, Drawing, Roster, faulty_of, quorum_of
from ccp2p.model import hashing
from ccp2p.model.errors import PeerFault


def threshold_of(size: int) -> int:
    """How many shares open a contribution, and how many contributions make a beacon."""
    return faulty_of(size) + 1


def context_of(record: bytes, dealer: bytes) -> bytes:
    """What the shares of one dealer are bound to: the epoch's record (its digest) and the key."""
    return hashing.digest(hashing.BEACON, record, dealer)


def contribute(roster: Roster, node: bytes, body: Contribution) -> Roster:
    """The roster with a seat's contribution; the first of each seat is the one that stands."""
    drawing, _ = _under_way(roster, node)
    if len(body.commitments) != len(roster.members):
        raise PeerFault("beacon", "a contribution is shared among exactly the seats")
    if drawing.counted:
        raise PeerFault("beacon", "the contributions that count are fixed")
    if any(dealt.node == node for dealt in drawing.dealt):
        raise PeerFault("beacon", "this seat made its contribution")
    dealt = Dealt(node, body.commitments, body.sealed)
    return replace(roster, drawing=replace(drawing, dealt=(*drawing.dealt, dealt)))


def hold(roster: Roster, node: bytes, body: Holding) -> Roster:
    """The roster after a seat's word that it holds shares."""
    drawing, place = _under_way(roster, node)
    if not all(0 <= number < len(drawing.dealt) for number in body.numbers):
        raise PeerFault("beacon", "no such contribution")
    if drawing.counted:
        return roster
    dealt = tuple(
        replace(one, holders=(*one.holders, place))
        if number in body.numbers and place not in one.holders
        else one
        for number, one in enumerate(drawing.dealt)
    )
    return replace(roster, drawing=_fixed(replace(drawing, dealt=dealt), len(roster.members)))


def reveal(roster: Roster, node: bytes, body: Opening, record: bytes) -> Roster:
    """The roster after a seat's shares; with the beacon, once all that count are opened."""
    drawing, place = _under_way(roster, node)
    if not drawing.counted:
        raise PeerFault("beacon", "it is not fixed yet which contributions count")
    if len(body.shares) != len(drawing.counted):
        raise PeerFault("beacon", "a share of every contribution that counts, or none of it")
    dealt = list(drawing.dealt)
    needed = threshold_of(len(roster.members))
    for number, share in zip(drawing.counted, body.shares, strict=True):
        one = dealt[number]
        if not share or len(one.opened) >= needed or place in dict(one.opened):
            continue
        context = context_of(record, one.node)
        if sharing.commitment(context, place, share) != one.commitments[place]:
            raise PeerFault("beacon", "a share that was not dealt")
        dealt[number] = replace(one, opened=(*one.opened, (place, share)))
    drawing = replace(drawing, dealt=tuple(dealt))
    if all(len(dealt[number].opened) >= needed for number in drawing.counted):
        drawing = Drawing(drawing.registered, beacon=_beacon(drawing, record))
    return replace(roster, drawing=drawing)


def _under_way(roster: Roster, node: bytes) -> tuple[Drawing, int]:
    place = roster.committee.index_of(node)
    if roster.drawing is None or roster.drawing.beacon or place is None:
        raise PeerFault("no-drawing", "no beacon is being made for which this is needed")
    return roster.drawing, place


def _fixed(drawing: Drawing, size: int) -> Drawing:
    """With the contributions that count, once there are enough: the earliest of those held by Q."""
    held = [n for n, one in enumerate(drawing.dealt) if len(one.holders) >= quorum_of(size)]
    if len(held) < threshold_of(size):
        return drawing
    return replace(drawing, counted=tuple(held[: threshold_of(size)]))


def _beacon(drawing: Drawing, record: bytes) -> bytes:
    total = 0
    for number in drawing.counted:
        one = drawing.dealt[number]
        context = context_of(record, one.node)
        total += sharing.recover(context, one.commitments, dict(one.opened)) or 0
    value = (total % sharing.PRIME).to_bytes(sharing.SHARE_BYTES, "big")
    return hashing.digest(hashing.BEACON, record, value)
