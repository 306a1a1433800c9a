"""Catching up from liars: whatever they bend ends the try, and an honest peer's state is taken."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution import snapshot
from ccp2p.execution.snapshot import PART_BUCKETS
from ccp2p.membership.events import JoinRequest
from ccp2p.membership.records import Link
from ccp2p.model import codec, hashing, limits
from ccp2p.model.block import Block
from ccp2p.model.checkpoint import CheckpointVote
from ccp2p.model.epoch import EpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import LocalFault, PeerFault, Unreachable
from ccp2p.node.catch_up import CatchUp, Entered, Image
from ccp2p.node.executor import CommitRecord
from ccp2p.node.joining import Entrance, enter
from ccp2p.node.messages import (
    FetchedBlocks,
    FollowReply,
    PeerMessage,
    SecretReply,
    SecretRequest,
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
)
from tests.node.recorded import Lie, Recorded, record, truth

Bend = Callable[[Recorded, PeerMessage], PeerMessage | None]

STRANGER = SigningKey(b"s" * 32)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A real network's answers."""
    return record(tmp_path_factory.mktemp("recorded"))


def catch_up(
    recorded: Recorded, lie: Lie, away: tuple[bytes, ...] = (), node: bytes = STRANGER.public
) -> CatchUp:
    setup = recorded.setup
    letters = recorded.letters(lie, away)
    return CatchUp(setup.genesis, setup.network, node, letters)


def link_of(recorded: Recorded) -> Link:
    data = recorded.follow.records[-1].record
    return Link(codec.decode(data, EpochRecord, len(data)), record_digest(data))


async def image(recorded: Recorded, lie: Lie = truth, away: tuple[bytes, ...] = ()) -> Image:
    one = catch_up(recorded, lie, away)
    return await one.image(recorded.seats[0], link_of(recorded))


def whose(recorded: Recorded) -> dict[str, Any]:
    """The part of an entrance that says who enters what; faults are told to nobody."""
    setup = recorded.setup
    return {
        "genesis": setup.genesis,
        "genesis_bytes": setup.genesis_bytes,
        "network": setup.network,
        "identity": setup.identity,
        "blame": lambda node, fault: None,
    }


