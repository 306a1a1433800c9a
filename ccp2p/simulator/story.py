"""A run told to people: what happened to whom, and the DAG around the end."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from ccp2p.simulator.drawing import dag_svg
from ccp2p.simulator.run import PASS, Result
from ccp2p.simulator.trace import Line, Trace

if TYPE_CHECKING:
    from ccp2p.simulator.world import World

_TOLD_LINES = 60
_DRAWN_ROUNDS = 24
_SILENT = ("frame", "commit", "dropped")


class Story:
    """Sees the world of one run; tells it afterwards."""

    def __init__(self) -> None:
        self._world: World | None = None

    def see(self, world: "World") -> None:
        """The world, before its first event."""
        self._world = world

    def tell(self, result: Result, trace: Trace) -> str:
        """The story in lines of text."""
        lines = [*self._cast(result), ""]
        told = [line for line in trace.lines or () if line.what not in _SILENT]
        if len(told) > _TOLD_LINES:
            lines.append(f"... {len(told) - _TOLD_LINES} earlier events (see --trace)")
        lines.extend(_sentence(line) for line in told[-_TOLD_LINES:])
        lines.extend(("", *self._ends(), "", f"verdict: {result.verdict} {result.check}".rstrip()))
        if result.verdict != PASS:
            lines.append(f"  {result.detail}")
        return "\n".join(lines)

    def dag_svg(self) -> str:
        """The last rounds of the DAG as a picture: every signed block that anybody was sent."""
        world = self._world
        if world is None:
            return ""
        view = world.newest
        blocks = view.intake.blocks()
        newest = max((block.reference.round for block in blocks), default=0)
        drawn = [one for one in blocks if one.reference.round > newest - _DRAWN_ROUNDS]
        names = [self._name(world.machines[seat.node]) for seat in view.committee.seats]
        return dag_svg(drawn, names, set(world.checks.leaders))

    def _cast(self, result: Result) -> Iterator[str]:
        size = len(self._world.hosts) if self._world else 0
        yield (
            f"{result.scenario}, seed {result.seed}, {size} nodes: {result.commits} commits in "
            f"{result.simulated_us / 1e6:.1f} s, {result.deliveries} blocks delivered"
        )
        for seat in range(size):
            yield f"  {self._name(seat)}"

    def _name(self, seat: int) -> str:
        host = self._world.hosts[seat] if self._world else None
        return f"node {seat}: {host.nature}" if host else ""

    def _ends(self) -> Iterator[str]:
        for host in self._world.hosts if self._world else ():
            if host.is_in_epoch:
                consensus = host.core.consensus
                last = consensus.last_commit.index if consensus.last_commit else 0
                floor = f", starts at {host.seat.floor.round}" if host.seat.floor else ", starting"
                yield (
                    f"  node {host.index}: epoch {host.epoch}, round {consensus.round}, "
                    f"commit {last}, executed {host.executed}{floor}, "
                    f"{consensus.suspended} suspended"
                )
            else:
                state = "between epochs" if host.is_up else "down"
                yield f"  node {host.index}: {state} {host.stopped or ''}".rstrip()


def trace_lines(trace: Trace) -> Iterator[str]:
    """The events as JSON lines: `at_us`, `node`, `what`, `about` (hexadecimal)."""
    for line in trace.lines or ():
        fields = {**line._asdict(), "about": line.about.hex()}
        yield msgspec.json.encode(fields).decode() + "\n"


def _sentence(line: Line) -> str:
    who = f"node {line.node}" if line.node >= 0 else "world"
    about = line.about.decode("ascii", "replace")
    return f"{line.at_us / 1000:10.1f} ms  {who}: {line.what} {about}".rstrip()
