"""What the nodes of a real network answered to one that catches up, once, to be bent by tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.snapshot import PARTS
from ccp2p.membership.records import Link
from ccp2p.model import codec
from ccp2p.model.block import Block
from ccp2p.model.epoch import EpochRecord, first_page, record_digest
from ccp2p.node.catch_up import CatchUp, Image
from ccp2p.node.correspondence import Correspondence, FrameFeed
from ccp2p.node.messages import (
    FetchBlocks,
    FetchedBlocks,
    FollowReply,
    FollowRequest,
    PeerMessage,
    SecretReply,
    SecretRequest,
    SnapshotHead,
    SnapshotPart,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
    decode_message,
    encode_message,
)
from ccp2p.node.replica import Replica
from ccp2p.node.setup import NodeSetup
from tests.node.stage import TIMEOUT_MS, Host, eventually, network
from tests.node.test_epochs import epoch_of, join
from tests.node.test_lifecycle import ann_in_lobby

Lie = Callable[[bytes, PeerMessage, PeerMessage], PeerMessage | None]
"""(who is asked, what, the true answer) -> the answer given; None: silence."""


STRANGER = SigningKey(b"s" * 32)


def truth(_peer: bytes, _asked: PeerMessage, answer: PeerMessage) -> PeerMessage:
    """No lie."""
    return answer


@dataclass(frozen=True)
class Recorded:
    """Four seats in epoch 1, three of whom founded; `setup` is the fourth's, `seats` are ids.

    `older` are blocks of epoch 0.
    """

    setup: NodeSetup
    seats: tuple[bytes, ...]
    follow: FollowReply
    secret: SecretReply
    head: SnapshotHead
    parts: dict[int, SnapshotPart]
    votes: dict[bytes, VoteReply]
    blocks: tuple[Block, ...]
    older: tuple[bytes, ...]

    def answer(self, peer: bytes, message: PeerMessage) -> PeerMessage | None:
        """What an honest peer says."""
        if isinstance(message, FollowRequest):
            chain = self.follow.records
            known = [
                i for i, one in enumerate(chain) if record_digest(one.record) == message.pinned
            ]
            return replace(self.follow, records=first_page(chain[known[0] if known else 0 :]))
        if isinstance(message, SecretRequest):
            return self.secret
        if isinstance(message, VoteRequest):
            return self.votes.get(peer)
        if isinstance(message, SnapshotRequest):
            return self.head if message.part < 0 else self.parts[message.part]
        if isinstance(message, FetchBlocks):
            above = [b for b in self.blocks if b.header.round > message.above[b.header.author]]
            found = [b for b in self.blocks if b.reference in message.references]
            return FetchedBlocks(tuple(block.to_bytes() for block in (*found, *above)))
        return None

    def letters(self, lie: Lie = truth, away: Sequence[bytes] = ()) -> Correspondence:
        """Questions to these peers, all of whom tell this lie; those `away` are not connected."""
        give, take = trio.open_memory_channel[tuple[bytes, bytes]](1024)

        def send(peer: bytes, frame: bytes) -> bool:
            if peer in away:
                return False
            asked = decode_message(frame)
            answer = self.answer(peer, asked)
            told = lie(peer, asked, answer) if answer is not None else None
            if told is not None:
                give.send_nowait((peer, encode_message(told)))
            return True

        return Correspondence(send, FrameFeed(take.receive))


def record(directory: Path) -> Recorded:
    """Found three, let a fourth in, say something, and write down what they answer."""
    return trio.run(_record, directory)


async def _record(directory: Path) -> Recorded:
    async with network(directory, 3) as stage:
        async with stage.client() as client:
            ann = await ann_in_lobby(client)
            for number in range(20):
                await rooms.ask_post(ann, "lobby", f"before {number}", TIMEOUT_MS)
            await join(stage, 3)
            await eventually(lambda: all(epoch_of(host) == 1 for host in stage.hosts))
            await stage.all_vote()
            for number in range(5):
                await rooms.ask_post(ann, "lobby", f"after {number}", TIMEOUT_MS)
        return await _ask_all(stage.hosts)


async def _ask_all(hosts: list[Host]) -> Recorded:
    asker = hosts[3].node.setup
    replicas = [replica_of(host) for host in hosts]
    node = asker.identity.node

    async def ask(message: PeerMessage, one: Replica = replicas[0]) -> PeerMessage:
        answer = await one.desk.answer(node, message)
        assert answer is not None
        return answer

    assert asker.record is not None
    follow = await ask(FollowRequest(b""))
    secret = await ask(SecretRequest(replicas[0].executor.keeper.means.epoch_key))
    head = await ask(SnapshotRequest(1, 0, -1))
    assert isinstance(head, SnapshotHead)
    parts = {}
    for number in range(PARTS):
        part = await ask(SnapshotRequest(1, head.commit, number))
        assert isinstance(part, SnapshotPart)
        parts[number] = part
    await eventually(lambda: all(host.commit >= head.commit for host in hosts))
    votes = {}
    for host, replica in zip(hosts, replicas, strict=True):
        votes[host.node.setup.identity.node] = await ask(VoteRequest(1, head.commit), replica)
    assert replicas[0].registry.place_of(node) == "seat"
    older, held = (list(replicas[0].store.blocks_above(epoch, [0] * 4)) for epoch in (0, 1))
    return Recorded(
        asker,
        tuple(seat.node for seat in replicas[0].core.committee.seats),
        follow,  # type: ignore[arg-type]
        secret,  # type: ignore[arg-type]
        head,
        parts,
        votes,  # type: ignore[arg-type]
        tuple(map(Block.parse, held)),
        tuple(older),
    )


def replica_of(host: Host) -> Replica:
    """The host's replica, which runs."""
    replica = host.node._replica
    assert replica is not None
    return replica


def link_of(recorded: Recorded) -> Link:
    """The newest epoch's."""
    data = recorded.follow.records[-1].record
    return Link(codec.decode(data, EpochRecord, len(data)), record_digest(data))


def catch_up(
    recorded: Recorded, lie: Lie, away: tuple[bytes, ...] = (), node: bytes = STRANGER.public
) -> CatchUp:
    """The way of `node`, a stranger unless told otherwise, among peers that tell this lie."""
    setup = recorded.setup
    letters = recorded.letters(lie, away)
    return CatchUp(setup.genesis, setup.network, node, letters)


async def image(recorded: Recorded, lie: Lie = truth, away: tuple[bytes, ...] = ()) -> Image:
    """The state that the first seat gives."""
    one = catch_up(recorded, lie, away)
    return await one.image(recorded.seats[0], link_of(recorded))
