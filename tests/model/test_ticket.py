import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import codec, hashing, limits
from ccp2p.model.errors import MemberFault
from ccp2p.model.ticket import PREFIX, Ticket, format_ticket, parse_ticket

TICKET = Ticket(
    b"n" * 32, "home", "member", True, b"r" * 32, ("/ip4/127.0.0.1/tcp/1/p2p/x",), b"s" * 16
)
TEXT = format_ticket(TICKET)


def refused(text: str) -> str:
    with pytest.raises(MemberFault) as caught:
        parse_ticket(text)
    return str(caught.value)


def pasteable(ticket: object) -> str:
    """A ticket string with a right checksum, whatever is inside."""
    body = codec.encode(ticket)
    check = hashing.digest(hashing.TICKET, body)[:4]
    return PREFIX + base64.b32encode(body + check).decode().rstrip("=").lower()


@given(
    st.binary(min_size=32, max_size=32),
    st.text(max_size=64),
    st.sampled_from(["member", "node"]),
    st.booleans(),
    st.lists(st.text(max_size=100), max_size=limits.MAX_ADDRESSES),
    st.binary(max_size=32),
    st.integers(0, limits.MAX_TIMESTAMP_MS),
)
def test_a_ticket_survives_being_pasted(
    network, name, role, simulated, addresses, secret, expires_ms
):
    ticket = Ticket(network, name, role, simulated, b"", tuple(addresses), secret, expires_ms)
    assert parse_ticket(format_ticket(ticket)) == ticket


def test_a_ticket_survives_line_breaks_spaces_and_capitals():
    half = len(TEXT) // 2
    assert parse_ticket(f"  {TEXT[:half]}\r\n {TEXT[half:].upper()}\n") == TICKET


def test_a_ticket_cut_anywhere_is_refused():
    for kept in range(len(PREFIX), len(TEXT) - 1):
        assert "ticket" in refused(TEXT[:kept])


@given(st.integers(len(PREFIX), len(TEXT) - 2), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_an_altered_ticket_is_refused(at: int, letter: str):
    altered = TEXT[:at] + letter + TEXT[at + 1 :]
    if altered != TEXT:
        assert "checksum" in refused(altered)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "starts with"),
        ("hello", "starts with"),
        (TEXT[1:], "starts with"),
        (PREFIX, "checksum"),
        (TEXT + "!", "characters"),
        (TEXT[:20] + "ü" + TEXT[21:], "characters"),
        (PREFIX + "a" * limits.MAX_TICKET_CHARS, "too long"),
    ],
)
def test_what_is_wrong_with_a_ticket_is_said(text: str, said: str):
    assert said in refused(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": b"n" * 31},
        {"addresses": ("/ip4/127.0.0.1/tcp/1",) * (limits.MAX_ADDRESSES + 1)},
        {"expires_ms": -1},
        {"expires_ms": limits.MAX_TIMESTAMP_MS + 1},
    ],
)
def test_fields_out_of_bounds_are_refused_even_with_a_right_checksum(changes):
    assert "out of bounds" in refused(pasteable(msgspec.structs.replace(TICKET, **changes)))


@pytest.mark.parametrize(
    "inside", [[], [1, 2, 3], {"network": b"n"}, [b"n" * 32, "home", "root", True, b"", [], b""]]
)
def test_another_content_is_refused_even_with_a_right_checksum(inside: object):
    refused(pasteable(inside))


@given(st.text(max_size=300))
def test_any_text_is_a_members_fault(text: str):
    for candidate in (text, PREFIX + text):
        with pytest.raises(MemberFault):
            parse_ticket(candidate)


@given(st.binary(max_size=300))
def test_any_content_is_a_ticket_or_a_members_fault(body: bytes):
    check = hashing.digest(hashing.TICKET, body)[:4]
    text = PREFIX + base64.b32encode(body + check).decode().rstrip("=").lower()
    try:
        ticket = parse_ticket(text)
    except MemberFault:
        return
    assert codec.encode(ticket) == body
