"""Our Yamux keeps every buffer bounded, whatever arrives, and speaks as libp2p's does."""

import struct
from contextlib import suppress

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ccp2p.network import yamux
from ccp2p.network.session import ConnectionLost
from ccp2p.network.yamux import StreamEnded, YamuxConnection

WINDOW = 512 * 1024
DATA, UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


class Pipe:
    """A session without encryption over a stream in memory."""

    def __init__(self, stream, is_initiator):
        self.is_initiator = is_initiator
        self._stream = stream

    async def receive(self):
        data = await self._stream.receive_some(65_536)
        if not data:
            raise ConnectionLost("the peer closed the connection")
        return bytes(data)

    async def write(self, data):
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            raise ConnectionLost("the connection broke") from None


def frame(kind, flags, stream_id, length, data=b"", version=0):
    return struct.pack(">BBHII", version, kind, flags, stream_id, length) + data


def connections():
    near, far = trio.testing.memory_stream_pair()
    return [
        YamuxConnection(Pipe(stream, is_initiator), window_bytes=WINDOW, max_streams=8)
        for stream, is_initiator in ((near, True), (far, False))
    ]


async def against_raw_bytes(nursery):
    """A listening connection, and the bare stream of whoever dialed it."""
    near, far = trio.testing.memory_stream_pair()
    ours = YamuxConnection(Pipe(near, False), window_bytes=WINDOW, max_streams=8)
    nursery.start_soon(ours.run)
    return ours, far


async def test_large_data_crosses_in_both_directions_at_once(nursery):
    near, far = connections()
    nursery.start_soon(near.run)
    nursery.start_soon(far.run)
    data = bytes(range(256)) * 12_000
    received = {}

    async def write(stream):
        await stream.write(data)
        await stream.close()

    async def read_all(name, stream):
        pieces = []
        with suppress(StreamEnded):
            while True:
                pieces.append(await stream.read())
        received[name] = b"".join(pieces)

    opened = near.open()
    accepted = await far.accept()
    async with trio.open_nursery() as work:
        for name, stream in (("near", opened), ("far", accepted)):
            work.start_soon(write, stream)
            work.start_soon(read_all, name, stream)
    assert received == {"near": data, "far": data}
    assert not near._streams
    assert not far._streams


async def test_a_stalled_reader_stops_its_writer_and_nobody_else(nursery):
    near, far = connections()
    nursery.start_soon(near.run)
    nursery.start_soon(far.run)
    stalled, lively = near.open(), near.open()
    await far.accept()
    other = await far.accept()
    with trio.move_on_after(0.2) as scope:
        await stalled.write(bytes(4 * WINDOW))
    assert scope.cancelled_caught
    await lively.write(b"still moving")
    assert await other.read() == b"still moving"
    assert sum(len(stream.buffer) for stream in far._streams.values()) <= WINDOW


async def test_streams_beyond_the_limit_are_reset(nursery):
    near, far = connections()
    nursery.start_soon(near.run)
    nursery.start_soon(far.run)
    opened = [near.open() for _ in range(9)]
    with pytest.raises(ConnectionLost, match="reset"):
        await opened[-1].read()
    await opened[0].write(b"x")
    assert await (await far.accept()).read() == b"x"


async def test_more_than_the_window_ends_the_connection(nursery):
    ours, peer = await against_raw_bytes(nursery)
    await peer.send_all(frame(DATA, SYN, 1, 0))
    stream = await ours.accept()
    for _ in range(WINDOW // 65_536):
        await peer.send_all(frame(DATA, 0, 1, 65_536, bytes(65_536)))
    await trio.testing.wait_all_tasks_blocked()
    assert len(stream.buffer) == WINDOW
    assert not ours.is_closed
    await peer.send_all(frame(DATA, 0, 1, 1, b"!"))
    await trio.testing.wait_all_tasks_blocked()
    assert ours.is_closed
    assert ours.reason == "the peer sent more than its window"


async def test_pings_without_reading_the_answers_end_the_connection(nursery):
    ours, peer = await against_raw_bytes(nursery)
    blocked = trio.Event()

    async def block():
        await blocked.wait()

    ours._session._stream.send_stream.send_all_hook = block
    for _ in range(100):
        await peer.send_all(frame(PING, SYN, 0, 7) * 1000)
        await trio.testing.wait_all_tasks_blocked()
        if ours.reason.endswith("answers"):
            break
    assert ours.reason == "the peer asks without reading the answers"
    assert ours._outgoing_bytes < 2 * yamux._MAX_CONTROL_BYTES


async def test_a_ping_is_answered(nursery):
    _, peer = await against_raw_bytes(nursery)
    await peer.send_all(frame(PING, SYN, 0, 1234))
    assert bytes(await peer.receive_some()) == frame(PING, ACK, 0, 1234)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (frame(DATA, SYN, 2, 0), "wrong number"),
        (frame(DATA, SYN, 0, 0), "wrong number"),
        (frame(DATA, SYN, 1, 0) * 2, "wrong number"),
        (frame(DATA, SYN, 1, 1 << 31), "larger than any window"),
        (frame(9, 0, 1, 0), "not a Yamux frame"),
        (frame(DATA, 0, 1, 0, version=1), "not a Yamux frame"),
        (frame(GO_AWAY, 0, 0, 0), "goodbye"),
    ],
)
async def test_a_violation_ends_the_connection_and_says_why(nursery, sent, reason):
    ours, peer = await against_raw_bytes(nursery)
    await peer.send_all(sent)
    await trio.testing.wait_all_tasks_blocked()
    assert ours.is_closed
    assert reason in ours.reason
    with pytest.raises(ConnectionLost, match=reason):
        ours.open()


async def test_data_for_an_unknown_stream_is_dropped(nursery):
    ours, peer = await against_raw_bytes(nursery)
    await peer.send_all(frame(DATA, 0, 77, 5, b"stale") + frame(DATA, SYN, 1, 2, b"ok"))
    assert await (await ours.accept()).read() == b"ok"


async def test_what_arrived_before_the_end_is_still_read(nursery):
    ours, peer = await against_raw_bytes(nursery)
    await peer.send_all(frame(DATA, SYN | FIN, 1, 4, b"last"))
    stream = await ours.accept()
    await peer.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert await stream.read(2) == b"la"
    assert await stream.read() == b"st"
    with pytest.raises(StreamEnded):
        await stream.read()


frames = st.builds(
    lambda kind, flags, stream_id, data, lie: frame(kind, flags, stream_id, len(data) + lie, data),
    kind=st.integers(0, 4),
    flags=st.integers(0, 15),
    stream_id=st.integers(0, 5),
    data=st.binary(max_size=40),
    lie=st.sampled_from([0, 0, 0, 0, 1, 1000]),
)


@settings(deadline=None)
@given(st.lists(frames | st.binary(max_size=30), max_size=30), st.integers(1, 100))
async def test_any_bytes_leave_the_connection_bounded(pieces, cut):
    async with trio.open_nursery() as nursery:
        ours, peer = await against_raw_bytes(nursery)
        data = b"".join(pieces)
        for start in range(0, len(data), cut):
            await peer.send_all(data[start : start + cut])
        await trio.testing.wait_all_tasks_blocked()
        assert len(ours._streams) <= 8
        assert len(ours.accepted) <= 8
        assert sum(len(stream.buffer) for stream in ours._streams.values()) <= len(data)
        nursery.cancel_scope.cancel()
