"""Where a peer's blocks become trusted: parsed, checked and verified in batches, off the core."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ccp2p.consensus.validity import Rules, check_block
from ccp2p.crypto import signatures
from ccp2p.model.block import Block, BlockReference, VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.errors import PeerFault


@dataclass(frozen=True, slots=True)
class Delivery:
    """Encoded blocks from one peer: a seat index, or None for another `node`.

    `solicited` when we had asked for them.
    """

    sender: int | None
    blocks: tuple[bytes, ...]
    solicited: bool
    node: bytes = b""


@dataclass(frozen=True, slots=True)
class Intake:
    """What of a delivery may enter the core, and what its sender is to blame for."""

    sender: int | None
    blocks: tuple[VerifiedBlock, ...]
    solicited: bool
    faults: tuple[PeerFault, ...]
    node: bytes = b""

    @property
    def is_news(self) -> bool:
        """Whether the core has anything to do: with blocks, or with an answer that it waits for."""
        return bool(self.blocks) or self.solicited


class BlockIntake:
    """Turns deliveries into verified blocks. `known` tells blocks that need no second look."""

    def __init__(
        self, rules: Rules, committee: Committee, known: Callable[[BlockReference], bool]
    ) -> None:
        self._rules = rules
        self._seats = committee.seats
        self._known = known

    def verify(self, deliveries: Sequence[Delivery]) -> list[Intake]:
        """Check all deliveries with one batch of signatures."""
        parsed = [self._parse(delivery) for delivery in deliveries]
        blocks = [block for found, _ in parsed for block in found]
        seats = self._seats
        verdicts = iter(
            signatures.verify_batch(
                [(seats[b.header.author].node, b.signature, b.signed_bytes()) for b in blocks]
            )
        )
        intakes = []
        for delivery, (found, faults) in zip(deliveries, parsed, strict=True):
            good = []
            for block in found:
                if next(verdicts):
                    good.append(VerifiedBlock.trust(block))
                else:
                    # The id does not cover the signature, so only the sender is to blame.
                    faults.append(PeerFault("signature", "a block's signature is wrong"))
            intakes.append(
                Intake(
                    delivery.sender,
                    tuple(good),
                    delivery.solicited,
                    tuple(faults),
                    delivery.node,
                )
            )
        return intakes

    def _parse(self, delivery: Delivery) -> tuple[list[Block], list[PeerFault]]:
        blocks, faults = [], []
        for data in delivery.blocks:
            try:
                block = Block.parse(data)
                # A block of another epoch is never known: rounds of two epochs do not compare.
                if block.header.epoch == self._rules.epoch and self._known(block.reference):
                    continue
                check_block(block, self._rules)
            except PeerFault as fault:
                faults.append(fault)
            else:
                blocks.append(block)
        return blocks, faults
