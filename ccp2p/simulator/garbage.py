"""Everything invalid that a traitor can send: malformed frames, blocks that break one rule each.

Nothing of it may enter a DAG (but for what only waits for ancestors that do not exist, once these
are below the gc round), be blamed on anybody but its sender, or grow anything without bound.
"""

from collections.abc import Callable
from random import Random

import msgspec

from ccp2p.model import codec
from ccp2p.model.block import Block, BlockHeader, BlockReference, Payload
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FloorReply,
    FloorRequest,
    FoundingRefusal,
    PeerMessage,
    encode_message,
)
from ccp2p.simulator.chance import below
from ccp2p.simulator.traitors import Letter, Traitor

Breach = Callable[[BlockHeader, Random], BlockHeader]


def _replace(**changes: object) -> Breach:
    return lambda header, _: msgspec.structs.replace(header, **changes)


def _invented(header: BlockHeader, random: Random) -> BlockHeader:
    """An ancestor that nobody ever made."""
    parents = list(header.parents)
    at = random.randrange(len(parents))
    parents[at] = BlockReference(parents[at].round, parents[at].author, random.randbytes(32))
    return msgspec.structs.replace(header, parents=tuple(parents))


def _misnamed(header: BlockHeader, _: Random) -> BlockHeader:
    """A parent's digest under another author's name."""
    parents = list(header.parents)
    if len(parents) > 2:
        first, second = parents[1], parents[2]
        parents[1] = BlockReference(first.round, first.author, second.digest)
    return msgspec.structs.replace(header, parents=tuple(parents))


def _far(header: BlockHeader, random: Random) -> BlockHeader:
    """A round far ahead, on parents that are invented."""
    ahead = random.choice((10, 500, 5000))
    parents = tuple(
        BlockReference(one.round + ahead, one.author, random.randbytes(32))
        for one in header.parents
    )
    round_ = header.round + ahead
    return msgspec.structs.replace(header, round=round_, parents=parents, coin=random.randbytes(32))


def _doubled(header: BlockHeader, _: Random) -> BlockHeader:
    return msgspec.structs.replace(header, parents=(*header.parents, header.parents[-1]))


def _few(header: BlockHeader, _: Random) -> BlockHeader:
    return msgspec.structs.replace(header, parents=header.parents[:2])


def _turned(header: BlockHeader, _: Random) -> BlockHeader:
    return msgspec.structs.replace(header, parents=header.parents[::-1])


def _coined(header: BlockHeader, random: Random) -> BlockHeader:
    return msgspec.structs.replace(header, coin=random.randbytes(32))


BREACHES: tuple[Breach, ...] = (
    _replace(network=bytes(32)),
    _replace(epoch=1),
    _replace(author=10_000),
    _replace(author=-1),
    _replace(round=0),
    _replace(timestamp_ms=-1),
    _replace(timestamp_ms=1 << 60),
    _replace(coin=b"short"),
    _replace(parents=()),
    _invented,
    _misnamed,
    _far,
    _doubled,
    _few,
    _turned,
    _coined,
)


class Garbler:
    """Sends garbage beside its own good blocks."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._own: bytes = b""
        self._seen: list[bytes] = []

    def alter(self, letter: Letter) -> PeerMessage | None:
        """Remember blocks to spoil."""
        message = letter.message
        if isinstance(message, Blocks) and message.blocks:
            self._own = message.blocks[-1]
            if self._random.randrange(20) == 0 and (bad := self._block(letter.traitor)):
                letter.traitor.throw(letter.target, bad)
        return message

    def act(self, traitor: Traitor) -> None:
        """Send something of each kind to somebody."""
        size = len(traitor.world.hosts)
        store = traitor.disk.store
        self._seen = [data for _, data in list(store.blocks(traitor.core.committee.epoch))[-16:]]
        frames = (
            self._bytes(),
            self._message(size),
            self._block(traitor),
            self._spoiled(),
            self._forged(traitor),
        )
        for frame in frames:
            if frame:
                traitor.throw(self._random.randrange(size), frame)

    def _bytes(self) -> bytes:
        random = self._random
        good = encode_message(Blocks((self._own,)))
        cut = random.randrange(len(good))
        flipped = bytearray(good)
        flipped[cut] ^= 1 << random.randrange(8)
        return random.choice(
            (b"", random.randbytes(random.randrange(200)), good[:cut], bytes(flipped))
        )

    def _message(self, size: int) -> bytes:
        random = self._random
        invented = tuple(
            BlockReference(1 + below(random, 999), below(random, size), random.randbytes(32))
            for _ in range(random.choice((1, 600)))
        )
        junk = random.randbytes(64)
        messages: tuple[PeerMessage, ...] = (
            FetchBlocks(invented, tuple(range(random.choice((0, 300)))), 0),
            FetchBlocks((), tuple(0 for _ in range(size)), 0),
            FloorRequest(random.randbytes(16)),
            FloorReply(random.randbytes(16), 0, self._own, junk, True),
            FetchedBlocks((junk, self._own)),
            Blocks(tuple(random.randbytes(10) for _ in range(20))),
            FoundingRefusal("no"),
        )
        return encode_message(random.choice(messages))

    def _block(self, traitor: Traitor) -> bytes:
        """A well signed block of our own that breaks a rule."""
        if not self._own:
            return b""
        block = Block.parse(self._own)
        if block.header.author != traitor.core.me or block.header.round < 6:
            return b""
        header = self._random.choice(BREACHES)(block.header, self._random)
        payload = self._random.choice(
            (block.payload, Payload((b"no envelope", self._random.randbytes(300)), (b"no vote",)))
        )
        return encode_message(Blocks((traitor.sign(header, payload),)))

    def _forged(self, traitor: Traitor) -> bytes:
        """A second block in somebody else's slot, signed by us."""
        if not self._seen:
            return b""
        block = Block.parse(self._random.choice(self._seen))
        stamp = block.header.timestamp_ms + 1
        header = msgspec.structs.replace(block.header, timestamp_ms=stamp)
        return encode_message(Blocks((traitor.sign(header, block.payload),)))

    def _spoiled(self) -> bytes:
        """Somebody's good block with a bad signature: its identifier must not suffer."""
        if not self._seen:
            return b""
        fields = codec.decode(self._random.choice(self._seen), list, 1 << 21)
        fields[1] = self._random.randbytes(self._random.choice((64, 64, 63)))
        return encode_message(Blocks((codec.encode(fields),)))
