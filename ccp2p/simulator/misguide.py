"""A traitor that misleads who catches up: false states that fit, old records, no answers."""

from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ccp2p.execution.snapshot import root_of
from ccp2p.model import codec, hashing, limits
from ccp2p.node.executor import CommitRecord
from ccp2p.node.messages import (
    FetchedBlocks,
    FollowReply,
    PeerMessage,
    SecretReply,
    SnapshotHead,
    SnapshotPart,
    VoteReply,
)

if TYPE_CHECKING:
    from ccp2p.simulator.traitors import Letter, Traitor

_KINDS = (FollowReply, SnapshotHead, SnapshotPart, VoteReply, SecretReply, FetchedBlocks)


class Misguide:
    """See `Habit`: bends half of its answers of some kinds to those who come to the present."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._kinds = random.sample(_KINDS, random.randrange(1, len(_KINDS) + 1))

    def alter(self, letter: "Letter") -> PeerMessage | None:
        """Another answer, or none."""
        message = letter.message
        if type(message) not in self._kinds or self._random.randrange(2):
            return message
        if isinstance(message, FetchedBlocks) or self._random.randrange(4) == 0:
            return None
        return self._bent(message)

    def act(self, traitor: "Traitor") -> None:
        """Nothing of its own."""

    def _bent(self, message: PeerMessage) -> PeerMessage:
        if isinstance(message, FollowReply):
            return self._standing(message)
        if isinstance(message, SnapshotHead):
            return self._head(message)
        if isinstance(message, SnapshotPart):
            return self._part(message)
        if isinstance(message, VoteReply):
            return replace(message, vote=self._flipped(message.vote) if message.vote else b"")
        if isinstance(message, SecretReply):
            return replace(message, secret=self._random.randbytes(len(message.secret)))
        return message

    def _standing(self, reply: FollowReply) -> FollowReply:
        *older, last = reply.records or (None,)
        if last is None or self._random.randrange(3) == 0:
            return replace(reply, place=self._random.choice(("none", "seat")))
        if self._random.randrange(2):
            return replace(reply, records=tuple(older))
        forged = replace(last, record=self._flipped(last.record))
        return replace(reply, records=(*older, forged))

    def _head(self, head: SnapshotHead) -> SnapshotHead:
        """A state without one of its parts, whose root and part hashes fit, or a broken head."""
        held = [part for part, node in enumerate(head.nodes) if node != hashing.ZERO_DIGEST]
        if not held or not head.commits or self._random.randrange(3) == 0:
            return replace(head, commits=head.commits[:-1])
        nodes = list(head.nodes)
        nodes[self._random.choice(held)] = hashing.ZERO_DIGEST
        newest = codec.decode(head.commits[-1], CommitRecord, limits.MAX_FRAME_BYTES)
        false = codec.encode(replace(newest, state_root=root_of(nodes)))
        return replace(head, nodes=tuple(nodes), commits=(*head.commits[:-1], false))

    def _part(self, part: SnapshotPart) -> SnapshotPart:
        if not part.buckets or self._random.randrange(3) == 0:
            return replace(part, buckets=(), is_gone=True)
        *others, (index, data) = part.buckets
        changed = [(index, self._flipped(data))] if self._random.randrange(2) else []
        return replace(part, buckets=(*others, *changed))

    def _flipped(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
