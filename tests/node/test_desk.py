"""What a node answers, and to whom: strangers learn where they stand, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.execution.snapshot import PARTS
from ccp2p.membership.events import Body, CloseIntent, JoinRequest, LeaveRequest, encode_event
from ccp2p.model import codec, limits
from ccp2p.model.checkpoint import CheckpointVote
from ccp2p.model.epoch import SignedEpochRecord, record_digest
from ccp2p.model.errors import PeerFault
from ccp2p.node.desk import Desk
from ccp2p.node.messages import (
    FollowReply,
    FollowRequest,
    PeerMessage,
    Relay,
    SecretReply,
    SecretRequest,
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from ccp2p.node.network_record import NetworkRecord, NodeAddresses
from ccp2p.node.receipts import kept_image
from ccp2p.node.registry import Registry
from ccp2p.node.steward import Steward
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.storage.store import Batch
from tests.node.test_executor import KEYS, LINK
from tests.node.test_receipts import KeptLog
from tests.sealing.world import NETWORK

SECRET = b"S" * 32
EPOCH_KEY = EpochSecrets.public_key(SECRET)
SEAT, STRANGER = KEYS[1], SigningKey(b"stranger" * 4)
JOIN = JoinRequest(b"s" * 32, b"a" * 32, b"evidence", b"", (), ())
SIGNED = SignedEpochRecord(codec.encode(LINK.record), ())


@asynccontextmanager
async def settled() -> AsyncIterator[None]:
    """State and store agree."""
    yield


def registry(log: KeptLog) -> Registry:
    steward = Steward(
        network=NETWORK,
        epoch=0,
        identity=Identity(bytes([1]) * 32, b"x" * 32),
        coin_length=256,
        vendor_cap="none",
        randomness=bytes,
        secret=SECRET,
        record=bytes(32),
        evidence=lambda anchor: anchor,
    )
    addresses = tuple(NodeAddresses(key.public, ("/ip4/192.0.2.1/tcp/1",), ()) for key in KEYS)
    record = NetworkRecord(b"", (SIGNED,), SECRET, addresses, b"", b"")
    return Registry(record, log.executor.keeper, steward)


def desk(log: KeptLog, *, is_seat: bool = True) -> Desk:
    return Desk(
        network=NETWORK,
        registry=registry(log),
        epoch=0,
        is_seat=is_seat,
        executor=log.executor,
        store=log.store,
        gc_depth=10,
        settled=settled,
    )


def some_log() -> KeptLog:
    log = KeptLog()
    for _ in range(5):
        log.run()
    return log


def event(key: SigningKey, body: Body, epoch: int = 0) -> bytes:
    return encode_event(key.public, NETWORK, epoch, body, key.sign)


PRIVATE: list[PeerMessage] = [
    SecretRequest(EPOCH_KEY),
    VoteRequest(0, 3),
    SnapshotRequest(0, 0, -1),
    SnapshotRequest(0, 5, 0),
]


@pytest.mark.parametrize("asked", PRIVATE)
async def test_a_stranger_gets_neither_secrets_nor_votes_nor_state(asked: PeerMessage):
    one = desk(some_log())
    assert await one.answer(STRANGER.public, asked) is None
    assert await one.answer(SEAT.public, asked) is not None


async def test_a_stranger_learns_where_it_stands():
    reply = await desk(some_log()).answer(STRANGER.public, FollowRequest(b""))
    assert isinstance(reply, FollowReply)
    assert (reply.place, reply.records) == ("none", (SIGNED,))
    assert reply.anchor == record_digest(SIGNED.record)


async def test_a_secret_is_given_for_its_own_key_only():
    one = desk(some_log())
    assert await one.answer(SEAT.public, SecretRequest(EPOCH_KEY)) == SecretReply(EPOCH_KEY, SECRET)
    other = b"k" * 32
    assert await one.answer(SEAT.public, SecretRequest(other)) == SecretReply(other, b"")


async def test_votes_are_of_this_epoch_and_of_what_was_executed_here():
    log = some_log()
    one = desk(log)
    reply = await one.answer(SEAT.public, VoteRequest(0, 3))
    assert isinstance(reply, VoteReply)
    vote = codec.decode(reply.vote, CheckpointVote, limits.MAX_HEADER_BYTES)
    assert (vote.author, vote.checkpoint.commit) == (0, 3)
    assert verify(KEYS[0].public, vote.signature, vote.checkpoint.signed_bytes())
    for asked in (VoteRequest(1, 3), VoteRequest(0, 6), VoteRequest(0, 0), VoteRequest(0, -1)):
        assert await one.answer(SEAT.public, asked) == VoteReply(asked.commit, b"")
    log.store.write(Batch(epoch=0, meta=kept_image(0, 4)))
    assert await one.answer(SEAT.public, VoteRequest(0, 3)) == VoteReply(3, b"")
    reply = await one.answer(SEAT.public, VoteRequest(0, 4))
    assert isinstance(reply, VoteReply)
    assert reply.vote


async def test_an_observer_vouches_for_nothing():
    one = desk(some_log(), is_seat=False)
    assert await one.answer(SEAT.public, VoteRequest(0, 3)) == VoteReply(3, b"")


async def test_who_asks_for_the_state_of_another_epoch_sees_at_once_that_it_is_not_kept():
    one = desk(some_log())
    head = await one.answer(SEAT.public, SnapshotRequest(1, 0, -1))
    assert isinstance(head, SnapshotHead)
    assert (head.epoch, head.commit) == (0, 5)
    part = await one.answer(SEAT.public, SnapshotRequest(1, 5, 0))
    assert isinstance(part, SnapshotPart)
    assert part.is_gone


@pytest.mark.parametrize(("commit", "part"), [(5, PARTS), (5, -1), (4, 0), (6, 0), (0, 0)])
async def test_parts_that_are_not_of_the_snapshot_are_gone(commit: int, part: int):
    one = desk(some_log())
    head = await one.answer(SEAT.public, SnapshotRequest(0, 0, -1))
    assert isinstance(head, SnapshotHead)
    assert head.commit == 5
    reply = await one.answer(SEAT.public, SnapshotRequest(0, commit, part))
    assert isinstance(reply, SnapshotPart)
    assert (reply.is_gone, reply.buckets) == (True, ())
    held = await one.answer(SEAT.public, SnapshotRequest(0, 5, 0))
    assert isinstance(held, SnapshotPart)
    assert not held.is_gone


async def test_a_part_that_is_too_long_for_an_answer_is_told_in_several(
    monkeypatch: pytest.MonkeyPatch,
):
    log = some_log()
    buckets = {3: b"a" * 900, 7: b"b" * 200, 8: b"c" * 300, 255: b"d" * 1, 256: b"of the next part"}
    log.store.write(Batch(epoch=0, buckets=dict.fromkeys(dict(log.store.buckets()), b"")))
    log.store.write(Batch(epoch=0, buckets=buckets))
    monkeypatch.setattr(limits, "MAX_FETCH_REPLY_BYTES", 500)
    one = desk(log)
    await one.answer(SEAT.public, SnapshotRequest(0, 0, -1))
    told, first = [], 0
    for _ in range(3):
        part = await one.answer(SEAT.public, SnapshotRequest(0, 5, 0, first))
        assert isinstance(part, SnapshotPart)
        told.append([index for index, _ in part.buckets])
        first = part.next
    assert told == [[3], [7, 8], [255]]
    assert first == 0
    assert part.buckets == ((255, b"d"),)


async def test_who_follows_is_told_as_many_addresses_as_fit(monkeypatch: pytest.MonkeyPatch):
    log = some_log()
    everybody = registry(log).addresses()
    assert len(everybody) > 1
    chars = sum(len(text) for text in (*everybody[0].peers, *everybody[0].clients))
    monkeypatch.setattr(limits, "MAX_TOLD_ADDRESS_CHARS", chars)
    reply = await desk(log).answer(STRANGER.public, FollowRequest(b""))
    assert isinstance(reply, FollowReply)
    assert reply.addresses == everybody[:1]


async def test_a_snapshot_stays_what_it_is_while_the_network_goes_on(autojump_clock: object):
    log = some_log()
    one = desk(log)
    head = await one.answer(SEAT.public, SnapshotRequest(0, 0, -1))
    log.run()
    assert await one.answer(SEAT.public, SnapshotRequest(0, 0, -1)) == head
    await trio.sleep(11)
    newer = await one.answer(SEAT.public, SnapshotRequest(0, 0, -1))
    assert isinstance(newer, SnapshotHead)
    assert newer.commit == 6
    await trio.sleep(29)
    one.sweep()
    held = await one.answer(SEAT.public, SnapshotRequest(0, 6, 0))
    assert isinstance(held, SnapshotPart)
    assert not held.is_gone
    await trio.sleep(31)
    one.sweep()
    gone = await one.answer(SEAT.public, SnapshotRequest(0, 6, 0))
    assert isinstance(gone, SnapshotPart)
    assert gone.is_gone


def test_a_stranger_may_only_ask_to_join():
    """All else it says is dropped: it may be let in already, where this node has yet to come."""
    one = registry(some_log())
    asked = event(STRANGER, JOIN)
    said = Relay((asked, event(STRANGER, LeaveRequest()), event(STRANGER, CloseIntent(0))))
    assert one.relayed(STRANGER.public, said, 0) == [asked]


def test_events_of_another_epoch_are_dropped_and_nobodys_fault():
    one = registry(some_log())
    asked = event(STRANGER, JOIN)
    relay = Relay((event(STRANGER, LeaveRequest(), epoch=1), event(STRANGER, JOIN, epoch=1), asked))
    assert one.relayed(STRANGER.public, relay, 0) == [asked]


def test_nobody_hands_over_anothers_event():
    one = registry(some_log())
    for turn, (node, key) in enumerate(((STRANGER, SEAT), (SEAT, STRANGER), (SEAT, KEYS[2]))):
        with pytest.raises(PeerFault, match="its own"):
            one.relayed(node.public, Relay((event(key, JOIN),)), 2000 * turn)
    with pytest.raises(PeerFault):
        one.relayed(SEAT.public, Relay((b"\xff",)), 8000)


def test_each_node_hands_over_once_a_second_and_a_blocks_worth():
    one = registry(some_log())
    asked = event(STRANGER, JOIN)
    many = Relay((asked,) * (limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK + 1))
    assert len(one.relayed(STRANGER.public, many, 0)) == limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK
    assert one.relayed(STRANGER.public, Relay((asked,)), 999) == []
    assert one.relayed(SEAT.public, Relay((event(SEAT, LeaveRequest()),)), 999) != []
    assert one.relayed(STRANGER.public, Relay((asked,)), 1100) == [asked]


def test_what_strangers_cost_in_memory_is_bounded():
    one = registry(some_log())
    for number in range(3000):
        one.relayed(number.to_bytes(32, "big"), Relay(()), 0)
    assert len(one._relayed_ms) <= 1024
