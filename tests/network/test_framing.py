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


@given(st.lists(st.binary(max_size=50), max_size=50))
def test_any_bytes_give_frames_or_a_peer_fault(chunks):
    parser, held = FrameParser(LIMIT), 0
    try:
        for chunk in chunks:
            frames = parser.feed(chunk)
            held += len(chunk) - sum(map(len, frames))
    except PeerFault as fault:
        assert fault.code == "oversized"
    else:
        assert parser.is_between_frames or held > 0


@pytest.mark.parametrize("at_once", [True, False])
def test_a_length_above_the_limit_is_refused_before_its_body_arrives(at_once):
    parser, header = FrameParser(LIMIT), (LIMIT + 1).to_bytes(4, "big")
    with pytest.raises(PeerFault, match="301"):
        for piece in [header] if at_once else [header[:2], header[2:]]:
            parser.feed(piece)


def test_a_cut_frame_shows():
    parser = FrameParser(LIMIT)
    assert parser.feed(HEARTBEAT + encode([b"abc"])[:-1]) == []
    assert not parser.is_between_frames
