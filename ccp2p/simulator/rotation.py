"""A mesh with more nodes than seats, whose committee is drawn anew again and again.

The founders fill the committee, and as many machines as have no seat follow. Up to f founders are
traitors that also spoil the draw: what they deal to some does not open, or lies on no polynomial,
and they never open what others dealt to them. One newcomer may be gone once it is drawn.
"""

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final

from ccp2p.membership.events import Body, Contribution
from ccp2p.membership.roster import Drawing, Roster
from ccp2p.membership.sampling import Sampling
from ccp2p.model.genesis import Parameters
from ccp2p.node.drawing import Drawer
from ccp2p.node.steward import Steward
from ccp2p.simulator.churn import Vanishing
from ccp2p.simulator.host import Host
from ccp2p.simulator.traitors import Traitor

if TYPE_CHECKING:
    from ccp2p.simulator.world import World

NEWCOMERS: Final = 3
EPOCHS: Final = 4  # at least, while nodes wait for seats; and until every honest node had one
_INTERVALS_MS: Final = (3_000, 6_000)


def parameters(random: Random, given: Parameters, size: int) -> dict[str, Any]:
    """What of `given` a mesh with a committee of `size` changes."""
    checkpoints = min(8, given.checkpoint_interval)
    interval_ms = random.choice(_INTERVALS_MS)
    return {
        "committee_max": size,
        "rotation_interval_ms": interval_ms,
        "checkpoint_interval": checkpoints,
    }


class SpoilingDrawer(Drawer):
    """Deals badly, and never opens anything."""

    def _contribute(self, roster: Roster) -> Contribution:
        honest = super()._contribute(roster)
        if self._randomness(1)[0] % 2:
            return honest
        wrong = (honest.commitments[-1][::-1],)
        return Contribution((*honest.commitments[:-1], *wrong), honest.sealed)

    def _sealed_share(self, share: bytes, key: bytes, context: bytes) -> bytes:
        sealed = super()._sealed_share(share, key, context)
        return bytes(len(sealed)) if self._randomness(1)[0] % 4 == 0 else sealed

    def _opening(
        self, _drawing: Drawing, _place: int, _shares: list[bytes]
    ) -> list[tuple[str, Body]]:
        return []


class SpoilingSteward(Steward):
    """Takes part in everything but an honest draw."""

    drawer_kind = SpoilingDrawer


class Spoiler(Traitor):
    """A traitor that spoils the draw, whatever else it does."""

    def new_steward(self, **around: Any) -> Steward:
        """See `Host`."""
        return SpoilingSteward(**around)

    @property
    def nature(self) -> str:
        """See `Host`."""
        return f"spoils the draw, {super().nature}"


def newcomers(world: "World", random: Random) -> list[Host]:
    """The machines that ask to join."""
    first = len(world.hosts)
    kinds: list[type[Host]] = [Host] * NEWCOMERS
    if random.randrange(2):
        kinds[-1] = Vanishing
    return [
        kind(world, index, world.generator(f"host-{index}"))
        for index, kind in enumerate(kinds, first)
    ]


def unfold(world: "World") -> None:
    """Let the newcomers start, and ask of the end what rotation promises."""
    world.is_changing = True
    world.unmet = lambda: _unmet(world)
    for host in world.hosts[world.founded.committee.size :]:
        host.changes.joins = True


def _unmet(world: "World") -> str:
    """Epochs went by, each with at most a third of new seats, and every honest node had a seat."""
    sampling = world.founded.means.sampling or Sampling()
    seats = [{seat.node for seat in view.committee.seats} for view in world.views]
    for before, after in pairwise(seats):
        empty = sampling.seats - len(before)
        if len(after - before) > len(before) // 3 + empty or len(after) > sampling.seats:
            return f"{len(after - before)} of {len(before)} seats changed hands in one epoch"
    nodes = [identity.node for identity in world.founded.identities]
    waiting = [h for h in world.hosts if not h.is_retired and nodes[h.index] not in seats[-1]]
    if len(seats) <= EPOCHS and waiting:
        return f"only {len(seats)} epochs have begun"
    held = set().union(*seats)
    for host in world.hosts:
        if not host.is_honest or host.is_retired:
            continue
        if nodes[host.index] not in held:
            return f"node {host.index} never had a seat"
        if host.epoch < len(seats) - 2:
            return f"node {host.index} is in epoch {host.epoch} of {len(seats) - 1}"
    return ""
