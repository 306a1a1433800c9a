"""A committee node that turned hostile, over a real attested connection: blamed, and survived."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio
from structlog.testing import capture_logs

from ccp2p.client import rooms
from ccp2p.crypto.signatures import SigningKey
from ccp2p.gossip.commits import CommitAnnouncement
from ccp2p.gossip.messages import Announce, Have
from ccp2p.model import block as blocks
from ccp2p.model import codec, limits
from ccp2p.model.block import Block, BlockHeader, Payload
from ccp2p.model.epoch import parse_record
from ccp2p.network import FrameReceived, PeerNetwork
from ccp2p.node import setup as setups
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FetchedBlocks,
    FloorReply,
    FloorRequest,
    FoundingRefusal,
    PeerMessage,
    decode_message,
    encode_message,
)
from ccp2p.node.node import unix_ms
from ccp2p.node.setup import NodeSetup
from tests.node.stage import PATIENCE_S, TIMEOUT_MS, Stage, eventually, network


@dataclass
class Traitor:
    """Node 3's keys and evidence in hostile hands, connected to one other node."""

    setup: NodeSetup
    peers: PeerNetwork
    victim: bytes = b""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            await self.peers.run(task_status=task_status)

    def leave(self) -> None:
        """Give the identity back to the honest node."""
        self.scope.cancel()
        assert self.setup.store is not None
        self.setup.store.close()

    @property
    def seat(self) -> int:
        assert self.setup.record is not None
        record = parse_record(self.setup.record.signed.record)
        return next(i for i, s in enumerate(record.seats) if s.node == self.setup.identity.node)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            assert self.peers.send(self.victim, frame)

    def tell(self, *messages: PeerMessage) -> None:
        self.send(*map(encode_message, messages))

    async def hear(self, kind: type) -> PeerMessage:
        """The victim's next message of a kind."""
        with trio.fail_after(PATIENCE_S):
            while True:
                event = await self.peers.events.receive()
                if isinstance(event, FrameReceived):
                    message = decode_message(event.frame)
                    if isinstance(message, kind):
                        return message

    def block(self, **changes: object) -> bytes:
        """A first block of its own, well signed, with changes to the header."""
        return self.signed_by(self.setup.identity.signing, Payload(), **changes)

    def signed_by(self, signer: SigningKey, payload: Payload, **changes: object) -> bytes:
        network_id = self.setup.network
        payload_bytes = codec.encode(payload)
        root = (blocks.epoch_root(network_id, 0),)
        digest = blocks.payload_digest(payload_bytes)
        header = BlockHeader(network_id, 0, 1, self.seat, root, digest, b"", unix_ms())
        header = msgspec.structs.replace(header, **changes)
        unsigned = blocks.build(header, payload, payload_bytes, b"")
        signature = signer.sign(unsigned.signed_bytes())
        return blocks.build(header, payload, payload_bytes, signature).to_bytes()


@asynccontextmanager
async def betrayed(directory: Path) -> AsyncIterator[tuple[Stage, Traitor]]:
    """Three honest nodes, and the fourth's identity in a traitor that is connected to node 0."""
    async with network(directory) as stage:
        await stage.hosts[3].stop()
        setup = setups.reopen(stage.wanted(3))
        assert setup.store is not None
        peers = PeerNetwork(
            key_seed=setup.identity.signing_seed,
            attestor=setup.attestor(unix_ms),
            network_id=setup.network,
        )
        traitor = Traitor(setup, peers)
        await stage.nursery.start(traitor.run)
        traitor.victim = await peers.dial(stage.hosts[0].node.peers.addresses[0])
        yield stage, traitor
        traitor.leave()


async def assert_three_still_commit(stage: Stage) -> None:
    """A member's event is executed by every honest node."""
    honest = stage.hosts[:3]
    async with stage.client() as client:
        ann = client.session(SigningKey.generate())
        await ann.open(TIMEOUT_MS)
        before = min(host.commit for host in honest)
        await ann.submit(rooms.create(ann.identifier.hex(), False, "ann"), TIMEOUT_MS)
        await eventually(lambda: min(host.commit for host in honest) > before)
    assert [host.fault for host in honest] == [None] * 3


async def blamed(logs: list, traitor: Traitor, *frames: bytes) -> list[str]:
    """Send frames, each of which deserves blame; the codes, in order."""
    found = len(logs)
    traitor.send(*frames)

    def codes() -> list[str]:
        faults = [log for log in logs[found:] if log["event"] == "peer at fault"]
        assert {log["seat"] for log in faults} <= {traitor.seat}
        return [log["code"] for log in faults]

    await eventually(lambda: len(codes()) >= len(frames))
    return codes()


