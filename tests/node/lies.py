"""How the answers of a real network are bent for those who catch up, lie by lie."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ccp2p.execution.snapshot import PART_BUCKETS
from ccp2p.model import codec
from ccp2p.model.block import Block, build
from ccp2p.model.checkpoint import CheckpointVote
from ccp2p.model.epoch import record_signed_bytes
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
from tests.node.recorded import STRANGER, Lie, Recorded, link_of

Bend = Callable[[Recorded, PeerMessage], PeerMessage | None]


def flip(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def commits_of(head: SnapshotHead) -> list[CommitRecord]:
    return [codec.decode(data, CommitRecord, len(data)) for data in head.commits]


def with_commits(head: SnapshotHead, *records: CommitRecord) -> SnapshotHead:
    return replace(head, commits=tuple(map(codec.encode, records)))


def lie_of(recorded: Recorded, kind: type, bend: Bend) -> Lie:
    def told(_peer: bytes, _asked: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        return bend(recorded, answer) if isinstance(answer, kind) else answer

    return told


def newest_changed(head: SnapshotHead, **changes: object) -> SnapshotHead:
    *older, newest = commits_of(head)
    return with_commits(head, *older, replace(newest, **changes))


def other_vote(reply: VoteReply, **changes: object) -> VoteReply:
    vote = codec.decode(reply.vote, CheckpointVote, len(reply.vote))
    return replace(reply, vote=codec.encode(replace(vote, **changes)))


def by_a_stranger(reply: VoteReply) -> VoteReply:
    vote = codec.decode(reply.vote, CheckpointVote, len(reply.vote))
    return other_vote(reply, signature=STRANGER.sign(vote.checkpoint.signed_bytes()))


def of_another_commit(reply: VoteReply) -> VoteReply:
    vote = codec.decode(reply.vote, CheckpointVote, len(reply.vote))
    return other_vote(reply, checkpoint=replace(vote.checkpoint, commit=vote.checkpoint.commit - 1))


def first_used(recorded: Recorded) -> int:
    return next(number for number, part in recorded.parts.items() if part.buckets)


def in_part(recorded: Recorded, part: SnapshotPart, change: Callable) -> SnapshotPart:
    """Change the first part that holds anything."""
    if part.part != first_used(recorded):
        return part
    return replace(part, buckets=tuple(change(list(part.buckets))))


def flip_in_bucket(buckets: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    (index, data), *others = buckets
    return [(index, flip(data, len(data) // 2)), *others]


def last_record_signed_by(recorded: Recorded, count: int) -> FollowReply:
    *older, last = recorded.follow.records
    return replace(
        recorded.follow, records=(*older, replace(last, signatures=last.signatures[:count]))
    )


def forged_record(recorded: Recorded) -> FollowReply:
    """A record of the liar's own, with a quorum of signatures by somebody else."""
    *older, last = recorded.follow.records
    data = codec.encode(replace(link_of(recorded).record, state_root=bytes(32)))
    signature = STRANGER.sign(record_signed_bytes(data))
    forged = replace(
        last, record=data, signatures=tuple((i, signature) for i, _ in last.signatures)
    )
    return replace(recorded.follow, records=(*older, forged))


