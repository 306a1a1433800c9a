"""Catching up from liars: whatever they bend ends the try, and an honest peer's state is taken."""

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ccp2p.execution import snapshot
from ccp2p.model import hashing, limits
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.epoch import record_digest
from ccp2p.model.errors import PeerFault, Unreachable
from ccp2p.node.catch_up import _needed, install
from ccp2p.node.messages import (
    FetchedBlocks,
    FollowReply,
    PeerMessage,
    SnapshotPart,
    SnapshotRequest,
)
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.roster_keeper import CLOSING
from ccp2p.simulator.disk import JournaledStore
from ccp2p.storage.store import Batch
from tests.consensus.drawing import make_block
from tests.node.lies import (
    IMAGE_LIES,
    RECORD_LIES,
    SECRET_LIES,
    commits_of,
    false_coin,
    lie_of,
    votes_of,
)
from tests.node.recorded import Lie, Recorded, catch_up, image, link_of, truth

REFERENCE = BlockReference(3, 1, b"d" * 32)


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


async def test_blocks_that_no_quorum_committed_are_not_taken(recorded: Recorded):
    """A seat's block with a wrong coin would spoil the log, whose coins a start takes as said."""
    wrong = false_coin(recorded)
    lie = lie_of(
        recorded, FetchedBlocks, lambda _, told: replace(told, blocks=(*told.blocks, wrong))
    )
    assert (await image(recorded, lie)).blocks == (await image(recorded)).blocks


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


@pytest.mark.parametrize("answering", range(5))
async def test_a_quorum_of_seats_must_vouch(
    recorded: Recorded, answering: int, autojump_clock: object
):
    """Three of four: fewer do not do, whoever they are."""
    for first in range(4):
        lie = votes_of([recorded.seats[(first + n) % 4] for n in range(answering)])
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
        one = catch_up(recorded, votes_of(others[:answering]), node=recorded.seats[own])
        if answering >= 2:
            assert await one.image(others[0], link_of(recorded)) == await image(recorded)
        else:
            with pytest.raises(Unreachable, match="vouch"):
                await one.image(others[0], link_of(recorded))


@pytest.mark.parametrize("name", SECRET_LIES)
async def test_a_false_secret_is_not_taken(recorded: Recorded, name: str, autojump_clock: object):
    lie = lie_of(recorded, *SECRET_LIES[name])
    with pytest.raises(Unreachable):
        await catch_up(recorded, lie).secrets(recorded.seats, link_of(recorded))


@pytest.mark.parametrize("name", RECORD_LIES)
async def test_a_false_chain_of_records_is_not_taken(
    recorded: Recorded, name: str, autojump_clock: object
):
    lie = lie_of(recorded, *RECORD_LIES[name])
    with pytest.raises((PeerFault, Unreachable)):
        await catch_up(recorded, lie).stand(recorded.seats[0], (), b"")


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


def in_slices(_: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage:
    """One bucket an answer."""
    if not isinstance(answer, SnapshotPart):
        return answer
    first = message.first  # type: ignore[union-attr]
    rest = [bucket for bucket in answer.buckets if bucket[0] >= first]
    return replace(answer, buckets=tuple(rest[:1]), next=rest[1][0] if rest[1:] else 0)


async def test_a_part_may_come_in_several_answers(recorded: Recorded):
    assert max(len(part.buckets) for part in recorded.parts.values()) > 1
    assert await image(recorded, in_slices) == await image(recorded)


@pytest.mark.parametrize("step", [1, 0, -1, 1000])
async def test_a_part_of_slices_without_end_is_a_lie(recorded: Recorded, step: int):
    asked = Counter[int]()

    def lie(_: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage:
        if isinstance(answer, SnapshotPart) and isinstance(message, SnapshotRequest):
            return replace(answer, buckets=(), next=message.first + step)
        return answer

    with pytest.raises(PeerFault):
        await image(recorded, counted(asked, lie))
    assert max(asked.values()) <= snapshot.PART_BUCKETS


async def test_a_part_of_more_buckets_than_there_are_is_a_lie(recorded: Recorded):
    """A frame holds a million that are empty, and a part may come in as many frames as it has."""
    asked = Counter[int]()

    def lie(_: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage:
        if isinstance(answer, SnapshotPart) and isinstance(message, SnapshotRequest):
            first = message.first
            return replace(answer, buckets=((first, b""),) * 200, next=first + 1)
        return answer

    with pytest.raises(PeerFault, match="longer than any"):
        await image(recorded, counted(asked, lie))
    assert max(asked.values()) == 2


async def test_a_part_longer_than_a_state_is_a_lie(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_SNAPSHOT_PART_BYTES", 1)
    with pytest.raises(PeerFault, match="longer than any"):
        await image(recorded)


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


def test_of_what_a_seat_signs_without_end_a_newcomer_keeps_two_a_slot():
    def signed(round_: int, stamp: int) -> VerifiedBlock:
        parents = [BlockReference(round_ - 1, author, bytes(32)) for author in (1, 0, 2)]
        return make_block(1, round_, parents, time_ms=stamp)

    many = [signed(round_, stamp) for round_ in range(2, 12) for stamp in range(5)]
    asked = {many[-1].reference, many[4].reference}
    kept = [one.reference for one in _needed(many, {}, asked, range(4, 10))]
    spare = [one.reference for one in many[10:40] if many.index(one) % 5 < 2]
    assert kept == [many[4].reference, *spare, many[-1].reference]
    assert _needed(many, kept, (), range(4, 10)) == []
    assert len(_needed(many[:1] * 3, {}, (), range(1, 5))) == 1


async def test_a_store_is_the_old_state_or_the_new_one(recorded: Recorded):
    """The power may go at any moment, and a host may keep the disk of any moment."""
    found = await image(recorded)
    store = JournaledStore()
    store.write(Batch(0, [(REFERENCE, b"old")], [(9, b"old")], {1: b"old"}, {CLOSING: b"old"}))
    install(SimpleNamespace(image=found, record=SimpleNamespace(kept=lambda: b"record")), store)
    assert len(store.journal) == 2, "it took more than one transaction"
    assert dict(store.buckets()) == found.buckets
    assert [data for _, data in store.blocks(1)] == [block.to_bytes() for block in found.blocks]
    assert (store.newest_commit(0), store.newest_commit(1)) == (0, found.commits[-1][0])
    assert (store.meta(NetworkRecord.NAME), store.meta(CLOSING)) == (b"record", b"")


@pytest.mark.parametrize(("empty", "is_patient"), [(3, True), (1000, False)])
async def test_an_answer_that_brings_nothing_may_be_a_late_one(
    recorded: Recorded, empty: int, is_patient: bool
):
    left = [empty]

    def lie(_: bytes, message: PeerMessage, answer: PeerMessage) -> PeerMessage:
        if isinstance(answer, FetchedBlocks) and left[0]:
            left[0] -= 1
            return FetchedBlocks(())
        return answer

    if is_patient:
        assert await image(recorded, lie) == await image(recorded)
        return
    with pytest.raises(PeerFault, match="blocks of its own commits"):
        await image(recorded, lie)
    assert empty - left[0] == 4
