"""Committees of a large mesh, hour after hour: the rules of the draw over thousands of nodes.

In each epoch a share of the nodes vanishes without a word, seats among them, and as many others of
the same kind come; at its end `succession.next_members` draws the next committee from a roster as
the order of events would have made it, after `beacon`'s rules made the beacon. What is left out is
how events travel: whole networks that draw are the scenario `rotation`.

With a uniform draw and churn that hits all alike, the seats are an urn out of which some are
swapped with the other nodes again and again (Bernoulli and Laplace), so that the number of hostile
seats at any one moment follows the hypergeometric distribution. Hostile nodes that are more
patient than the others have more seats than that.
"""

from collections.abc import Iterator, Set
from math import comb
from random import Random
from typing import Final, NamedTuple

from ccp2p.membership import beacon, sharing
from ccp2p.membership.events import Contribution, Holding, Opening
from ccp2p.membership.roster import Drawing, Member, Roster, faulty_of, quorum_of
from ccp2p.membership.sampling import Sampling
from ccp2p.membership.succession import next_members
from ccp2p.model import limits

_POLICY: Final = b"P" * 32
_RECORD: Final = b"R" * 32
_MOST_CHOICES: Final = 16  # hostile seats make choices, and choices hostile seats


class Setting(NamedTuple):
    """A mesh: its nodes and seats, which share of the nodes is hostile, which goes each epoch.

    `vendors` has a letter for each vendor, as often as its share of the nodes wants. With
    `is_patient` hostile nodes never go. Unless `is_noticed`, seats that are gone do not count as
    silent yet when the next draw comes: that takes `limits.EVICTION_ROUNDS` of one epoch. With
    `chooses` the beacon is one of commit-and-reveal: the hostile seats reveal last and take the
    best of 2^k draws (at most 16), k their number.
    """

    nodes: int
    seats: int
    hostile: float = 0.1
    churn: float = 0.2
    vendors: str = "a"
    vendor_cap: str = "none"
    is_patient: bool = False
    is_noticed: bool = True
    chooses: bool = False


class Drawn(NamedTuple):
    """A committee: its size, the hostile seats, the seats that are new in it.

    `away` are those that are hostile or gone when its hour is over, before the next is drawn.
    """

    size: int
    hostile: int
    new: int
    away: int

    @property
    def is_bad(self) -> bool:
        """Whether more than f seats are hostile: safety is lost."""
        return self.hostile > faulty_of(self.size)

    @property
    def may_halt(self) -> bool:
        """Whether it stops at the end of its hour if hostile seats are silent then."""
        return self.away > faulty_of(self.size)


def committees(setting: Setting, seed: int) -> Iterator[Drawn]:
    """The committees of a mesh without end, one an epoch; the first one is drawn as well."""
    mesh = Mesh(setting, Random(f"mesh/{seed}"))
    while True:
        new = mesh.draw()
        size, hostile = len(mesh.members), mesh.hostile_seats(mesh.members)
        mesh.live_through()
        yield Drawn(size, hostile, new, mesh.away())


