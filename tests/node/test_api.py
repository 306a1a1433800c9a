import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from ccp2p.model import codec, limits
from ccp2p.model.envelope import Envelope
from ccp2p.model.errors import Fault, MemberFault, PeerFault
from ccp2p.model.member_protocol import (
    GetStatus,
    Hello,
    NodeMessage,
    Outcomes,
    Query,
    Refused,
    Reply,
    Status,
    Submit,
    Welcome,
    decode_client_message,
    decode_node_message,
    encode_message,
)
from ccp2p.network import ClientListener, FrameStream, connect
from ccp2p.node.api import ClientApi
from ccp2p.node.meter import Meter
from ccp2p.node.turns import Share
from tests.node.stage import eventually


@dataclass
class Queue:
    """The node behind the interface: it queues what it is given, as far as it has room."""

    epoch: int | None = 0
    room: int = 1 << 30
    taken: list[bytes] = field(default_factory=list)
    repeated: int = 0

    def welcome(self, hello: Hello) -> Welcome:
        return Welcome(hello.nonce, (), b"", b"", b"", (), ())

    def submit(self, envelopes: list[bytes], *, is_repeated: bool) -> int:
        self.repeated += is_repeated
        fitting = envelopes[: self.room]
        self.room -= len(fitting)
        self.taken += fitting
        return len(fitting)

    async def query(self, query: Query) -> Reply:
        return Reply(query.number, b"answer", "")

    def status(self, query: GetStatus) -> Status:
        return Status(query.number, 0, 7, b"", bytes(200), 0, 0, 0, 0, "")


@dataclass
class Served:
    """A running listener, the interface behind it, and what it queues into."""

    api: ClientApi
    queue: Queue
    address: str


@asynccontextmanager
async def served(queue: Queue | None = None) -> AsyncIterator[Served]:
    queue = queue or Queue()
    api = ClientApi(queue, Share(Meter()))

    async def serve(stream: FrameStream) -> None:
        first = decode_client_message(await stream.receive(), MemberFault)
        await api.serve(stream, b"", first)

    listener = ClientListener(key_seed=b"k" * 32, handler=serve, write_timeout_ms=500)
    async with trio.open_nursery() as nursery:
        await nursery.start(listener.run)
        yield Served(api, queue, listener.addresses[0])
        nursery.cancel_scope.cancel()


def envelope(number: int, epoch: int = 0, size: int = 300) -> bytes:
    return codec.encode(Envelope(epoch, tag(number), b"", bytes(size)))


