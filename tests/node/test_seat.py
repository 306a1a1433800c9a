"""A seat's duties: nothing leaves before it is on disk; a start ends with a block of its own."""

from collections.abc import Sequence

import pytest

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import hashing, limits
from ccp2p.model.block import Block, BlockReference, VerifiedBlock
from ccp2p.model.committee import Committee
from ccp2p.model.committee import Seat as CommitteeSeat
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Parameters
from ccp2p.node.core import NodeCore
from ccp2p.node.floor import Floor
from ccp2p.node.intake import Intake
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FloorReply,
    FloorRequest,
    FoundingRefusal,
    PeerMessage,
    SnapshotHead,
    SnapshotPart,
    VoteReply,
)
from ccp2p.node.patience import STALLED_MS
from ccp2p.node.seat import FloorSeen, Heard, Seat, serve_blocks
from ccp2p.sealing.coin import CoinChain
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Batch

NETWORK = bytes(32)
NOW_MS = 1_000_000
KEYS = [SigningKey(bytes([number]) * 32) for number in range(4)]
COMMITTEE = Committee(
    0, tuple(CommitteeSeat(key.public, key.public, key.public, "simulated") for key in KEYS)
)
COIN = CoinChain(bytes(32), 256)
NONCE = b"n" * 16


def seat_of(me: int, store: MemoryStore | None = None) -> Seat:
    core = NodeCore(
        network=NETWORK,
        committee=COMMITTEE,
        me=me,
        parameters=Parameters(coin_length=256, min_round_delay_ms=0, max_round_delay_ms=0),
        coin=COIN,
        sign=KEYS[me].sign,
        recovered=None,
    )
    return Seat(core, store or MemoryStore(), NONCE)


def answered_by_all(seat: Seat, reply: FloorReply) -> list:
    """Give a starting seat the same answer from every other; the steps that follow."""
    steps = []
    for peer in range(4):
        if peer != seat.core.me:
            heard = seat.hear(peer, reply)
            assert isinstance(heard.floor, FloorSeen)
            steps = seat.advance([heard.floor], NOW_MS)
    return steps


def started(me: int) -> tuple[Seat, list]:
    """A seat of a new network that has just made its first block, not yet on disk."""
    seat = seat_of(me)
    steps = answered_by_all(seat, FloorReply(NONCE, 0, b"", b"", True))
    assert seat.floor is not None
    return seat, steps


def blocks_of(steps: list) -> list[VerifiedBlock]:
    return [
        VerifiedBlock.trust(Block.parse(data))
        for step in steps
        for _, message in step.send
        if isinstance(message, Blocks)
        for data in message.blocks
    ]


def test_our_own_block_is_shown_to_nobody_before_it_is_on_disk() -> None:
    seat, steps = started(0)
    request = FloorRequest(b"q" * 16)
    batch = seat.batch(steps)
    assert batch is not None
    assert seat.hear(1, request).reply == FloorReply(request.nonce, 0, b"", b"", True)
    seat.store.write(batch)
    seat.saved(batch)
    own = blocks_of(steps)[0].to_bytes()
    assert seat.hear(1, request).reply == FloorReply(request.nonce, 0, own, b"", False)


def test_a_floor_that_no_quorum_reaches_gives_way_to_the_disks() -> None:
    seat = seat_of(0)
    answered_by_all(seat, FloorReply(NONCE, 0, b"", b"", False))
    assert seat.floor == Floor(3, "peers")
    assert [peer for peer, _ in seat.floor_requests()] == [1, 2, 3]
    answered_by_all(seat, FloorReply(NONCE, 0, b"", b"", True))
    assert seat.floor == Floor(3, "peers")  # whoever fell may be back in a moment
    seat.advance([], NOW_MS + STALLED_MS)
    assert seat.floor == Floor(1, "start")
    assert seat.floor_requests() == []


def test_a_floor_stays_while_a_quorum_may_come_up_to_it() -> None:
    seat = seat_of(0)
    answered_by_all(seat, FloorReply(NONCE, 0, b"", b"", False))
    seat.advance([], NOW_MS + STALLED_MS)
    assert seat.floor == Floor(3, "peers")