IMAGE_LIES = {
    "no head": (SnapshotHead, lambda r, h: None),
    "head of another epoch": (SnapshotHead, lambda r, h: replace(h, epoch=0)),
    "head of another commit": (SnapshotHead, lambda r, h: replace(h, commit=h.commit - 1)),
    "no commits": (SnapshotHead, lambda r, h: replace(h, commits=())),
    "no commits of commit 0": (SnapshotHead, lambda r, h: replace(h, commits=(), commit=0)),
    "garbage commits": (SnapshotHead, lambda r, h: replace(h, commits=(b"\xff",))),
    "a commit left out": (
        SnapshotHead,
        lambda r, h: replace(h, commits=(*h.commits[:-2], h.commits[-1])),
    ),
    "commits in another order": (
        SnapshotHead,
        lambda r, h: replace(h, commits=(h.commits[1], h.commits[0], *h.commits[2:])),
    ),
    "a root of its own": (SnapshotHead, lambda r, h: newest_changed(h, state_root=bytes(32))),
    "outcomes of its own": (SnapshotHead, lambda r, h: newest_changed(h, outcomes_root=bytes(32))),
    "part hashes of its own": (
        SnapshotHead,
        lambda r, h: replace(h, nodes=(bytes(31) + b"\1", *h.nodes[1:])),
    ),
    "a part too few": (SnapshotHead, lambda r, h: replace(h, nodes=h.nodes[:-1])),
    "a short part hash": (SnapshotHead, lambda r, h: replace(h, nodes=(b"", *h.nodes[1:]))),
    "no votes": (VoteReply, lambda r, v: None),
    "empty votes": (VoteReply, lambda r, v: replace(v, vote=b"")),
    "votes of another commit": (VoteReply, lambda r, v: of_another_commit(v)),
    "votes in another's name": (VoteReply, lambda r, v: other_vote(v, author=2)),
    "votes with another's key": (VoteReply, lambda r, v: by_a_stranger(v)),
    "one seat's vote for all": (VoteReply, lambda r, v: next(iter(r.votes.values()))),
    "parts are gone": (SnapshotPart, lambda r, p: replace(p, buckets=(), is_gone=True)),
    "no parts": (SnapshotPart, lambda r, p: None),
    "a bit of a part": (SnapshotPart, lambda r, p: in_part(r, p, flip_in_bucket)),
    "a bucket missing": (SnapshotPart, lambda r, p: in_part(r, p, lambda b: b[1:])),
    "a bucket twice": (SnapshotPart, lambda r, p: in_part(r, p, lambda b: [*b, b[0]])),
    "an empty bucket": (
        SnapshotPart,
        lambda r, p: in_part(r, p, lambda b: [(b[0][0], b""), *b[1:]]),
    ),
    "a bucket of another part": (
        SnapshotPart,
        lambda r, p: in_part(r, p, lambda b: [*b, ((b[0][0] + PART_BUCKETS) % 65_536, b[0][1])]),
    ),
    "a bucket elsewhere": (
        SnapshotPart,
        lambda r, p: in_part(r, p, lambda b: [(b[0][0] ^ 1, b[0][1]), *b[1:]]),
    ),
    "no blocks": (FetchedBlocks, lambda r, f: None),
    "none of the blocks": (FetchedBlocks, lambda r, f: replace(f, blocks=())),
    "all blocks but one": (FetchedBlocks, lambda r, f: without_the_leader(r, f)),
    "blocks of another epoch": (FetchedBlocks, lambda r, f: replace(f, blocks=r.older)),
    "malformed blocks": (FetchedBlocks, lambda r, f: replace(f, blocks=(b"\0",))),
    "blocks with wrong signatures": (
        FetchedBlocks,
        lambda r, f: replace(f, blocks=tuple(flip(b, len(b) - 1) for b in f.blocks)),
    ),
}


def without_the_leader(recorded: Recorded, fetched: FetchedBlocks) -> FetchedBlocks:
    leader = commits_of(recorded.head)[-1].commit.leader
    kept = [data for data in fetched.blocks if Block.parse(data).reference != leader]
    return replace(fetched, blocks=tuple(kept))


def false_coin(recorded: Recorded) -> bytes:
    """The recorder's newest block once more, with another coin, signed by it."""
    identity = recorded.setup.identity
    seat = recorded.seats.index(identity.node)
    newest = max(
        (block for block in recorded.blocks if block.header.author == seat),
        key=lambda block: block.header.round,
    )
    header = replace(newest.header, coin=bytes(32))
    unsigned = build(header, newest.payload, newest.payload_bytes, b"")
    signature = identity.signing.sign(unsigned.signed_bytes())
    return build(header, newest.payload, newest.payload_bytes, signature).to_bytes()


def votes_of(seats: Sequence[bytes]) -> Lie:
    """Only these seats answer for a commit."""

    def told(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        return answer if peer in seats or not isinstance(answer, VoteReply) else None

    return told


SECRET_LIES = {
    "another secret": (SecretReply, lambda r, s: replace(s, secret=flip(s.secret))),
    "a short secret": (SecretReply, lambda r, s: replace(s, secret=s.secret[:-1])),
    "no secret": (SecretReply, lambda r, s: replace(s, secret=b"")),
    "another key's secret": (SecretReply, lambda r, s: replace(s, epoch_key=bytes(32))),
    "silence": (SecretReply, lambda r, s: None),
}


RECORD_LIES = {
    "silence": (FollowReply, lambda r, f: None),
    "no records": (FollowReply, lambda r, f: replace(f, records=())),
    "signatures too few": (FollowReply, lambda r, f: last_record_signed_by(r, 1)),
    "a record of its own": (FollowReply, lambda r, f: forged_record(r)),
    "no beginning": (FollowReply, lambda r, f: replace(f, records=f.records[1:])),
    "a chain twice": (FollowReply, lambda r, f: replace(f, records=f.records * 2)),
    "the chain backwards": (FollowReply, lambda r, f: replace(f, records=f.records[::-1])),
}
