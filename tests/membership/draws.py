"""Random histories of a mesh that draws its committee, by honest and hostile nodes.

As in `history`, hostile ones say anything and order again whatever was said; in a draw they also
deal what lies on no polynomial, hold what they do not, and open what they like. The checks know
every secret that was dealt, so they know the beacon before it is opened.
"""

from collections import Counter
from collections.abc import Callable

from ccp2p.membership import sharing
from ccp2p.membership.events import (
    Contribution,
    LeaveRequest,
    Opening,
    parse_event,
)
from ccp2p.membership.roster import Change, Drawing, Roster
from ccp2p.membership.sampling import Sampling
from ccp2p.model import hashing
from tests.membership.history import Broken, History, faulty, first_link, require
from tests.membership.world import Actor, World

COMMITS = 120
INTERVAL_MS = 60_000


def violation(seed: int) -> str | None:
    """What broke first in the history of this seed."""
    history = DrawnHistory(seed)
    try:
        for _ in range(COMMITS):
            history.step()
    except Broken as broken:
        return str(broken)
    return None


class DrawnHistory(History):
    """A mesh with more nodes than seats from its founding on."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        random = self.random
        seats, cap = random.choice([(4, "none"), (4, "none"), (7, "none"), (7, "no-fork")])
        sampling = Sampling(seats, INTERVAL_MS)
        self.hostile = [one for one in self.actors[seats:] if random.random() < 0.2]
        self.hostile += random.sample(self.actors[:seats], random.randrange(faulty(seats) + 1))
        self.world = World(self.actors[:seats], cap, sampling)
        self.link = first_link(self.world)
        self.begun_ms = 0
        self.amending_odds = self.leaving_odds = 0.01
        self.frozen: Drawing | None = None
        self.secrets: dict[bytes, int] = {}
        self.freezes = 0

    # What nodes say

    def honest_words(self, one: Actor) -> list[bytes]:
        world, roster, random = self.world, self.world.roster, self.random
        words = super().honest_words(one)
        elapsed_ms = world.at.time_ms - self.begun_ms
        if roster.seated(one.node) and roster.change is None and elapsed_ms > INTERVAL_MS:
            words.append(world.intent(one))
        drawing, place = roster.drawing, roster.committee.index_of(one.node)
        if drawing is None:
            if roster.following(one.node) and one.node not in roster.candidates:
                words.append(world.stand(one))
        elif place is not None and not drawing.beacon:
            if drawing.counted:
                dealt = [drawing.dealt[number].sealed[place] for number in drawing.counted]
                shares = [
                    share if self.fits(drawing, number, place) else b""
                    for number, share in zip(drawing.counted, dealt, strict=True)
                ]
                words.append(world.open(one, shares=tuple(shares)))
            else:
                numbers = range(len(drawing.dealt))
                held = [number for number in numbers if self.fits(drawing, number, place)]
                words.append(world.hold(one, *held))
                if random.random() < 0.5:
                    words.append(world.contribute(one))
        return words

    def fits(self, drawing: Drawing, number: int, place: int) -> bool:
        """Whether the share dealt to a place is the one that was committed to."""
        dealt = drawing.dealt[number]
        context = hashing.digest(hashing.BEACON, self.world.record, dealt.node)
        share = dealt.sealed[place]
        return sharing.commitment(context, place, share) == dealt.commitments[place]

    def hostile_word(self, one: Actor) -> bytes:
        world, random, roster = self.world, self.random, self.world.roster
        seats = len(roster.members)
        number = random.randrange(seats)
        words: list[Callable[[], bytes]] = [
            lambda: world.stand(one),
            lambda: world.contribute(one),
            lambda: world.contribute(one, spoilt=number),
            lambda: world.say(one, Contribution((b"c" * 32,) * seats, (b"s",) * seats)),
            lambda: world.hold(one, *range(-1, number)),
            lambda: world.hold(one, *range(number)),
            lambda: world.say(one, Opening((b"s" * 32,) * number)),
        ]
        if roster.drawing is not None and roster.seated(one.node):
            few = [random.random() < 0.5 for _ in roster.drawing.counted]
            place = roster.committee.index_of(one.node) or 0
            dealt = [roster.drawing.dealt[at].sealed[place] for at in roster.drawing.counted]
            shown = tuple(
                share if is_shown and len(share) == 32 else b""
                for share, is_shown in zip(dealt, few, strict=True)
            )
            words.append(lambda: world.say(one, Opening(shown)))
        return random.choice([*words, lambda: super(DrawnHistory, self).hostile_word(one)])()

    # What must hold

    def check(self, before: Roster, events: list[bytes]) -> None:
        for data in events:
            self.learn(before, data)
        self.check_drawing(before, self.world.roster)
        super().check(before, events)
        if self.world.closed is not None:
            self.frozen = None
            self.secrets = {}
            self.begun_ms = self.world.at.time_ms
            self.check_retired(before, self.world.roster, events)

    def learn(self, before: Roster, data: bytes) -> None:
        """The secret behind the first contribution of each seat: that it counts is all it takes."""
        event = parse_event(data)
        drawing = before.drawing
        if not isinstance(event.body, Contribution) or event.epoch != before.epoch:
            return
        is_late = drawing is None or bool(drawing.counted or drawing.beacon)
        is_fit = len(event.body.sealed) == len(before.members) == len(event.body.commitments)
        if is_late or not is_fit or event.node in self.secrets or not before.seated(event.node):
            return
        self.secrets[event.node] = self.secret_of(event.body, event.node)

    def secret_of(self, body: Contribution, dealer: bytes) -> int:
        """The value at 0 of the polynomial through all shares, or 0 where there is none."""
        size = len(body.sealed)
        context = hashing.digest(hashing.BEACON, self.world.record, dealer)
        values = [int.from_bytes(share, "big") for share in body.sealed]
        few = [(place + 1, values[place]) for place in range(faulty(size) + 1)]
        for place, value in enumerate(values):
            digest = sharing.commitment(context, place, body.sealed[place])
            if digest != body.commitments[place] or through(few, place + 1) != value:
                return 0
        return through(few, 0)

    def check_drawing(self, before: Roster, after: Roster) -> None:
        if self.world.closed is not None:
            return
        was, now = before.drawing, after.drawing
        if was is None or now is None:
            require(was is None, "a draw was given up")
            if now is not None:
                self.frozen = now
            return
        require(now.registered == was.registered, "somebody registered after the end")
        require(not was.beacon or now.beacon == was.beacon, "a second beacon in one epoch")
        require(not was.counted or now.beacon or now.counted == was.counted, "others count now")
        if was.beacon or not now.beacon:
            return
        require(bool(was.counted), "a beacon that was fixed and opened in one commit")
        size = len(before.members)
        dealers = [was.dealt[number].node for number in was.counted]
        require(len({*dealers}) == faulty(size) + 1, "a beacon of other than f+1 dealers")
        total = sum(self.secrets[dealer] for dealer in dealers) % sharing.PRIME
        expected = hashing.digest(hashing.BEACON, self.world.record, total.to_bytes(32, "big"))
        require(now.beacon == expected, "who opened what changed the beacon")
        hostile = {one.node for one in self.hostile}
        if len(hostile & {one.node for one in before.members}) <= faulty(size):
            require(bool({*dealers} - hostile), "a beacon that hostile seats made alone")
        honest = [one for one in before.members if one.node not in hostile]
        for number in was.counted if len(honest) >= size - faulty(size) else ():
            held = [at for at in was.dealt[number].holders if self.fits(was, number, at)]
            require(len(held) > faulty(size), "what counts cannot be opened")

    def check_freeze(self, before: Roster, after: Roster, change: Change) -> None:
        drawing = after.drawing
        if drawing is None or not drawing.beacon:
            super().check_freeze(before, after, change)
            return
        self.freezes += 1
        sampling = self.world.sampling
        assert sampling is not None
        seated = {one.node for one in before.members}
        frozen = {one.node for one in change.members}
        governed = self.check_amendment(after, change)
        gone = {*after.leaving, *after.expelled, *governed}
        heirs = {one.replaces for one in change.members if one.replaces}
        lost = seated - frozen - heirs
        if frozen == seated:
            return
        most = max(len(seated) // 3, len(lost & gone))
        require(len(lost) <= most, "more than a third went")
        require(not frozen & gone & {*after.expelled}, "an equivocator was seated again")
        require(len(frozen) <= max(sampling.seats, len(seated)), "more seats than there are")
        require(len(frozen) >= len(seated) - len(lost & gone), "a seat that nobody took")
        came = [one for one in change.members if one.node not in seated and not one.replaces]
        strangers = [one for one in came if one.platform_id not in drawing.registered]
        require(not strangers, "a node was drawn that had not registered")
        self.check_cap(before, change.members)
        if drawing is not None and self.frozen is not None:
            require(drawing.registered == self.frozen.registered, "registration did not end")

    def check_retired(self, before: Roster, after: Roster, events: list[bytes]) -> None:
        """Live seats that were drawn out follow from then on."""
        if not before.beacon:
            return
        said = [parse_event(data) for data in events]
        going = {one.node for one in said if isinstance(one.body, LeaveRequest)}
        going |= {*before.going, *after.expelled}
        policy = after.policy
        platforms = Counter(one.platform_id for one in (*after.members, *after.observers))
        for one in before.members:
            is_gone = one.node in going or before.is_silent(one.node)
            if not is_gone and policy in one.policies and not before.is_stale(one):
                require(platforms[one.platform_id] > 0, "a seat that was drawn out was forgotten")


def through(points: list[tuple[int, int]], wanted: int) -> int:
    """Lagrange's polynomial through points, at one place, by the book."""
    total = 0
    for at, value in points:
        top = bottom = 1
        for other, _ in points:
            if other != at:
                top = top * (wanted - other) % sharing.PRIME
                bottom = bottom * (at - other) % sharing.PRIME
        total += value * top * pow(bottom, -1, sharing.PRIME)
    return total % sharing.PRIME
