"""The real intake, whose verdicts are remembered across all nodes of a world.

What an intake finds depends on the bytes and on the epoch's rules alone, so looking once is enough:
a simulated second costs each of n nodes a look-up where a real one costs each a signature.
"""

from collections.abc import Callable

from ccp2p.consensus.validity import Rules
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.errors import PeerFault
from ccp2p.node.intake import BlockIntake, Delivery, Intake

_REMEMBERED = 50_000  # blocks; a mixed run sees a few thousand


class SharedIntake:
    """One for all nodes of a world."""

    def __init__(self, rules: Rules, committee: Committee) -> None:
        self._intake = BlockIntake(rules, committee, lambda _: False)
        self._verdicts: dict[bytes, VerifiedBlock | PeerFault] = {}

    def verify(self, delivery: Delivery, known: Callable[[BlockReference], bool]) -> Intake:
        """As `BlockIntake.verify` for one delivery; `known` is the receiving node's."""
        blocks: list[VerifiedBlock] = []
        faults: list[PeerFault] = []
        for data in delivery.blocks:
            verdict = self.look(data)
            if isinstance(verdict, PeerFault):
                faults.append(verdict)
            elif not known(verdict.reference):
                blocks.append(verdict)
        return Intake(delivery.sender, tuple(blocks), delivery.solicited, tuple(faults))

    def blocks(self) -> list[VerifiedBlock]:
        """Every valid block that any node was sent, in order of the first look."""
        return [one for one in self._verdicts.values() if isinstance(one, VerifiedBlock)]

    def look(self, data: bytes) -> VerifiedBlock | PeerFault:
        """What an encoded block is, or what is wrong with it."""
        verdict = self._verdicts.get(data)
        if verdict is not None:
            return verdict
        if len(self._verdicts) >= _REMEMBERED:
            self._verdicts.clear()
        found = self._intake.verify([Delivery(0, (data,), False)])[0]
        verdict = found.blocks[0] if found.blocks else found.faults[0]
        self._verdicts[data] = verdict
        return verdict
