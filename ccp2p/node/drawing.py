"""What this node says in the draw of a mesh's next committee: see `membership.beacon`. No IO.

Everything follows from the executed roster and the node's sealing key, so nothing is kept for a
restart: a contribution that was lost is made anew, and the first that is ordered stands.
"""

from collections.abc import Callable
from typing import Final

from ccp2p.membership import beacon, sharing
from ccp2p.membership.events import Body, Candidacy, Contribution, Holding, Opening
from ccp2p.membership.roster import Dealt, Drawing, Roster
from ccp2p.membership.sampling import Sampling
from ccp2p.model import limits
from ccp2p.model.genesis import Genesis
from ccp2p.sealing.beacon_shares import open_share
from ccp2p.sealing.identity import Identity

_TURN_MS: Final = 2_000  # between one seat's turn to contribute and the next one's

SealShare = Callable[[bytes, bytes, bytes], bytes]


def sampling_of(genesis: Genesis) -> Sampling | None:
    """How a network draws its committee: a mesh only, and a group seats everybody."""
    if not genesis.is_open:
        return None
    parameters = genesis.parameters
    return Sampling(genesis.most_seats, parameters.rotation_interval_ms, parameters.subnet_seats)


class Drawer:
    """One node's part in the draw of the epoch with this `record` (its digest).

    `seal(share, key, associated)` seals a share to a seat, `randomness(count)` gives secret bytes.
    """

    def __init__(
        self,
        identity: Identity,
        record: bytes,
        sampling: Sampling | None,
        seal: SealShare,
        randomness: Callable[[int], bytes],
    ) -> None:
        self._identity = identity
        self._record = record
        self._sampling = sampling
        self._seal = seal
        self._randomness = randomness
        self._begun_ms: int | None = None
        self._contribution: Contribution | None = None
        self._shares: dict[bytes, bytes] = {}  # ours, by dealer; empty where it is no good

    def wanted(self, roster: Roster, now_ms: int) -> list[tuple[str, Body]]:
        """What to say now, by a name under which it was perhaps said before."""
        node = self._identity.node
        drawing = roster.drawing
        if drawing is None:
            own = roster.following(node)
            is_missing = own is not None and bool(own.platform_id) and node not in roster.candidates
            can_stand = self._sampling is not None and roster.change is None
            return [("candidacy", Candidacy())] if is_missing and can_stand else []
        place = roster.committee.index_of(node)
        if drawing.beacon or place is None:
            return []
        shares = [self._share(place, one) for one in drawing.dealt]
        if drawing.counted:
            return self._opening(drawing, place, shares)
        held = tuple(
            number
            for number, one in enumerate(drawing.dealt)
            if shares[number] and place not in one.holders
        )
        wanted: list[tuple[str, Body]] = [(f"hold {held}", Holding(held))] if held else []
        if self._is_my_turn(roster, drawing, place, now_ms):
            wanted.append(("contribute", self._contribute(roster)))
        return wanted

    def _opening(self, drawing: Drawing, place: int, shares: list[bytes]) -> list[tuple[str, Body]]:
        said = [place in dict(drawing.dealt[number].opened) for number in drawing.counted]
        own = tuple(shares[number] for number in drawing.counted)
        is_said = all(done or not share for done, share in zip(said, own, strict=True))
        return [] if is_said else [("open", Opening(own))]

    def _is_my_turn(self, roster: Roster, drawing: Drawing, place: int, now_ms: int) -> bool:
        """As many as are needed contribute at once, the others one after the other if they must.

        Who begins changes with the epoch.
        """
        if any(one.node == self._identity.node for one in drawing.dealt):
            return False
        if self._begun_ms is None:
            self._begun_ms = now_ms
        size = len(roster.members)
        turn = (place - roster.epoch) % size - beacon.threshold_of(size) + 1
        return now_ms >= self._begun_ms + turn * _TURN_MS

    def _contribute(self, roster: Roster) -> Contribution:
        if self._contribution is None:
            size = len(roster.members)
            context = beacon.context_of(self._record, self._identity.node)
            coefficients = [
                int.from_bytes(self._randomness(48), "big") % sharing.PRIME
                for _ in range(beacon.threshold_of(size))
            ]
            shares = sharing.deal(coefficients, size)
            self._contribution = Contribution(
                tuple(sharing.commitment(context, at, one) for at, one in enumerate(shares)),
                tuple(
                    self._sealed_share(one, seat.sealing, context)
                    for one, seat in zip(shares, roster.members, strict=True)
                ),
            )
        return self._contribution

    def _sealed_share(self, share: bytes, key: bytes, context: bytes) -> bytes:
        """A share for one seat; bytes that do not open, where its key cannot be sealed to."""
        try:
            return self._seal(share, key, context)
        except ValueError:
            return self._randomness(limits.MAX_SEALED_SECRET_BYTES)

    def _share(self, place: int, dealt: Dealt) -> bytes:
        """Our share of a contribution, opened once; empty when it is not what was committed to."""
        if dealt.node not in self._shares:
            context = beacon.context_of(self._record, dealt.node)
            share = open_share(dealt.sealed[place], self._identity.sealing, context) or b""
            is_good = sharing.commitment(context, place, share) == dealt.commitments[place]
            self._shares[dealt.node] = share if is_good else b""
        return self._shares[dealt.node]
