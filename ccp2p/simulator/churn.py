"""A network whose committee changes while it works: who comes, who goes, and who is in the way.

Drawn so that in every committee on the way at most f are traitors, dead or silent: what the design
promises no more than that is not asked.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from ccp2p.membership.roster import Change
from ccp2p.node.steward import Steward
from ccp2p.simulator.host import Host
from ccp2p.simulator.traitors import Traitor

if TYPE_CHECKING:
    from ccp2p.simulator.world import World


@dataclass(frozen=True, slots=True)
class Plan:
    """How many join, how many of these say nothing once admitted, how many leave."""

    joiners: int
    silent: int
    leavers: int
    traitors: int
    dead: int


NONE = Plan(0, 0, 0, 0, 0)


def draw_plan(random: Random, size: int) -> Plan:
    """What happens in a network of `size` founders."""
    joiners = random.choice((1, 1, 2))
    leavers = random.randrange(2) if size > 1 else 0
    bad = max(0, (size - leavers - 1) // 3)
    silent = traitors = dead = 0
    for _ in range(bad):
        kind = random.randrange(4)
        traitors += kind == 0
        dead += kind == 1
        silent += kind == 2
    return Plan(joiners, silent, leavers, traitors, dead)


class Mute(Host):
    """A newcomer that is admitted and then says nothing."""

    @property
    def is_honest(self) -> bool:
        """See `Host`: it has a vote that it never casts."""
        return False

    @property
    def is_silent(self) -> bool:
        """See `Host`."""
        return True

    @property
    def nature(self) -> str:
        """See `Host`."""
        return "joins and falls silent"


class GarbageSteward(Steward):
    """Proposes before its turn, and seals garbage to some of the members."""

    def _is_my_turn(self, _change: Change, _place: int, _now_ms: int) -> bool:
        return True

    def _sealed_to(self, prekey: bytes, secret: bytes) -> bytes:
        sealed = super()._sealed_to(prekey, secret)
        return bytes(len(sealed)) if self._randomness(1)[0] % 2 else sealed


class GarbageProposer(Traitor):
    """A traitor whose steward lies, whatever else it does."""

    steward_kind = GarbageSteward

    @property
    def nature(self) -> str:
        """See `Host`."""
        return f"seals garbage as proposer, {super().nature}"


def unfold(world: "World", random: Random, plan: Plan, span_us: int) -> None:
    """Let newcomers start and leavers give notice, at times within `span_us`."""
    world.is_changing = True
    world.unmet = lambda: _unmet(world)
    founders = world.founded.committee.size
    for host in world.hosts[founders:]:
        host.changes.joins = True
    honest = [host for host in world.hosts[:founders] if host.is_honest and not host.is_retired]
    for host in random.sample(honest, min(plan.leavers, len(honest))):
        world.later(random.randrange(span_us), _leave, host)


def _leave(host: Host) -> None:
    host.changes.leave()


def _unmet(world: "World") -> str:
    """Every newcomer has a seat, every leaver is gone, and all the others are where these are."""
    newest = world.newest.committee
    if newest.epoch == 0:
        return "no epoch has begun"
    for host in world.hosts:
        if not host.is_honest or host.is_retired:
            continue
        if host.changes.is_leaving:
            return f"node {host.index} has not left"
        if host.epoch != newest.epoch:
            return f"node {host.index} is in epoch {host.epoch} of {newest.epoch}"
        if host.core.me < 0:
            return f"node {host.index} has no seat"
    return ""