async def test_bad_blocks_are_blamed_on_their_sender_by_rule(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        other = (await traitor.hear(Blocks)).blocks[0]
        seat = Block.parse(other).header.author
        stranger = SigningKey.generate()
        cases = {
            "oversized": bytes(limits.MAX_BLOCK_BYTES + 1),
            "malformed": traitor.block()[:-1],
            "network": traitor.block(network=b"x" * 32),
            "author": traitor.block(author=4),
            "parents": traitor.block(parents=()),
            "coin": traitor.block(coin=b"c" * 32),
            "timestamp": traitor.block(timestamp_ms=1 << 60),
            "signature": traitor.signed_by(stranger, Payload()),
            "payload": traitor.signed_by(
                traitor.setup.identity.signing, Payload(votes=(b"",) * 17)
            ),
        }
        with capture_logs() as logs:
            for code, data in cases.items():
                frame = encode_message(Blocks((data,)))
                assert await blamed(logs, traitor, frame) == [code]
            in_anothers_name = traitor.block(author=seat)
            assert await blamed(logs, traitor, encode_message(Blocks((in_anothers_name,)))) == [
                "signature"
            ]
        await assert_three_still_commit(stage)


async def test_frames_that_are_no_message_are_blamed_and_survived(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        cases = [
            (b"garbage", "malformed"),
            (b"\xc1" * 1000, "malformed"),
            (encode_message(Blocks((b"one",)))[:-1], "malformed"),
            (codec.wrap("gossip", codec.encode([])), "wrong-type"),
            (codec.wrap("blocks", codec.encode(Blocks(())), 2), "unknown-version"),
            (codec.wrap("blocks", codec.encode([1, 2])), "malformed"),
            (encode_message(FoundingRefusal("start again")), "unexpected"),
        ]
        with capture_logs() as logs:
            for frame, code in cases:
                assert await blamed(logs, traitor, frame) == [code]
        await assert_three_still_commit(stage)


async def test_lies_about_commits_are_blamed_on_their_sender(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        forged = codec.encode(CommitAnnouncement(0, 9, b"c" * 32, traitor.seat, bytes(64)))
        lies = {
            "announcement": (Announce(b"garbage"), Announce(forged)),
            "gossip": (Have((b"short",)),),
        }
        with capture_logs() as logs:
            for code, messages in lies.items():
                for message in messages:
                    assert await blamed(logs, traitor, encode_message(message)) == [code]
            # Whoever lied so often is not even read.
            found = len(logs)
            traitor.tell(*[Announce(forged)] * 50)
            await assert_three_still_commit(stage)
        assert not [log for log in logs[found:] if log["event"] == "peer at fault"]


async def test_replayed_blocks_are_skipped_without_blame(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        heard = (await traitor.hear(Blocks)).blocks
        with capture_logs() as logs:
            traitor.tell(*[Blocks(heard * 3)] * 20, FetchedBlocks(heard))
            await assert_three_still_commit(stage)
        assert [log for log in logs if log["event"] == "peer at fault"] == []


async def test_fetches_of_anything_are_answered_within_bounds(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        unknown = blocks.BlockReference(1 << 40, 3, b"d" * 32)
        traitor.tell(FetchBlocks((unknown,) * 2000, (), 0))
        assert (await traitor.hear(FetchedBlocks)).blocks == ()
        for above in ((0,) * 4, (0,) * 4000, (-5, -5, -5, -5), (1 << 60,)):
            traitor.tell(FetchBlocks((), above, 0))
            reply = await traitor.hear(FetchedBlocks)
            assert sum(map(len, reply.blocks)) <= limits.MAX_FETCH_REPLY_BYTES
        await assert_three_still_commit(stage)


async def test_a_floor_reply_with_other_authors_blocks_counts_for_nothing(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        own = (await traitor.hear(Blocks)).blocks[0]
        await stage.hosts[0].stop()
        victim = await stage.reopen(0)
        traitor.victim = await traitor.peers.dial(victim.node.peers.addresses[0])
        with capture_logs() as logs:
            request = await traitor.hear(FloorRequest)
            assert isinstance(request, FloorRequest)
            lies = {
                "floor": FloorReply(request.nonce, 0, own, b"", False),
                "malformed": FloorReply(request.nonce, 0, b"garbage", b"", False),
                "signature": FloorReply(
                    request.nonce,
                    0,
                    traitor.signed_by(SigningKey.generate(), Payload()),
                    b"",
                    False,
                ),
            }
            for code, lie in lies.items():
                assert await blamed(logs, traitor, encode_message(lie)) == [code]
        # Two honest answers are no floor for one of four; the third has to be the traitor's.
        await trio.sleep(1.2)
        assert victim.floor is None
        traitor.tell(FloorReply(request.nonce, 0, b"", b"", False))
        with trio.fail_after(PATIENCE_S):
            await victim.voting.wait()
        assert victim.floor is not None
        assert victim.floor.by == "peers"
        # It votes three rounds later, which takes the fourth node again.
        traitor.leave()
        returned = await stage.reopen(3)
        await returned.voting.wait()
        await assert_three_still_commit(stage)


async def test_a_floor_reply_of_another_start_is_ignored(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        with capture_logs() as logs:
            traitor.tell(FloorReply(b"another start", 0, b"garbage", b"", False))
            await assert_three_still_commit(stage)
        assert [log for log in logs if log["event"] == "peer at fault"] == []


async def test_an_equivocator_is_caught_with_both_blocks_and_the_network_goes_on(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        held = traitor.setup.store
        assert held is not None
        first = next(
            Block.parse(data)
            for _, data in held.blocks(0)
            if Block.parse(data).header.author == traitor.seat
        )
        header = msgspec.structs.replace(first.header, timestamp_ms=first.header.timestamp_ms + 1)
        unsigned = blocks.build(header, first.payload, first.payload_bytes, b"")
        signature = traitor.setup.identity.signing.sign(unsigned.signed_bytes())
        rival = blocks.build(header, first.payload, first.payload_bytes, signature).to_bytes()
        with capture_logs() as logs:
            traitor.tell(Blocks((first.to_bytes(), rival)))
            await eventually(lambda: any(log["event"] == "equivocation" for log in logs))
        await assert_three_still_commit(stage)
        evidence = stage.hosts[0].node.setup.store.meta(f"equivocation/0/{traitor.seat}")
        assert evidence is not None
        assert len(codec.decode(evidence, list, 1 << 20)) == 2