async def entered(recorded: Recorded, lie: Lie) -> Entered:
    """The first seat lies about everything that it is asked; the second is honest."""
    liar = recorded.seats[0]

    def told(peer: bytes, asked: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        return lie(peer, asked, answer) if peer == liar else answer

    entrance = Entrance(
        **whose(recorded),
        known=(),
        pinned=b"",
        request=lambda anchor: pytest.fail("it has a seat"),
        connect=lambda node, addresses: None,
        settle=lambda _: trio.sleep(0),
        connected=lambda: list(recorded.seats[:2]),
        witnesses=among(recorded.seats[:2]),
        report=lambda text: None,
    )
    return await enter(entrance, recorded.letters(told))


def among(seats: Sequence[bytes]) -> Callable[[bytes], Awaitable[list[bytes]]]:
    """The others of these, whom a newcomer asks as well."""

    async def witnesses(peer: bytes) -> list[bytes]:
        return [seat for seat in seats if seat != peer]

    return witnesses


async def test_who_is_surrounded_but_for_one_is_not_led_into_the_past(
    recorded: Recorded, autojump_clock: object
):
    """All but the last show the chain as it was an epoch ago, and one says nothing at all."""
    *liars, honest = recorded.seats[:3]
    secrets_of: list[bytes] = []

    def told(peer: bytes, asked: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        if isinstance(asked, SecretRequest):
            secrets_of.append(asked.epoch_key)
        if peer == honest or not isinstance(answer, FollowReply):
            return answer
        return replace(answer, records=answer.records[:1]) if peer == liars[0] else None

    entrance = Entrance(
        **whose(recorded),
        known=(),
        pinned=b"",
        request=lambda anchor: pytest.fail("it has a seat"),
        connect=lambda node, addresses: None,
        settle=lambda _: trio.sleep(0),
        connected=lambda: list(recorded.seats[:3]),
        witnesses=among(recorded.seats[:3]),
        report=lambda text: None,
    )
    found = await enter(entrance, recorded.letters(told))
    assert found.record.records == recorded.follow.records
    assert set(secrets_of) == {link_of(recorded).record.epoch_key}, "never of the past epoch"


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


async def test_an_honest_peers_state_is_taken_whole(recorded: Recorded):
    found = await image(recorded)
    assert found.buckets == {i: d for p in recorded.parts.values() for i, d in p.buckets}
    assert found.commits[-1] == (recorded.head.commit, recorded.head.commits[-1])
    references = {block.reference for block in found.blocks}
    assert commits_of(recorded.head)[-1].commit.leader in references
    secrets = await catch_up(recorded, truth).secrets(recorded.seats, link_of(recorded))
    assert secrets.secret == recorded.secret.secret


@pytest.mark.parametrize("name", IMAGE_LIES)
async def test_a_liar_gives_no_state(recorded: Recorded, name: str, autojump_clock: object):
    lie = lie_of(recorded, *IMAGE_LIES[name])
    with pytest.raises((PeerFault, Unreachable)):
        await image(recorded, lie)


@pytest.mark.parametrize("name", IMAGE_LIES)
async def test_after_a_liar_the_next_peer_is_asked(
    recorded: Recorded, name: str, autojump_clock: object
):
    found = await entered(recorded, lie_of(recorded, *IMAGE_LIES[name]))
    assert found.image == await image(recorded)
    assert found.record.records == recorded.follow.records
    assert found.record.secret == recorded.secret.secret


@given(data=st.data())
def test_no_bit_of_a_part_can_be_changed(recorded: Recorded, data: st.DataObject):
    numbers = [number for number, part in recorded.parts.items() if part.buckets]
    number = data.draw(st.sampled_from(numbers))
    buckets = list(recorded.parts[number].buckets)
    place = data.draw(st.integers(0, len(buckets) - 1))
    index, held = buckets[place]
    bit = data.draw(st.integers(0, 8 * len(held) - 1))
    bent = bytearray(held)
    bent[bit // 8] ^= 1 << bit % 8
    buckets[place] = (index, bytes(bent))
    with pytest.raises(PeerFault):
        snapshot.check_part(number, buckets, recorded.head.nodes[number])


def votes_of(seats: list[bytes]) -> Lie:
    """Only these seats answer for a commit."""

    def told(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        return answer if peer in seats or not isinstance(answer, VoteReply) else None

    return told


@pytest.mark.parametrize("answering", range(5))
async def test_a_quorum_of_seats_must_vouch(
    recorded: Recorded, answering: int, autojump_clock: object
):
    """Three of four: fewer do not do, whoever they are."""
    for first in range(4):
        asked = [recorded.seats[(first + n) % 4] for n in range(answering)]

        def lie(
            peer: bytes, _: PeerMessage, answer: PeerMessage, asked=asked
        ) -> PeerMessage | None:
            return answer if not isinstance(answer, VoteReply) or peer in asked else None

        if answering >= 3:
            assert await image(recorded, lie) == await image(recorded)
        else:
            with pytest.raises(Unreachable, match="vouch"):
                await image(recorded, lie)


@pytest.mark.parametrize("answering", range(4))
async def test_a_seat_is_one_of_the_quorum_itself(
    recorded: Recorded, answering: int, autojump_clock: object
):
    """Else who is waited for could not come: of four, one is lost, and two others are left."""
    for own in range(4):
        others = [seat for seat in recorded.seats if seat != recorded.seats[own]]

        def lie(
            peer: bytes, _: PeerMessage, answer: PeerMessage, others=others
        ) -> PeerMessage | None:
            heard = peer in others[:answering]
            return answer if heard or not isinstance(answer, VoteReply) else None

        one = catch_up(recorded, lie, node=recorded.seats[own])
        if answering >= 2:
            await one.image(recorded.seats[0], link_of(recorded))
        else:
            with pytest.raises(Unreachable, match="vouch"):
                await one.image(recorded.seats[0], link_of(recorded))


@pytest.mark.parametrize("refusing", range(4))
async def test_more_seats_than_may_lie_must_say_that_the_network_refused(
    recorded: Recorded, refusing: int, autojump_clock: object
):
    """One of four may lie: two are believed."""

    def lie(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage:
        if peer in recorded.seats[:refusing] and isinstance(answer, FollowReply):
            return replace(answer, place="none", reason="attestation: made up")
        return answer

    entrance = Entrance(
        **whose(recorded),
        known=(),
        pinned=b"",
        request=lambda anchor: JoinRequest(bytes(32), anchor, b"evidence", b"", (), ()),
        connect=lambda node, addresses: None,
        settle=lambda _: trio.sleep(0),
        connected=lambda: list(recorded.seats[:3]),
        witnesses=among(recorded.seats[:3]),
        report=lambda text: None,
    )
    if refusing < 2:
        assert (await enter(entrance, recorded.letters(lie))).image == await image(recorded)
    else:
        with pytest.raises(LocalFault, match="refused this node: attestation: made up"):
            await enter(entrance, recorded.letters(lie))


SECRET_LIES = {
    "another secret": (SecretReply, lambda r, s: replace(s, secret=flip(s.secret))),
    "a short secret": (SecretReply, lambda r, s: replace(s, secret=s.secret[:-1])),
    "no secret": (SecretReply, lambda r, s: replace(s, secret=b"")),
    "another key's secret": (SecretReply, lambda r, s: replace(s, epoch_key=bytes(32))),
    "silence": (SecretReply, lambda r, s: None),
}


@pytest.mark.parametrize("name", SECRET_LIES)
async def test_a_false_secret_is_not_taken(recorded: Recorded, name: str, autojump_clock: object):
    lie = lie_of(recorded, *SECRET_LIES[name])
    with pytest.raises(Unreachable):
        await catch_up(recorded, lie).secrets(recorded.seats, link_of(recorded))
    found = await entered(recorded, lie)
    assert found.secrets.secret == recorded.secret.secret


RECORD_LIES = {
    "silence": (FollowReply, lambda r, f: None),
    "no records": (FollowReply, lambda r, f: replace(f, records=())),
    "signatures too few": (FollowReply, lambda r, f: last_record_signed_by(r, 1)),
    "a record of its own": (FollowReply, lambda r, f: forged_record(r)),
    "no beginning": (FollowReply, lambda r, f: replace(f, records=f.records[1:])),
    "a chain twice": (FollowReply, lambda r, f: replace(f, records=f.records * 2)),
    "the chain backwards": (FollowReply, lambda r, f: replace(f, records=f.records[::-1])),
}


@pytest.mark.parametrize("name", RECORD_LIES)
async def test_a_false_chain_of_records_is_not_taken(
    recorded: Recorded, name: str, autojump_clock: object
):
    lie = lie_of(recorded, *RECORD_LIES[name])
    with pytest.raises((PeerFault, Unreachable)):
        await catch_up(recorded, lie).stand(recorded.seats[0], (), b"")
    assert (await entered(recorded, lie)).record.records == recorded.follow.records


async def test_a_chain_that_lacks_the_pinned_record_is_not_taken(recorded: Recorded):
    with pytest.raises(PeerFault):
        await catch_up(recorded, truth).stand(recorded.seats[0], (), hashing.ZERO_DIGEST)


@pytest.mark.parametrize("known", [0, 1, 2])
async def test_a_chain_of_many_pages_is_read_to_its_end(
    recorded: Recorded, known: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "RECORD_PAGE_BYTES", 1)
    chain = recorded.follow.records
    pinned = record_digest(chain[known - 1].record) if known else b""
    for begun in (chain[:known], ()):
        standing = await catch_up(recorded, truth).stand(recorded.seats[0], begun, pinned)
        assert (standing.records, standing.newest) == (chain, link_of(recorded))


async def test_a_known_record_may_come_back_with_other_signatures(recorded: Recorded):
    """Any Q of the old committee's sign it; a soak lost the chain's beginning over this."""
    first, second = recorded.follow.records
    other = replace(second, signatures=second.signatures[1:])
    digest = record_digest(second.record)
    standing = await catch_up(recorded, truth).stand(recorded.seats[0], (first, other), digest)
    assert standing.records == (first, other)


async def test_a_peer_that_does_not_know_the_newest_record_is_not_followed(recorded: Recorded):
    first, second = recorded.follow.records
    lie = lie_of(recorded, FollowReply, lambda r, f: replace(f, records=(first,)))
    with pytest.raises(PeerFault, match="older"):
        await catch_up(recorded, lie).stand(
            recorded.seats[0], (first, second), record_digest(second.record)
        )


async def test_among_liars_only_it_ends_with_the_reason(recorded: Recorded, autojump_clock: object):
    kind, bend = IMAGE_LIES["a bit of a part"]
    everybody = lie_of(recorded, kind, bend)
    entrance = Entrance(
        **whose(recorded),
        known=(),
        pinned=b"",
        request=lambda anchor: pytest.fail("it has a seat"),
        connect=lambda node, addresses: None,
        settle=lambda _: trio.sleep(0),
        connected=lambda: list(recorded.seats),
        witnesses=among(recorded.seats),
        report=lambda text: None,
    )
    with pytest.raises(LocalFault, match=r"does not match the state root|is malformed"):
        await enter(entrance, recorded.letters(everybody))


async def test_a_seat_that_is_away_is_done_without(recorded: Recorded, autojump_clock: object):
    assert await image(recorded, away=recorded.seats[3:]) == await image(recorded)


async def test_nobody_is_waited_for_without_an_end(recorded: Recorded, autojump_clock: object):
    began_s = trio.current_time()
    with pytest.raises(Unreachable):
        await image(recorded, lambda *_: None)
    assert trio.current_time() - began_s < 30


def counted(asked: Counter[int], lie: Lie) -> Lie:
    """The same lie; what parts were asked for is counted."""

    def told(peer: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        if isinstance(message, SnapshotRequest):
            asked[message.part] += 1
        return lie(peer, message, answer)

    return told


def on_part(recorded: Recorded, number: int, bend: Callable[[SnapshotPart], object]) -> Lie:
    """The first seat bends one part."""

    def told(peer: bytes, _: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        if peer == recorded.seats[0] and isinstance(answer, SnapshotPart) and answer.part == number:
            return bend(answer)  # type: ignore[return-value]
        return answer

    return told


@pytest.mark.parametrize("bend", [lambda part: replace(part, buckets=()), lambda part: None])
async def test_parts_are_kept_when_a_peer_lies_or_vanishes(
    recorded: Recorded, bend: Callable[[SnapshotPart], object], autojump_clock: object
):
    filled = [n for n, part in enumerate(recorded.head.nodes) if part != hashing.ZERO_DIGEST]
    middle, asked = filled[len(filled) // 2], Counter[int]()
    lie = counted(asked, on_part(recorded, middle, bend))
    one = catch_up(recorded, lie)
    with pytest.raises((PeerFault, Unreachable)):
        await one.image(recorded.seats[0], link_of(recorded))
    found = await one.image(recorded.seats[1], link_of(recorded))
    assert asked[middle] >= 2  # silence is asked again a few times
    assert asked - Counter({middle: asked[middle]}) == Counter({-1, *filled} - {middle})
    assert found == await image(recorded)


async def test_parts_of_an_older_state_serve_where_they_did_not_change(recorded: Recorded):
    """The second peer no longer keeps the state that the first one began to hand out."""
    filled = [n for n, part in enumerate(recorded.head.nodes) if part != hashing.ZERO_DIGEST]
    middle, asked, gone = filled[len(filled) // 2], Counter[int](), set[int]()

    def lie(peer: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage | None:
        is_part = isinstance(answer, SnapshotPart) and answer.part == middle
        if is_part and len(gone) < 2:
            gone.add(len(gone))
            return replace(answer, buckets=(), is_gone=True)
        return answer

    one = catch_up(recorded, counted(asked, lie))
    with pytest.raises(Unreachable):
        await one.image(recorded.seats[0], link_of(recorded))
    await one.image(recorded.seats[1], link_of(recorded))
    assert asked == Counter([-1, -1, *filled, middle, middle])
