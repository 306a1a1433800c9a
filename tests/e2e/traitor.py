"""A node of this program in hostile hands: `python -m tests.e2e.traitor SEED HABITS node ...`.

Everything in it is real, and honest until SIGUSR1. From then on, whenever it has a seat, the habits
of simulated traitors alter what leaves it, and sign with the node's own key; and it has no part in
the change that would expel it. HABITS are names of classes in `ccp2p.simulator.traitors`, with
commas between them; SEED decides what they draw.
"""

import signal
import sys
from random import Random
from types import SimpleNamespace
from typing import Any

import trio

from ccp2p.cli import main
from ccp2p.node import node as nodes
from ccp2p.node.messages import decode_message, encode_message
from ccp2p.node.replica import Replica
from ccp2p.node.steward import Acts
from ccp2p.simulator import traitors
from ccp2p.simulator.traitors import HABIT_US, Letter, Traitor


class Seated:
    """A traitor's seat in one epoch, as habits see a simulated machine: machines are seats here."""

    def __init__(self, node: "TraitorNode", replica: Replica) -> None:
        self.core = replica.core
        self.index = replica.core.me
        self.world = SimpleNamespace(
            hosts=replica.core.committee.seats,
            founded=SimpleNamespace(keys={self.index: node.setup.identity.signing}),
        )
        random = Random(node.seed)
        self._habits = [getattr(traitors, name)(random) for name in node.habits]
        self._let_out = node.let_out
        replica.steward.act = lambda *_: Acts()

    sign = Traitor.sign

    def throw(self, target: int, frame: bytes) -> None:
        """Send any bytes."""
        if target != self.index:
            self._let_out(self.world.hosts[target].node, frame)

    def send(self, target: int, frame: bytes) -> bool:
        """Let out what the habits make of a frame, if anything."""
        message = altered = decode_message(frame)
        for habit in self._habits:
            altered = habit.alter(Letter(self, target, altered))
            if altered is None:
                return True
        frame = frame if altered is message else encode_message(altered)
        return self._let_out(self.world.hosts[target].node, frame)

    def act(self) -> None:
        """What habits do of their own accord."""
        for habit in self._habits:
            habit.act(self)


class TraitorNode(nodes.Node):
    """The node of this program, but for what leaves it for other seats."""

    seed = ""
    habits: tuple[str, ...] = ()
    has_turned = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.let_out = self.peers.send
        self.peers.send = self._send
        self._seated: Seated | None = None

    async def run(self) -> None:
        """See `Node`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._act)
            await super().run()
            nursery.cancel_scope.cancel()

    async def _act(self) -> None:
        while True:
            await trio.sleep(HABIT_US / 1_000_000)
            seated = self._seat()
            if seated is not None:
                seated.act()

    def _send(self, node: bytes, frame: bytes) -> bool:
        seated = self._seat()
        target = seated.core.committee.index_of(node) if seated else None
        if seated is None or target is None:
            return self.let_out(node, frame)
        return seated.send(target, frame)

    def _seat(self) -> Seated | None:
        replica = self._replica
        if not self.has_turned or replica is None or replica.core.me < 0:
            return None
        if self._seated is None or self._seated.core is not replica.core:
            self._seated = Seated(self, replica)
        return self._seated


def _turn(*_: object) -> None:
    TraitorNode.has_turned = True


if __name__ == "__main__":
    TraitorNode.seed = sys.argv.pop(1)
    TraitorNode.habits = tuple(sys.argv.pop(1).split(","))
    nodes.Node = TraitorNode
    signal.signal(signal.SIGUSR1, _turn)
    main(prog_name="ccp2p")
