"""Byzantine nodes: a real node in hostile hands, which alter what it lets out.

The node inside follows the network with the real rules, so that its lies are as current as an
honest node's truths. What leaves is up to its habits, which know its key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Protocol

import msgspec

from ccp2p.model import block as blocks
from ccp2p.model import codec
from ccp2p.model.block import Block, BlockHeader, BlockReference, Payload
from ccp2p.node.messages import Blocks, FetchedBlocks, FloorReply, PeerMessage, encode_message
from ccp2p.simulator.host import Host

if TYPE_CHECKING:
    from ccp2p.simulator.world import World

HABIT_US = 100_000  # how often a traitor does something of its own accord


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way out of a traitor, to the seat `target`."""

    traitor: "Traitor"
    target: int
    message: PeerMessage


class Habit(Protocol):
    """One way of being Byzantine."""

    def alter(self, letter: Letter) -> PeerMessage | None:
        """What goes out in place of the letter's message, if anything."""

    def act(self, traitor: "Traitor") -> None:
        """Something of its own accord, ten times a second."""


class Traitor(Host):
    """A machine whose node lies. `habits` apply to every message, one after the other."""

    def __init__(
        self, world: "World", index: int, random: Random, habits: Sequence[Habit], skew_ms: int = 0
    ) -> None:
        super().__init__(world, index, random, skew_ms)
        self._habits = habits
        world.later(HABIT_US, self._act)

    @property
    def is_honest(self) -> bool:
        """See `Host`."""
        return False

    @property
    def nature(self) -> str:
        """See `Host`."""
        return ", ".join(type(habit).__name__ for habit in self._habits)

    def emit(self, target: int, message: PeerMessage, frame: bytes) -> None:
        """Let out what the habits make of a message."""
        altered = message
        for habit in self._habits:
            left = habit.alter(Letter(self, target, altered))
            if left is None:
                return
            altered = left
        super().emit(target, altered, frame if altered is message else encode_message(altered))

    def throw(self, target: int, frame: bytes) -> None:
        """Send any bytes."""
        if target != self.index:
            self.world.send(self.index, target, frame)

    def sign(self, header: BlockHeader, payload: Payload) -> bytes:
        """The bytes of a block of this header and payload, well signed by this node's key."""
        payload_bytes = codec.encode(payload)
        header = msgspec.structs.replace(header, payload=blocks.payload_digest(payload_bytes))
        unsigned = blocks.build(header, payload, payload_bytes, b"")
        signature = self.world.founded.keys[self.index].sign(unsigned.signed_bytes())
        return blocks.build(header, payload, payload_bytes, signature).to_bytes()

    def _act(self) -> None:
        if self.is_up:
            for habit in self._habits:
                habit.act(self)
        self.world.later(HABIT_US, self._act)


