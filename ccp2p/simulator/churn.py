"""A network whose committee changes while it works: who comes, who goes, and who is in the way.

Drawn so that in every committee on the way at most f are traitors, dead or silent: what the design
promises no more than that is not asked.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ccp2p.membership.events import Acknowledgement, Body, Rekey
from ccp2p.membership.means import Moment
from ccp2p.membership.roster import Change, Roster, faulty_of
from ccp2p.node.steward import Steward
from ccp2p.simulator.host import Host
from ccp2p.simulator.intruders import Intruder, Replayer, Thief, Twin
from ccp2p.simulator.traitors import Traitor

if TYPE_CHECKING:
    from ccp2p.simulator.world import World

_INTRUDERS: tuple[type[Intruder], ...] = (Thief, Replayer, Twin)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many join, how many more join and then stand in the way, how many leave.

    `intruders` ask to join and must be refused.
    """

    joiners: int
    hindering: int
    leavers: int
    traitors: int
    dead: int
    intruders: tuple[type[Intruder], ...]

    @property
    def newcomers(self) -> int:
        """How many machines there are beside the founders'."""
        return self.joiners + self.hindering + len(self.intruders)


NONE = Plan(0, 0, 0, 0, 0, ())


def draw_plan(random: Random, size: int) -> Plan:
    """What happens in a network of `size` founders."""
    joiners = random.choice((1, 1, 2))
    leavers = random.randrange(2) if size > 1 else 0
    bad = max(0, (size - leavers - 1) // 3)
    hindering = traitors = dead = 0
    for _ in range(bad):
        kind = random.choice(("traitor", "traitor", "dead", "hindering", "none"))
        traitors += kind == "traitor"
        dead += kind == "dead"
        hindering += kind == "hindering"
    intruders = tuple(random.sample(_INTRUDERS, random.randrange(len(_INTRUDERS) + 1)))
    return Plan(joiners, hindering, leavers, traitors, dead, intruders)


def misled_plan(size: int) -> Plan:
    """Newcomers who find as many traitors as may be."""
    return Plan(3, 0, 0, faulty_of(size), 0, ())


def newcomer(world: "World", number: int, plan: Plan) -> Host:
    """The `number`th machine of those that ask to join."""
    index = len(world.hosts)
    random = world.generator(f"host-{index}")
    if number < plan.joiners:
        return Host(world, index, random, random.randrange(-50, 51))
    place = number - plan.joiners - plan.hindering
    if place >= 0:
        world.intruders[world.founded.identities[index].node] = index
        return plan.intruders[place](world, index, random)
    return random.choice(_HINDERING)(world, index, random)


class Mute(Host):
    """A newcomer that is admitted and then says nothing."""

    @property
    def is_honest(self) -> bool:
        """See `Host`: it has a vote that it never casts."""
        return False

    @property
    def is_hindering(self) -> bool:
        """See `Host`."""
        return True

    @property
    def is_silent(self) -> bool:
        """See `Host`."""
        return True

    @property
    def nature(self) -> str:
        """See `Host`."""
        return "joins and falls silent"


class HoldingSteward(Steward):
    """Withholds its acknowledgements until `delay_ms` after the first that is due.

    `due()` is told of the first.
    """

    def __init__(self, host: "Late", **around: Any) -> None:
        super().__init__(**around)
        self._host = host
        self._since_ms: int | None = None

    def _wanted(self, roster: Roster, at: Moment, now_ms: int) -> list[tuple[str, Body]]:
        wanted = super()._wanted(roster, at, now_ms)
        others = [one for one in wanted if not isinstance(one[1], Acknowledgement)]
        if len(others) == len(wanted):
            return wanted
        if self._since_ms is None:
            self._since_ms = now_ms
            self._host.due()
        return wanted if now_ms >= self._since_ms + self._host.delay_ms else others


class Late(Host):
    """A newcomer that follows and gives its prekey, and acknowledges secrets late."""

    def __init__(self, world: "World", index: int, random: Random) -> None:
        super().__init__(world, index, random)
        self.delay_ms = random.choice((2_000, 20_000, 59_000, 90_000))

    @property
    def is_honest(self) -> bool:
        """See `Host`: for as long as that, the others do without its vote."""
        return False

    @property
    def is_hindering(self) -> bool:
        """See `Host`."""
        return True

    @property
    def nature(self) -> str:
        """See `Host`."""
        return f"joins, and acknowledges {self.delay_ms // 1000} s late"

    def new_steward(self, **around: Any) -> Steward:
        """See `Host`."""
        return HoldingSteward(self, **around)

    def due(self) -> None:
        """Its first acknowledgement is due."""


class Vanishing(Late):
    """A newcomer that gives its prekey, and is gone once it should acknowledge."""

    @property
    def nature(self) -> str:
        """See `Host`."""
        return "joins, and vanishes before it acknowledges"

    def due(self) -> None:
        """See `Late`."""
        self.is_retired = True
        self.later(0, self.crash)


_HINDERING: tuple[type[Host], ...] = (Mute, Late, Vanishing)


class GarbageSteward(Steward):
    """Proposes before its turn what does not hold, and hands out other secrets than were asked for.

    To some members it seals garbage, to some another secret; now and then the anchor is of no chain
    that anybody could know. It proposes on its way out, too, when it has no say any more.
    """

    def secret_of(self, epoch_key: bytes) -> bytes | None:
        """See `Steward`."""
        secret = super().secret_of(epoch_key)
        return self._randomness(len(secret)) if secret and self._draws(2) else secret

    def _wanted(self, roster: Roster, at: Moment, now_ms: int) -> list[tuple[str, Body]]:
        wanted = super()._wanted(roster, at, now_ms)
        change = roster.change
        is_out = change is not None and change.index_of(self._identity.node) is None
        if change is not None and is_out and self._is_due("rekey on the way out", now_ms):
            wanted.append(("rekey on the way out", self._proposal(roster, change)))
        return wanted

    def _is_my_turn(self, _change: Change, _place: int, _now_ms: int) -> bool:
        return True

    def _proposal(self, roster: Roster, change: Change) -> Rekey:
        proposal = super()._proposal(roster, change)
        if self._draws(4):
            return replace(proposal, coin_anchor=self._randomness(len(proposal.coin_anchor)))
        return proposal

    def _sealed_to(self, prekey: bytes, secret: bytes) -> bytes:
        if self._draws(3):
            return super()._sealed_to(prekey, self._randomness(len(secret)))
        sealed = super()._sealed_to(prekey, secret)
        return bytes(len(sealed)) if self._draws(3) else sealed

    def _draws(self, count: int) -> bool:
        """Chance: once in `count` times."""
        return self._randomness(1)[0] % count == 0


class GarbageProposer(Traitor):
    """A traitor whose steward lies, whatever else it does, and comes before all others."""

    tend_us = 10_000

    def new_steward(self, **around: Any) -> Steward:
        """See `Host`."""
        return GarbageSteward(**around)

    @property
    def nature(self) -> str:
        """See `Host`."""
        return f"seals garbage as proposer, {super().nature}"


def unfold(world: "World", random: Random, plan: Plan, span_us: int) -> None:
    """Let newcomers start and leavers give notice, at times within `span_us`."""
    world.is_changing = True
    world.unmet = lambda: unmet(world)
    founders = world.founded.committee.size
    for host in world.hosts[founders:]:
        host.changes.joins = True
    honest = [host for host in world.hosts[:founders] if host.is_honest and not host.is_retired]
    leaving = random.sample(honest, min(plan.leavers, len(honest)))
    liars = [host for host in world.hosts[:founders] if isinstance(host, GarbageProposer)]
    for host in (*leaving, *(liar for liar in liars if random.randrange(3) == 0)):
        world.later(random.randrange(span_us), _leave, host)
    staying = [host for host in honest if host not in leaving]
    coming = [host for host in world.hosts[founders:] if host.is_honest]
    for host in world.hosts:
        if isinstance(host, Intruder):
            host.choose_victim(staying, coming)


def _leave(host: Host) -> None:
    host.changes.leave()


def unmet(world: "World") -> str:
    """Every newcomer has a seat, every leaver is gone, all the others are where these are.

    And every intruder was refused for all that is wrong with it.
    """
    newest = world.newest.committee
    if newest.epoch == 0:
        return "no epoch has begun"
    for host in world.hosts:
        if isinstance(host, Intruder) and host.awaits:
            return f"node {host.index} was not refused with {host.awaits!r}"
        if not host.is_honest or host.is_retired:
            continue
        if host.changes.is_leaving:
            return f"node {host.index} has not left"
        if host.epoch != newest.epoch:
            return f"node {host.index} is in epoch {host.epoch} of {newest.epoch}"
        if host.core.me < 0:
            return f"node {host.index} has no seat"
    return ""
