"""What goes wrong with machines, disks and links of honest nodes, within what the design bears.

A node that is down or has not found its floor counts as faulty, so only so many are at once that
the others still can tell them where to go on, and go on there themselves: f of them, less the
traitors and the dead. Where f is 0 all the others may be: they go on by their disks, and so none of
these may be an older one.
"""

from random import Random

from ccp2p.membership.roster import faulty_of
from ccp2p.simulator.host import CHANGE_POINTS, CRASH_POINTS, Host
from ccp2p.simulator.links import Weather
from ccp2p.simulator.world import World

_PATIENCE_US = 500_000  # a doomed node that reaches its crash point no sooner stops anyway


class Faults:
    """Schedules trouble for a world's first `span_us`; `end` heals what can be healed."""

    def __init__(self, world: World, random: Random, span_us: int) -> None:
        self._world = world
        self._random = random
        self._span_us = span_us
        self._is_over = False
        self._images: dict[int, int] = {}  # share, in percent, of the disk that a restart will find
        self._set_back: set[int] = set()  # who started on an older disk
        world.on_crash = self._crashed

    def crash_for_good(self, count: int) -> None:
        """`count` honest nodes stop within the first half, never to return."""
        founders = self._world.hosts[: self._world.founded.committee.size]
        honest = [host for host in founders if host.is_honest]
        for host in self._random.sample(honest, count):
            host.is_retired = True
            self._world.later(self._random.randrange(self._span_us // 2), self._bury, host)

    def restarts(self, count: int, *, rolled_back: bool = False) -> None:
        """`count` times a node crashes at some point and starts again, perhaps from an old disk."""
        for _ in range(count):
            at_us = self._random.randrange(self._span_us // 8, self._span_us)
            self._world.later(at_us, self._fell_one, rolled_back)

    def power_cut(self, rolled_back: int) -> None:
        """All honest nodes stop almost at once; `rolled_back` of them find an older disk."""
        at_us = self._random.randrange(self._span_us // 4, self._span_us)
        honest = [host for host in self._world.hosts if host.is_honest and not host.is_retired]
        is_sudden = self._random.randrange(2)
        for host in honest:
            action = self._stop if is_sudden else self._doom
            self._world.later(at_us + self._random.randrange(20_000), action, host)
        for host in self._random.sample(honest, rolled_back):
            # Design section 9: with nobody left who runs, it counts among the f Byzantine.
            host.is_excused = True
            self._images[host.index] = self._random.randrange(100)

    def full_disks(self, count: int) -> None:
        """`count` times a disk is full for a while: its node stops, and starts again later."""
        for _ in range(count):
            at_us = self._random.randrange(self._span_us // 8, self._span_us)
            self._world.later(at_us, self._fill_one)

    def slow_disks(self, count: int) -> None:
        """`count` nodes write slowly."""
        for host in self._random.sample(self._world.hosts, count):
            host.write_us = self._random.randrange(20_000, 100_000)

    def partitions(self, count: int) -> None:
        """`count` times the network falls apart in two or three for a while."""
        for _ in range(count):
            self._world.later(self._random.randrange(self._span_us), self._part)

    def end(self) -> None:
        """Heal links and disks; what is down starts again unless it is retired."""
        self._is_over = True
        weather = self._world.links.weather
        calm = Weather(jitter_us=weather.jitter_us, bytes_per_second=weather.bytes_per_second)
        self._world.links.weather = calm
        for host in self._world.hosts:
            host.disk.is_full = False
            host.doom = ""

    def _fell_one(self, rolled_back: bool) -> None:
        host = self._victim()
        if host is None:
            return
        if rolled_back and not host.changes.joins:
            self._images[host.index] = self._random.choice((0, 50, 90, 98))
        if self._random.randrange(2):
            self._stop(host)
        else:
            self._doom(host)

    def _doom(self, host: Host) -> None:
        """Stop at some point of the next turns."""
        points = (*CRASH_POINTS, *CHANGE_POINTS) if self._world.is_changing else CRASH_POINTS
        host.doom = self._random.choice(points)
        self._world.later(_PATIENCE_US, self._overdue, host, host.starts)

    def _fill_one(self) -> None:
        host = self._victim()
        if host is not None:
            host.disk.is_full = True

    def _victim(self) -> Host | None:
        """A node that may fail now, if any may."""
        if self._is_over:
            return None
        hosts, committee = self._world.hosts, self._world.newest.committee
        if self._world.is_changing:
            hosts = [hosts[self._world.machines[seat.node]] for seat in committee.seats]
        lost = sum(not host.is_honest or host.is_retired for host in hosts)
        # Who stands in the way of the next committee does so when it begins, whoever starts then.
        lost += sum(host.is_hindering and host not in hosts for host in self._world.hosts)
        honest = [host for host in hosts if host.is_honest and not host.is_retired]
        running = [host for host in honest if host.is_running]
        if not committee.faulty and any(
            host.index in self._set_back and host not in running for host in honest
        ):
            return None
        # Nor may the committee be too small for that once those who leave are gone.
        size = committee.size - sum(host.changes.is_leaving for host in hosts)
        room = min(_room(size), _room(committee.size))
        if len(honest) - len(running) < room - lost:
            return self._random.choice(running)
        # Who starts for the first time has not failed yet: one that falls then is one more.
        again = [host for host in honest if host.starts > 1]
        starting = [host for host in again if host.is_up and host not in running]
        return self._random.choice(starting) if starting else None

    def _overdue(self, host: Host, starts: int) -> None:
        if host.starts == starts:
            self._stop(host)

    def _bury(self, host: Host) -> None:
        """Stop for good, once the network runs: a first start needs every founder."""
        founders = self._world.hosts[: self._world.founded.committee.size]
        others = [one for one in founders if one.is_honest and not one.is_retired]
        if all(one.is_running for one in (host, *others)):
            self._stop(host)
        else:
            self._world.later(_PATIENCE_US, self._bury, host)

    def _stop(self, host: Host) -> None:
        if host.is_up:
            host.crash()

    def _crashed(self, host: Host) -> None:
        if not host.is_retired:
            self._world.later(self._random.randrange(50_000, 1_500_000), self._start, host)

    def _start(self, host: Host) -> None:
        if host.is_up:
            return
        host.stopped = None
        host.disk.is_full = False
        share = self._images.pop(host.index, None)
        if share is not None and (self._world.newest.committee.faulty or host.is_excused):
            self._set_back.add(host.index)
            image = host.disk.images * share // 100
            self._world.trace.note(self._world.now_us, host.index, "roll-back", b"%d" % image)
            host.disk.roll_back(image)
            host.acknowledged = (0, 0)
        self._world.start(host)

    def _part(self) -> None:
        if self._is_over:
            return
        size = len(self._world.hosts)
        count = self._random.choice((2, 2, 3))
        sides = [self._random.randrange(count) for _ in range(size)]
        self._world.links.weather.groups = tuple(
            frozenset(seat for seat in range(size) if sides[seat] == side) for side in range(count)
        )
        self._world.later(self._random.randrange(200_000, 2_000_000), self._heal)

    def _heal(self) -> None:
        self._world.links.weather.groups = ()


def _room(size: int) -> int:
    """How many may be down or starting: the others must tell the floor, and reach it by Q."""
    faulty = faulty_of(size)
    told = size - 2 * faulty - 1
    return min(told, faulty) if faulty else told