def test_a_block_of_an_earlier_start_that_a_peer_gives_back_does_not_end_this_start() -> None:
    before, steps = started(0)
    own = blocks_of(steps)[0]
    after = seat_of(0)
    steps = after.advance([Intake(1, (own,), True, ())], NOW_MS)
    batch = after.batch(steps)
    assert batch is not None
    after.store.write(batch)
    after.saved(batch)
    reply = after.hear(1, FloorRequest(b"q" * 16)).reply
    assert isinstance(reply, FloorReply)
    assert reply.starting
    assert reply.own == own.to_bytes()
    assert before.core.consensus.own_newest == after.core.consensus.own_newest


def test_others_blocks_wait_for_what_rests_on_them_and_are_served_meanwhile() -> None:
    _, steps = started(1)
    theirs = blocks_of(steps)[0]
    seat = seat_of(0)
    steps = seat.advance([Intake(1, (theirs,), False, ())], NOW_MS)
    assert seat.batch(steps) is None
    served = seat.serve(FetchBlocks((theirs.reference,), (), 0))
    assert list(served) == [theirs.to_bytes()]


def test_an_answer_is_bounded_but_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    references = [BlockReference(round_, 0, bytes([round_]) * 32) for round_ in range(1, 5)]
    store.write(Batch(0, blocks=[(one, bytes([one.round]) * 100) for one in references]))
    held = [store.block(one) for one in references]

    def answer(room: int, named: Sequence[BlockReference] = (), above: tuple[int, ...] = (1,)):
        monkeypatch.setattr(limits, "MAX_FETCH_REPLY_BYTES", room)
        request = FetchBlocks(tuple(named), above, 0)
        return list(serve_blocks(store, request, lambda one: store.block(one) or b""))

    assert answer(300) == held[1:]
    assert answer(299) == held[1:3]
    assert answer(1) == held[1:2], "a small bound must not stop progress"
    assert answer(299, references[:1]) == [held[0], held[1]]
    assert answer(250, references) == held[:2] + held[1:2]
    assert answer(200, references) == held[:2]
    assert answer(1 << 20, references, ()) == held


def test_an_answer_counts_as_solicited_as_often_as_something_was_asked() -> None:
    seat = seat_of(0)
    seat.sent(1, FetchBlocks((), (0, 0, 0, 0), 0))
    answers = [seat.hear(1, FetchedBlocks(())).delivery for _ in range(2)]
    assert [answer.solicited for answer in answers if answer] == [True, False]


def test_founding_messages_and_others_blocks_in_floor_replies_are_faults() -> None:
    seat, steps = started(0)
    own = blocks_of(steps)[0].to_bytes()
    starting = seat_of(1)
    with pytest.raises(PeerFault, match="not expected now"):
        starting.hear(0, FoundingRefusal("no"))
    with pytest.raises(PeerFault, match="other authors"):
        starting.hear(2, FloorReply(NONCE, 0, own, b"", False))
    with pytest.raises(PeerFault):
        starting.hear(2, FloorReply(NONCE, 0, b"junk", b"", False))
    assert seat.floor_requests() == []
    assert [peer for peer, _ in starting.floor_requests()] == [0, 2, 3]


@pytest.mark.parametrize(
    "answer", [VoteReply(1, b""), SnapshotHead(0, 1, (), ()), SnapshotPart(1, 0, (), True)], ids=str
)
def test_an_answer_to_what_was_asked_on_the_way_in_may_come_late(answer: PeerMessage) -> None:
    """What is not answered soon is asked again, and then answered twice."""
    assert seat_of(0).hear(1, answer) == Heard()


def test_a_floor_reply_to_another_start_asks_for_nothing() -> None:
    heard = seat_of(0).hear(1, FloorReply(hashing.ZERO_DIGEST[:16], 0, b"", b"", False))
    assert (heard.delivery, heard.floor, heard.reply, heard.serve) == (None, None, None, None)