def tag(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def ask(stream: FrameStream, message: object) -> NodeMessage:
    await stream.send(encode_message(message))
    return await answer(stream)


async def answer(stream: FrameStream) -> NodeMessage:
    with trio.fail_after(30):
        return decode_node_message(await stream.receive(), PeerFault)


async def refusals(stream: FrameStream, *envelopes: bytes) -> list[tuple[bytes, str]]:
    refused = await ask(stream, Submit(envelopes))
    assert isinstance(refused, Refused)
    return [(refusal.tag, refusal.code) for refusal in refused.refusals]


async def test_a_slow_device_keeps_none_waiting_but_who_wants_its_evidence():
    is_free, quoted = threading.Event(), []

    class Slow(Queue):
        def welcome(self, hello: Hello) -> Welcome:
            is_free.wait(5)
            quoted.append(hello.nonce)
            return super().welcome(hello)

    async with (
        served(Slow()) as node,
        connect(node.address, timeout_ms=15_000) as one,
        connect(node.address, timeout_ms=15_000) as other,
    ):
        await one.send(encode_message(Hello(b"n" * 32)))
        assert isinstance(await ask(other, GetStatus(1, 0)), Status)
        assert quoted == []
        is_free.set()
        assert isinstance(await answer(one), Welcome)


async def test_each_request_gets_its_answer():
    async with served() as node, connect(node.address, timeout_ms=15_000) as stream:
        assert (await ask(stream, Hello(b"n" * 32))).genesis == b"n" * 32
        assert await ask(stream, Query(5, b"s", b"q")) == Reply(5, b"answer", "")
        assert (await ask(stream, GetStatus(6, 0))).number == 6


async def test_an_outcome_goes_to_whoever_submitted_and_to_nobody_else():
    async with (
        served() as node,
        connect(node.address, timeout_ms=15_000) as first,
        connect(node.address, timeout_ms=15_000) as second,
    ):
        await first.send(encode_message(Submit((envelope(1),))))
        await second.send(encode_message(Submit((envelope(2),))))
        await eventually(lambda: node.api.waits_for(tag(1)) and node.api.waits_for(tag(2)))
        node.api.deliver([(tag(2), b"two"), (tag(1), b"one"), (tag(3), b"nobody's")], [])
        assert await answer(first) == Outcomes(((tag(1), b"one"),))
        assert await answer(second) == Outcomes(((tag(2), b"two"),))
        assert not node.api.waits_for(tag(1))


async def test_a_dropped_envelope_is_answered_in_words():
    async with served() as node, connect(node.address, timeout_ms=15_000) as stream:
        await stream.send(encode_message(Submit((envelope(1),))))
        await eventually(lambda: node.api.waits_for(tag(1)))
        node.api.deliver([], [(tag(1), "no-session")])
        (refusal,) = (await answer(stream)).refusals
        assert (refusal.tag, refusal.code) == (tag(1), "no-session")
        assert "open a session" in refusal.message


async def test_bad_envelopes_are_named_and_good_ones_beside_them_are_queued():
    async with served() as node, connect(node.address, timeout_ms=15_000) as stream:
        bad = [b"", b"garbage", envelope(1)[:-1], bytes(limits.MAX_ENVELOPE_BYTES + 1)]
        refused = await refusals(stream, *bad, envelope(2), envelope(3, epoch=9))
        codes = [code for _, code in refused]
        assert codes == ["malformed"] * 3 + ["oversized", "wrong-epoch"]
        assert all(len(name) == 16 for name, _ in refused)
        assert node.queue.taken == [envelope(2)]
        assert not node.api.waits_for(tag(3))


async def test_before_the_founding_nothing_is_taken():
    async with (
        served(Queue(epoch=None)) as node,
        connect(node.address, timeout_ms=15_000) as stream,
    ):
        assert await refusals(stream, envelope(1)) == [(tag(1), "not-founded")]
        assert node.queue.taken == []


async def test_a_full_queue_is_busy_for_the_rest_of_a_submission():
    async with served(Queue(room=2)) as node, connect(node.address, timeout_ms=15_000) as stream:
        refused = await refusals(stream, *(envelope(n) for n in range(4)))
        assert refused == [(tag(2), "busy"), (tag(3), "busy")]
        assert [node.api.waits_for(tag(n)) for n in range(4)] == [True, True, False, False]


async def test_the_node_hears_what_a_client_sends_again():
    async with served() as node, connect(node.address, timeout_ms=15_000) as stream:
        for number in (1, 2, 1):
            await stream.send(encode_message(Submit((envelope(number),))))
        await eventually(lambda: len(node.queue.taken) == 3)
        assert node.queue.repeated == 1


async def test_one_connection_has_a_bounded_number_of_envelopes_in_flight():
    async with (
        served() as node,
        connect(node.address, timeout_ms=15_000) as greedy,
        connect(node.address, timeout_ms=15_000) as other,
    ):
        half = limits.CLIENT_IN_FLIGHT // 2
        for start in (0, half):
            batch = tuple(envelope(n, size=0) for n in range(start, start + half))
            await greedy.send(encode_message(Submit(batch)))
        extra = limits.CLIENT_IN_FLIGHT
        assert await refusals(greedy, envelope(extra)) == [(tag(extra), "busy")]
        assert len(node.queue.taken) == limits.CLIENT_IN_FLIGHT
        await other.send(encode_message(Submit((envelope(extra + 1),))))
        await eventually(lambda: node.api.waits_for(tag(extra + 1)))
        node.api.deliver([(tag(0), b"done")], [])
        assert isinstance(await answer(greedy), Outcomes)
        await greedy.send(encode_message(Submit((envelope(extra),))))
        await eventually(lambda: node.api.waits_for(tag(extra)))


@pytest.mark.parametrize(
    "frame",
    [
        b"garbage",
        codec.wrap("submit", b"\x01"),
        codec.wrap("gossip", b"\x90"),
        codec.wrap("status?", codec.encode([1, 0]), 2),
        encode_message(Hello(b"short")),
        encode_message(Reply(1, b"", "")),
    ],
    ids=["garbage", "bad-body", "unknown", "version", "short-nonce", "a-nodes-message"],
)
async def test_a_malformed_message_ends_its_own_connection_only(frame: bytes):
    async with served() as node, connect(node.address, timeout_ms=15_000) as good:
        async with connect(node.address, timeout_ms=15_000) as bad:
            await bad.send(frame)
            with pytest.raises(Fault), trio.fail_after(30):
                await bad.receive()
        assert (await ask(good, GetStatus(1, 0))).number == 1


async def test_who_leaves_is_waited_for_no_more():
    async with served() as node:
        async with connect(node.address, timeout_ms=15_000) as stream:
            await stream.send(encode_message(Submit((envelope(1), envelope(2)))))
            await eventually(lambda: node.api.waits_for(tag(2)))
        await eventually(lambda: not node.api.waits_for(tag(1)))
        assert not node.api.waits_for(tag(2))


async def flood(stream: FrameStream) -> None:
    while True:
        await stream.send(*[encode_message(GetStatus(1, 0))] * 1000)
        await trio.sleep(0)


async def test_a_client_that_does_not_read_is_cut_and_others_are_served():
    async with (
        served() as node,
        connect(node.address, timeout_ms=15_000) as slow,
        connect(node.address, timeout_ms=15_000) as good,
    ):
        with pytest.raises(Fault), trio.fail_after(30):
            await flood(slow)
        assert (await ask(good, GetStatus(2, 0))).number == 2
