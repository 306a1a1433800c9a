"""What is read on the local network is bounded, typed, and never more than a hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import limits
from ccp2p.model.errors import PeerFault
from ccp2p.network.addresses import format_address
from ccp2p.network.announcement import (
    Announcement,
    encode_announcement,
    parse_announcement,
)

NODE, OTHER = bytes(range(32)), bytes(range(1, 33))
HERE = Announcement(
    b"\x01" * 32,
    "home",
    "rooms",
    True,
    (format_address("192.0.2.1", 4001, NODE), format_address("2001:db8::1", 4001, NODE)),
    (format_address("192.0.2.1", 4002, NODE),),
)


def txt(**pairs: str | bytes | None) -> bytes:
    """The record of `HERE` with some strings changed, or (None) left out."""
    kept: dict[bytes, bytes] = {}
    data, start = encode_announcement(HERE), 0
    while start < len(data):
        key, _, value = data[start + 1 : start + 1 + data[start]].partition(b"=")
        kept[key] = value
        start += 1 + data[start]
    for key, value in pairs.items():
        kept.pop(key.encode(), None)
        if value is not None:
            kept[key.encode()] = value.encode() if isinstance(value, str) else value
    strings = [key + b"=" + value for key, value in kept.items()]
    return b"".join(bytes([len(string)]) + string for string in strings)


def test_what_a_node_says_is_read_back():
    assert parse_announcement(encode_announcement(HERE)) == HERE
    assert parse_announcement(txt()) == HERE
    assert HERE.node == NODE


def test_the_longest_announcement_fits():
    longest = "2001:db8:1111:2222:3333:4444:5555:6666"
    addresses = tuple(format_address(longest, 65_000 + n, NODE) for n in range(9))
    said = Announcement(
        b"\x02" * 32, "\u00e9" * limits.MAX_NAME_CHARS, "rooms", False, *[addresses] * 2
    )
    data = encode_announcement(said)
    assert len(data) < 1400, "one packet of an Ethernet"
    heard = parse_announcement(data)
    assert (heard.clients, heard.name) == (addresses[: limits.OWN_ADDRESSES], said.name)


def test_of_a_string_that_comes_twice_the_first_counts_and_unknown_ones_are_skipped():
    data = txt(later="whatever") + b"\x09name=evil" + b"\x00" + b"\x04flag"
    assert parse_announcement(data) == HERE


@pytest.mark.parametrize(
    "changed",
    [
        {"v": "2"},
        {"v": None},
        {"id": "00" * 31},
        {"id": "zz" * 32},
        {"id": b"\xff" * 64},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "up\x1b[2J"},
        {"name": b"\xff\xfe"},
        {"app": "Rooms; rm"},
        {"app": "x" * 40},
        {"tee": "trust me"},
        {"c0": None, "c1": None},
        {"n0": None},
        {"c0": "/dns4/example.org/tcp/1/p2p/" + format_address("::1", 1, NODE).split("/")[-1]},
        {"c0": format_address("192.0.2.1", 4001, OTHER)},
        {"c0": "/ip4/192.0.2.1/tcp/4001"},
        {"c0": format_address("192.0.2.1", 0, NODE)},
        {"c0": format_address("224.0.0.251", 1, NODE)},
        {"c0": format_address("0.0.0.0", 1, NODE)},
        {"c0": b"\xff\xff"},
    ],
    ids=repr,
)
def test_anything_else_is_refused(changed):
    with pytest.raises(PeerFault, match="announcement"):
        parse_announcement(txt(**changed))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" + b"x" * 10,
        txt() + b"\x10short",
        b"\xff" + b"x" * 255 + txt() + b"\xff" + b"x" * 255 * 9,
        bytes(limits.MAX_ANNOUNCEMENT_BYTES + 1),
    ],
)
def test_a_record_that_is_cut_or_huge_is_refused(data):
    with pytest.raises(PeerFault):
        parse_announcement(data)


@given(
    st.binary(max_size=600)
    | st.builds(lambda a, b: txt()[:a] + b, st.integers(0, 400), st.binary(max_size=40))
)
def test_no_bytes_raise_anything_else(data):
    try:
        heard = parse_announcement(data)
    except PeerFault:
        return
    assert len(heard.clients) <= limits.OWN_ADDRESSES
    assert heard.name.isprintable()
