"""The proposer: what goes into our next block, and when it is due.

Payload waits in bounded queues. Parents are our own last block, the newest block of every author
in the round below, and whatever else of others is newest and not yet in our history (weak links),
so that nobody is left out.
"""

from collections import deque
from collections.abc import Callable

from ccp2p.consensus.index import Index
from ccp2p.consensus.messages import PayloadOffered
from ccp2p.consensus.validity import Rules
from ccp2p.model import block as blocks
from ccp2p.model import codec, limits
from ccp2p.model.block import BlockHeader, BlockReference, Payload, VerifiedBlock

Signer = Callable[[bytes], bytes]  # a message (`block.signed_bytes`) to its 64-byte signature

ITEM_OVERHEAD_BYTES = 5  # the longest length prefix that MessagePack puts before bytes
LIST_OVERHEAD_BYTES = 16  # the payload's own array and its three lists


class _Queue:
    """Byte strings in order; `limit` is how many may wait."""

    def __init__(self, limit: int) -> None:
        self.items: deque[bytes] = deque()
        self._limit = limit
        self.bytes = 0

    def has_room(self) -> bool:
        return len(self.items) < self._limit

    def put(self, item: bytes) -> None:
        self.items.append(item)
        self.bytes += len(item)

    def take(self, count: int, room_bytes: int) -> tuple[tuple[bytes, ...], int]:
        """At most `count` items of together at most `room_bytes`, and the room left."""
        taken: list[bytes] = []
        while self.items and len(taken) < count:
            needed = len(self.items[0]) + ITEM_OVERHEAD_BYTES
            if needed > room_bytes:
                break
            room_bytes -= needed
            taken.append(self.items.popleft())
            self.bytes -= len(taken[-1])
        return tuple(taken), room_bytes


class PayloadQueue:
    """What members and the node want ordered, until a block of ours takes it."""

    def __init__(self) -> None:
        self._envelopes = _Queue(limits.ENVELOPE_QUEUE)
        self._votes = _Queue(limits.VOTE_QUEUE)
        self._membership = _Queue(limits.MEMBERSHIP_QUEUE)

    @property
    def pending(self) -> tuple[int, int]:
        """How many items wait, and how many bytes they have."""
        envelopes, votes, membership = self._envelopes, self._votes, self._membership
        count = len(envelopes.items) + len(votes.items) + len(membership.items)
        return count, envelopes.bytes + votes.bytes + membership.bytes

    @property
    def is_urgent(self) -> bool:
        """Whether something waits that should not wait for an idle network's next round."""
        return bool(self._envelopes.items or self._membership.items)

    def offer(self, offered: PayloadOffered) -> int:
        """Queue what fits; how many items did not is returned."""
        return (
            self._offer(self._envelopes, offered.envelopes, limits.MAX_ENVELOPE_BYTES)
            + self._offer(self._votes, offered.votes, _MAX_ITEM_BYTES)
            + self._offer(self._membership, offered.membership, _MAX_ITEM_BYTES)
        )

    def _offer(self, queue: _Queue, items: tuple[bytes, ...], limit_bytes: int) -> int:
        refused = 0
        for item in items:
            is_room = queue.has_room() and queue.bytes + len(item) <= limits.ENVELOPE_QUEUE_BYTES
            if is_room and len(item) <= limit_bytes:
                queue.put(item)
            else:
                refused += 1
        return refused

    def take(self) -> Payload:
        """The payload of one block: rare and important things first."""
        room = limits.MAX_PAYLOAD_BYTES - LIST_OVERHEAD_BYTES
        membership, room = self._membership.take(limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK, room)
        votes, room = self._votes.take(limits.MAX_VOTES_PER_BLOCK, room)
        envelopes, room = self._envelopes.take(limits.MAX_ENVELOPES_PER_BLOCK, room)
        return Payload(envelopes, votes, membership)


_MAX_ITEM_BYTES = limits.MAX_PAYLOAD_BYTES - LIST_OVERHEAD_BYTES - ITEM_OVERHEAD_BYTES


def choose_parents(
    index: Index, rules: Rules, me: int, own: BlockReference | None, round_: int, gc_round: int
) -> tuple[BlockReference, ...]:
    """The parents of our block of `round_`, in the order to sign; `own` is our last block."""
    newest = (index.newest(author, round_) for author in range(rules.size) if author != me)
    chosen = [
        vertex.reference
        for vertex in newest
        if vertex is not None and not vertex.is_covered and vertex.round > gc_round
    ]
    chosen.sort(key=lambda reference: (-reference.round, reference.author))
    return (own or rules.root, *chosen)


def build_block(
    rules: Rules,
    me: int,
    round_: int,
    parents: tuple[BlockReference, ...],
    payload: Payload,
    coin: bytes,
    now_ms: int,
    sign: Signer,
) -> VerifiedBlock:
    """Our signed block."""
    payload_bytes = codec.encode(payload)
    header = BlockHeader(
        network=rules.network,
        epoch=rules.epoch,
        round=round_,
        author=me,
        parents=parents,
        payload=blocks.payload_digest(payload_bytes),
        coin=coin,
        timestamp_ms=min(max(now_ms, 0), limits.MAX_TIMESTAMP_MS),
    )
    unsigned = blocks.build(header, payload, payload_bytes, b"")
    signature = sign(unsigned.signed_bytes())
    return blocks.build(header, payload, payload_bytes, signature)
