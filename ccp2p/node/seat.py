"""A seat's duties without IO: what a message asks for, what must be on disk before anything leaves.

Two drivers use it: `replica` over real peers, disk and clock, and the simulator in virtual time.
The driver's part is to wait, to send, and to keep the order: persist, then send, then apply.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ccp2p.model import codec, limits
from ccp2p.model.block import Block, BlockReference
from ccp2p.model.errors import PeerFault
from ccp2p.node.core import NodeCore, Step
from ccp2p.node.floor import Floor, FloorAnswer
from ccp2p.node.intake import Delivery, Intake
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FloorReply,
    FloorRequest,
    PeerMessage,
    SnapshotHead,
    SnapshotPart,
    VoteReply,
)
from ccp2p.storage.store import Batch, Store

_UNSAVED_BLOCKS = 256  # others' blocks that wait for something of ours to rest on them


@dataclass(frozen=True, slots=True)
class FloorSeen:
    """A floor answer whose blocks went into the core before it."""

    peer: int
    answer: FloorAnswer


Input = Intake | FloorSeen | None
"""None only wakes the core."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message asks of the driver.

    Verify `delivery` and feed it, then feed `floor`; send `reply`; answer the fetch `serve`, which
    reads the disk. All to or from the seat that sent the message.
    """

    delivery: Delivery | None = None
    floor: FloorSeen | None = None
    reply: PeerMessage | None = None
    serve: FetchBlocks | None = None


def serve_blocks(
    store: Store, request: FetchBlocks, held: Callable[[BlockReference], bytes]
) -> Iterator[bytes]:
    """The referenced blocks, then what of an epoch lies above the asker's rounds, in one reply.

    Read as they are taken. Of those above one at least, whatever its size.
    """
    room = limits.MAX_FETCH_REPLY_BYTES
    for reference in request.references[: limits.MAX_FETCH_REFERENCES]:
        block = held(reference)
        if block and len(block) <= room:
            room -= len(block)
            yield block
    if request.above and room > 0 and request.epoch >= 0:
        above = request.above[: limits.MAX_COMMITTEE]
        for number, block in enumerate(store.blocks_above(request.epoch, above)):
            if number and len(block) > room:
                break
            room -= len(block)
            yield block


class Seat:
    """One seat of one network. `start_nonce` (16 bytes) names this start in floor requests."""

    def __init__(self, core: NodeCore, store: Store, start_nonce: bytes) -> None:
        self.core = core
        self.store = store
        self.floor: Floor | None = None
        self._epoch = core.committee.epoch
        self._start_nonce = start_nonce
        self._envelopes: list[bytes] = []
        self._envelope_bytes = 0
        self._votes: list[bytes] = []
        self._membership: list[bytes] = []
        self._unsaved: dict[BlockReference, bytes] = {}
        self._saved_own = core.consensus.own_newest
        self._has_proposed = False
        self._fetches_under_way: dict[int, int] = {}

    @property
    def has_proposed(self) -> bool:
        """Whether this start is over: a block of it is on disk."""
        return self._has_proposed

    @property
    def queued(self) -> int:
        """How many envelopes wait for our next blocks."""
        return len(self._envelopes)

    @property
    def queued_bytes(self) -> int:
        """Bytes of the envelopes that wait for our next blocks."""
        return self._envelope_bytes

    def submit(self, envelopes: Sequence[bytes]) -> int:
        """Queue envelopes for our next blocks; how many of them, from the front, fitted."""
        room = max(0, limits.ENVELOPE_QUEUE - len(self._envelopes))
        room_bytes = limits.ENVELOPE_QUEUE_BYTES - self._envelope_bytes
        taken = list(envelopes[:room])
        size_bytes = sum(map(len, taken))
        while size_bytes > room_bytes:
            size_bytes -= len(taken.pop())
        self._envelopes += taken
        self._envelope_bytes += size_bytes
        return len(taken)

    def queue_votes(self, votes: Sequence[bytes]) -> None:
        """Queue our checkpoint votes for our next blocks."""
        self._votes.extend(votes)

    def queue_membership(self, events: Sequence[bytes]) -> None:
        """Queue membership events for our next blocks; what does not fit is dropped."""
        room = limits.MEMBERSHIP_QUEUE - len(self._membership)
        self._membership.extend(events[: max(0, room)])

    def hear(self, peer: int, message: PeerMessage) -> Heard:
        """A message of another seat; PeerFault when it should not have been sent."""
        if isinstance(message, Blocks):
            return Heard(delivery=Delivery(peer, message.blocks, False))
        if isinstance(message, FetchedBlocks):
            under_way = self._fetches_under_way.get(peer, 0)
            self._fetches_under_way[peer] = max(0, under_way - 1)
            return Heard(delivery=Delivery(peer, message.blocks, under_way > 0))
        if isinstance(message, FetchBlocks):
            return Heard(serve=message)
        if isinstance(message, FloorRequest):
            return Heard(reply=self._floor_reply(peer, message))
        if isinstance(message, FloorReply):
            return self._floor_replied(peer, message)
        if isinstance(message, VoteReply | SnapshotHead | SnapshotPart):
            return Heard()  # asked twice on our way in, and answered twice
        raise PeerFault("unexpected", f"a {message.kind} message is not expected now")

    def sent(self, peer: int, message: PeerMessage) -> None:
        """A message went out: the answers to our fetches are counted."""
        if isinstance(message, FetchBlocks):
            self._fetches_under_way[peer] = self._fetches_under_way.get(peer, 0) + 1

    def serve(self, request: FetchBlocks) -> Iterator[bytes]:
        """See `serve_blocks`; what is not on disk yet is served too."""
        return serve_blocks(self.store, request, self._held)

    def floor_requests(self) -> list[tuple[int, FloorRequest]]:
        """Whom to ask for the restart floor now."""
        request = FloorRequest(self._start_nonce)
        return [(peer, request) for peer in self.core.floor_peers()]

    def advance(self, inputs: Sequence[Input], now_ms: int) -> list[Step]:
        """Feed the core; at least one step comes out. Payload is offered as it has room."""
        steps = []
        for item in inputs:
            if isinstance(item, Intake):
                blocks = item.blocks
                steps.append(self.core.receive(item.sender, blocks, item.solicited, now_ms))
            elif isinstance(item, FloorSeen):
                steps.append(self.core.floor_answer(item.peer, item.answer, now_ms))
        room = 2 * limits.MAX_ENVELOPES_PER_BLOCK - self.core.consensus.pending_payload[0]
        offered = tuple(self._envelopes[: max(0, room)])
        if offered or self._votes or self._membership:
            del self._envelopes[: len(offered)]
            self._envelope_bytes -= sum(map(len, offered))
            votes, self._votes = tuple(self._votes), []
            membership, self._membership = tuple(self._membership), []
            steps.append(self.core.offer(offered, votes, membership, now_ms))
        if not steps:
            steps.append(self.core.tick(now_ms))
        for step in steps:
            self.floor = step.floor or self.floor
        return steps

    def batch(self, steps: Sequence[Step]) -> Batch | None:
        """What must be on disk before these steps' messages and commits leave here.

        Others' blocks wait in memory until something of ours rests on them: our own next block,
        or a commit. A crash before that loses nothing that peers could not send again.
        """
        own = False
        for step in steps:
            for block in step.persist:
                self._unsaved[block.reference] = block.to_bytes()
                own |= block.header.author == self.core.me
        meta = {
            f"equivocation/{self._epoch}/{pair.author}": codec.encode(
                [(b.header, b.signature) for b in (pair.first, pair.second)]
            )
            for step in steps
            for pair in step.evidence
        }
        rests_on_them = own or any(step.commits for step in steps)
        if meta or rests_on_them or len(self._unsaved) >= _UNSAVED_BLOCKS:
            return Batch(epoch=self._epoch, blocks=list(self._unsaved.items()), meta=meta)
        return None

    def saved(self, batch: Batch) -> None:
        """`batch` is on disk; nothing was advanced since it was made."""
        own = [reference for reference, _ in batch.blocks if reference.author == self.core.me]
        for reference in own:
            if self._saved_own is None or self._saved_own.round < reference.round:
                self._saved_own = reference
            # A block of an earlier start, which a peer gave back, does not end this start.
            self._has_proposed |= self.floor is not None and reference.round >= self.floor.round
        self._unsaved.clear()

    def _held(self, reference: BlockReference | None) -> bytes:
        if reference is None:
            return b""
        return self._unsaved.get(reference) or self.store.block(reference) or b""

    def _floor_reply(self, peer: int, request: FloorRequest) -> FloorReply:
        """Our newest block that is on disk: one that is not may yet be forgotten."""
        yours = self.core.consensus.newest_by_author[peer]
        own = self._held(self._saved_own)
        return FloorReply(
            request.nonce, self._epoch, own, self._held(yours), not self._has_proposed
        )

    def _floor_replied(self, peer: int, reply: FloorReply) -> Heard:
        if reply.nonce != self._start_nonce or self.core.search is None:
            return Heard()
        if reply.epoch != self._epoch:  # no word on this epoch's rounds; its block tells of another
            return Heard(delivery=Delivery(peer, (reply.own,), True) if reply.own else None)
        own = Block.parse(reply.own).reference if reply.own else None
        yours = Block.parse(reply.yours).reference if reply.yours else None
        if (own and own.author != peer) or (yours and yours.author != self.core.me):
            raise PeerFault("floor", "a floor reply shows other authors' blocks")
        shown = tuple(block for block in (reply.own, reply.yours) if block)
        answer = FloorAnswer(own, yours, reply.starting)
        return Heard(delivery=Delivery(peer, shown, True), floor=FloorSeen(peer, answer))