class Mesh:
    """The nodes of a mesh between two draws. `hostile` are platform ids."""

    def __init__(self, setting: Setting, random: Random) -> None:
        self.setting = setting
        self.hostile: set[bytes] = set()
        self.gone: set[bytes] = set()
        self._random = random
        count = round(setting.nodes * setting.hostile)
        nodes = [self._node(number < count) for number in range(setting.nodes)]
        self.members: tuple[Member, ...] = (nodes.pop(),)
        self.observers = nodes
        self.epoch = 0

    def draw(self) -> int:
        """Draw the next committee; how many of its seats are new."""
        roster = self._roster()
        chosen = max(
            (self._drawn_from(roster) for _ in range(self._choices())), key=self.hostile_seats
        )
        before = {one.node for one in self.members}
        after = {one.node for one in chosen}
        retired = [one for one in self.members if one.node not in after]
        self.observers = [one for one in self.observers if one.node not in after]
        self.observers += [one for one in retired if one.node not in self.gone]
        self.members = chosen
        self.gone &= after
        self.epoch += 1
        return len(after - before)

    def live_through(self) -> None:
        """An epoch's churn: some go without a word, and as many of the same kind come."""
        nodes = [one for one in (*self.members, *self.observers) if one.node not in self.gone]
        if self.setting.is_patient:
            nodes = [one for one in nodes if one.platform_id not in self.hostile]
        leavers = self._random.sample(nodes, round(len(nodes) * self.setting.churn))
        self.gone.update(one.node for one in leavers)
        self.observers = [one for one in self.observers if one.node not in self.gone]
        self.observers += [self._node(one.platform_id in self.hostile) for one in leavers]

    def hostile_seats(self, members: tuple[Member, ...]) -> int:
        """How many of these are hostile."""
        return sum(one.platform_id in self.hostile for one in members)

    def away(self) -> int:
        """How many seats are hostile or gone."""
        return sum(one.node in self.gone or one.platform_id in self.hostile for one in self.members)

    def _choices(self) -> int:
        hostile = self.hostile_seats(self.members) if self.setting.chooses else 0
        return min(1 << hostile, _MOST_CHOICES)

    def _drawn_from(self, roster: Roster) -> tuple[Member, ...]:
        made = with_beacon(roster, self.hostile, self._random)
        return next_members(made, self.setting.vendor_cap, Sampling(self.setting.seats))

    def _roster(self) -> Roster:
        """As it is at the end of the epoch, when whoever is here has registered."""
        newest = limits.EVICTION_ROUNDS + 1
        silent = self.gone if self.setting.is_noticed else ()
        rounds = tuple(0 if one.node in silent else newest for one in self.members)
        registered = tuple(one.platform_id for one in self.observers)
        return Roster(
            self.epoch,
            self.members,
            tuple(self.observers),
            last_rounds=rounds,
            policy=_POLICY,
            drawing=Drawing(registered),
        )

    def _node(self, is_hostile: bool) -> Member:
        random = self._random
        node, sealing, platform = (random.randbytes(32) for _ in range(3))
        if is_hostile:
            self.hostile.add(platform)
        vendor = random.choice(self.setting.vendors)
        return Member(node, sealing, platform, vendor, "sim", (), (), 0, policies=(_POLICY,))


def with_beacon(roster: Roster, hostile: Set[bytes], random: Random) -> Roster:
    """The roster after its seats made the beacon: hostile ones deal first, and open nothing.

    Where that leaves fewer than f+1 to open, they open too, or no epoch would follow.
    """
    size = len(roster.members)
    needed = beacon.threshold_of(size)
    by_kind = sorted(roster.members, key=lambda one: one.platform_id not in hostile)
    dealt = []
    for dealer in by_kind[:needed]:
        shares = sharing.deal([random.randrange(sharing.PRIME) for _ in range(needed)], size)
        context = beacon.context_of(_RECORD, dealer.node)
        hashes = [sharing.commitment(context, at, share) for at, share in enumerate(shares)]
        sealed = (b"",) * size
        roster = beacon.contribute(roster, dealer.node, Contribution(tuple(hashes), sealed))
        dealt.append(shares)
    numbers = tuple(range(needed))
    for one in by_kind[: quorum_of(size)]:
        roster = beacon.hold(roster, one.node, Holding(numbers))
    places = {one.node: place for place, one in enumerate(roster.members)}
    for one in by_kind[-needed:]:
        opening = Opening(tuple(shares[places[one.node]] for shares in dealt))
        roster = beacon.reveal(roster, one.node, opening, _RECORD)
    return roster


def hypergeometric(nodes: int, hostile: int, seats: int) -> list[float]:
    """The odds of 0, 1, ... `seats` hostile ones among `seats` drawn at once from the nodes."""
    every = comb(nodes, seats)
    return [
        comb(hostile, held) * comb(nodes - hostile, seats - held) / every
        for held in range(seats + 1)
    ]
