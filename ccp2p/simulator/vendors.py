"""A group of several vendors' chips under a vendor cap, of which one vendor breaks altogether.

All nodes of one vendor, as many as the cap lets in, turn at some time: they equivocate, withhold,
lie or fall silent together. More of them wait to be let in. Under "f" the others must go on and
take in who may come; under "no-fork", where the cap may allow more than f, they may stop, and never
disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from ccp2p.membership.roster import faulty_of
from ccp2p.node.messages import PeerMessage
from ccp2p.simulator import churn
from ccp2p.simulator.host import Host
from ccp2p.simulator.traitors import Habit, Letter, Traitor

if TYPE_CHECKING:
    from ccp2p.simulator.world import World

_BROKEN: Final = "sim-a"
_OTHERS: Final = ("sim-b", "sim-c", "sim-d", "sim-e", "sim-f")


@dataclass(frozen=True, slots=True)
class Cast:
    """The policy's `cap`, and each machine's vendor: `founders` machines, then who asks to join."""

    cap: str
    founders: int
    vendors: tuple[str, ...]

    @property
    def newcomers(self) -> int:
        """How many machines there are beside the founders'."""
        return len(self.vendors) - self.founders

    def is_broken(self, machine: int) -> bool:
        """Whether a machine is of the vendor that breaks."""
        return self.vendors[machine] == _BROKEN


def draw_cast(random: Random, size: int) -> Cast:
    """Vendors for `size` founders: of the one that breaks as many as the cap allows."""
    cap = random.choice(("no-fork", "f") if size >= 4 else ("no-fork",))  # else f lets nobody in
    faulty = faulty_of(size)
    broken = faulty if cap == "f" else size - 2 * faulty - 1
    others = size - broken
    founders = [_BROKEN] * broken + [_OTHERS[n % len(_OTHERS)] for n in range(others)]
    random.shuffle(founders)
    coming = [_OTHERS[(others + n) % len(_OTHERS)] for n in range(random.choice((1, 2)))]
    coming += [_BROKEN] * random.choice((1, 2, 3))
    random.shuffle(coming)
    return Cast(cap, size, (*founders, *coming))


class Silence:
    """Says nothing."""

    def alter(self, _letter: Letter) -> PeerMessage | None:
        """See `Habit`."""
        return None

    def act(self, _traitor: Traitor) -> None:
        """See `Habit`."""


class Turned:
    """Honest until `at_us`, and of these habits from then on, whenever it has a seat."""

    def __init__(self, habits: Sequence[Habit], at_us: int) -> None:
        self._habits = habits
        self._at_us = at_us

    def alter(self, letter: Letter) -> PeerMessage | None:
        """See `Habit`."""
        message: PeerMessage | None = letter.message
        if not self._has_turned(letter.traitor):
            return message
        for habit in self._habits:
            if message is not None:
                message = habit.alter(Letter(letter.traitor, letter.target, message))
        return message

    def act(self, traitor: Traitor) -> None:
        """See `Habit`."""
        if self._has_turned(traitor):
            for habit in self._habits:
                habit.act(traitor)

    def _has_turned(self, traitor: Traitor) -> bool:
        return traitor.world.now_us >= self._at_us and traitor.is_in_epoch and traitor.core.me >= 0


def hosts(
    world: "World", random: Random, cast: Cast, habits: Sequence[Sequence[Habit]], span_us: int
) -> list[Host]:
    """All machines; `habits` are each one's, were it to turn. A vendor's nodes turn at one time."""
    at_us = random.randrange(span_us // 2)
    is_silent = random.randrange(4) == 0
    made: list[Host] = []
    for machine in range(len(cast.vendors)):
        own = world.generator(f"host-{machine}")
        if cast.is_broken(machine):
            lies = [Silence()] if is_silent else habits[machine]
            made.append(Traitor(world, machine, own, [Turned(lies, at_us)]))
        else:
            made.append(Host(world, machine, own, own.randrange(-50, 51)))
    return made


def unfold(world: "World", cast: Cast) -> None:
    """Let the newcomers start, and ask of the end what the cap promises."""
    world.is_changing = True
    world.may_stop = cast.cap == "no-fork"
    world.unmet = lambda: churn.unmet(world)
    for host in world.hosts[cast.founders :]:
        host.changes.joins = True