class Equivocator:
    """Signs several blocks in a slot and shows different ones to different nodes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._whim = random.choice((0, 0, 200, 1000))  # per thousand shown at random
        self._secrecy = random.choice((0, 0, 300, 600))  # per thousand not shown at all
        self._count = random.choice((2, 2, 3))
        self._variants: dict[bytes, list[bytes]] = {}
        self._chains: list[BlockReference | None] = [None] * self._count
        self._split: list[int] = []
        self._habit_rounds = random.choice((1, 3, 1000))

    def alter(self, letter: Letter) -> PeerMessage | None:
        """Replace our own blocks by the variant meant for the target."""
        message = letter.message
        if not isinstance(message, Blocks):
            return message
        if self._random.randrange(1000) < self._secrecy:
            return None
        shown = (self._shown(letter.traitor, letter.target, data) for data in message.blocks)
        return Blocks(tuple(shown))

    def act(self, traitor: Traitor) -> None:
        """Show somebody the other variant of a recent slot."""
        if self._variants and self._random.randrange(4) == 0:
            variants = list(self._variants.values())[-1]
            target = self._random.randrange(len(traitor.world.hosts))
            traitor.throw(target, encode_message(Blocks((self._random.choice(variants),))))

    def _shown(self, traitor: Traitor, target: int, data: bytes) -> bytes:
        variants = self._variants.get(data)
        if variants is None:
            block = Block.parse(data)
            if block.header.author != traitor.core.me or block.header.round < 2:
                return data
            variants = self._make(traitor, block, data)
        if self._random.randrange(1000) < self._whim:
            return self._random.choice(variants)
        return variants[self._split[target] % len(variants)]

    def _make(self, traitor: Traitor, block: Block, data: bytes) -> list[bytes]:
        size = len(traitor.world.hosts)
        if not self._split or block.header.round % self._habit_rounds == 0:
            self._split = [self._random.randrange(self._count) for _ in range(size)]
        made = (self._variant(traitor, block, number) for number in range(1, self._count))
        variants = [data, *made]
        self._chains = [Block.parse(one).reference for one in variants]
        if len(self._variants) >= 16:
            del self._variants[next(iter(self._variants))]
        self._variants[data] = variants
        return variants

    def _variant(self, traitor: Traitor, block: Block, number: int) -> bytes:
        header, payload = block.header, block.payload
        parents = list(header.parents[1:])
        self._random.shuffle(parents)
        quorum = traitor.core.committee.quorum
        recent = [one for one in parents if one.round == header.round - 1]
        if len(recent) >= quorum and self._random.randrange(2):
            parents.remove(self._random.choice(recent))
        if self._random.randrange(3) == 0:
            payload = Payload()
        stamp = header.timestamp_ms + number
        own = header.parents[0]
        chained = self._chains[number]
        # Each variant follows its own kind now and then, so that its author's two lives diverge.
        if chained is not None and chained.round == own.round and self._random.randrange(3):
            own = chained
        parents = [own, *parents]
        changed = msgspec.structs.replace(header, parents=tuple(parents), timestamp_ms=stamp)
        return traitor.sign(changed, payload)


class Withholder:
    """Shows its blocks to some only, and serves nobody; now and then it lets all of them out."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._share = random.choice((200, 500, 800))
        self._friends: frozenset[int] = frozenset()
        self._held: list[bytes] = []

    def alter(self, letter: Letter) -> PeerMessage | None:
        """Drop what the target is not to see."""
        message = letter.message
        if isinstance(message, FetchedBlocks):
            return message if self._random.randrange(4) == 0 else None
        if isinstance(message, Blocks) and letter.target not in self._friends:
            self._held.extend(message.blocks)
            del self._held[:-64]
            return None
        return message

    def act(self, traitor: Traitor) -> None:
        """Choose other friends; let old blocks out late."""
        if self._random.randrange(5) == 0 or not self._friends:
            size = len(traitor.world.hosts)
            draws = [self._random.randrange(1000) < self._share for _ in range(size)]
            self._friends = frozenset(seat for seat in range(size) if draws[seat])
        if self._held and self._random.randrange(20) == 0:
            target = self._random.randrange(len(traitor.world.hosts))
            traitor.throw(target, encode_message(Blocks(tuple(self._held[:16]))))


class Replayer:
    """Sends again what it once sent, to anybody and as an answer to nothing."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._sent: list[PeerMessage] = []

    def alter(self, letter: Letter) -> PeerMessage | None:
        """Remember."""
        message = letter.message
        self._sent.append(message)
        if len(self._sent) > 256:
            self._sent[self._random.randrange(256)] = self._sent.pop()
        return message

    def act(self, traitor: Traitor) -> None:
        """Repeat a few."""
        for _ in range(3):
            message = self._random.choice(self._sent) if self._sent else None
            if isinstance(message, Blocks) and self._random.randrange(2):
                message = FetchedBlocks(message.blocks)
            if message is not None:
                target = self._random.randrange(len(traitor.world.hosts))
                traitor.throw(target, encode_message(message))


class FloorLiar:
    """Answers starting nodes with less than it knows, with old blocks, or as if starting."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._old: bytes = b""

    def alter(self, letter: Letter) -> PeerMessage | None:
        """Bend floor replies."""
        message = letter.message
        if not isinstance(message, FloorReply):
            return message
        self._old = self._old or message.own
        own = self._random.choice((b"", self._old, message.own))
        yours = self._random.choice((b"", message.yours))
        return FloorReply(message.nonce, message.epoch, own, yours, False)

    def act(self, traitor: Traitor) -> None:
        """Nothing of its own."""
