"""Frames survive any way of cutting the bytes, and no length makes the parser hold more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model.errors import PeerFault
from ccp2p.network.framing import HEARTBEAT, FrameParser, encode

LIMIT = 300


@given(st.lists(st.binary(max_size=LIMIT)), st.lists(st.integers(1, 400)))
def test_frames_arrive_whole_and_in_order_however_the_bytes_are_cut(frames, cuts):
    data, parser, got = encode(frames), FrameParser(LIMIT), []
    for cut in cuts:
        got += parser.feed(data[:cut])
        data = data[cut:]
    got += parser.feed(data)
    assert got == [frame for frame in frames if frame]
    assert parser.is_between_frames


def reference(data):
    """The frames of `data` up to its end or to an oversized one, cut the slow way."""
    frames = []
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        if length > LIMIT or len(data) < 4 + length:
            break
        frames.append(data[4 : 4 + length])
        data = data[4 + length :]
    return [frame for frame in frames if frame]


encoded = st.binary(max_size=20).map(lambda frame: encode([frame]))


@given(st.lists(st.binary(max_size=50) | encoded, max_size=50))
def test_any_bytes_give_frames_or_a_peer_fault(chunks):
    parser, frames, code = FrameParser(LIMIT), [], ""
    try:
        for chunk in chunks:
            frames += parser.feed(chunk)
    except PeerFault as fault:
        code = fault.code
    assert code in ("", "oversized")
    expected = reference(b"".join(chunks))
    assert frames == (expected[: len(frames)] if code else expected)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_length_above_the_limit_is_refused_before_its_body_arrives(at_once):
    parser, header = FrameParser(LIMIT), (LIMIT + 1).to_bytes(4, "big")
    if not at_once:
        assert parser.feed(header[:2]) == []
        header = header[2:]
    with pytest.raises(PeerFault, match="301"):
        parser.feed(header)


def test_a_cut_frame_shows():
    parser = FrameParser(LIMIT)
    assert parser.feed(HEARTBEAT + encode([b"abc"])[:-1]) == []
    assert not parser.is_between_frames
