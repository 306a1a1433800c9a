from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import codec, limits
from ccp2p.model.amendment import Amendment, amendment_digest, approval_bytes, parse_amendment
from ccp2p.model.errors import MemberFault, PeerFault

NETWORK = b"N" * 32
EVICTION = Amendment(NETWORK, 3, evict=(b"n" * 32,))


def changed(**changes: object) -> bytes:
    return codec.encode(msgspec.structs.replace(EVICTION, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": "[tdx]", "evict": ()},
        {"governors": (b"g" * 32,), "governor_threshold": 1, "evict": ()},
        {"evict": tuple(bytes([n]) * 32 for n in range(limits.MAX_COMMITTEE))},
    ],
)
def test_an_amendment_is_read_back(changes):
    data = changed(**changes)
    assert codec.encode(parse_amendment(data)) == data


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"evict": ()}, "amendment", "changes nothing"),
        ({"evict": (b"n" * 31,)}, "evict", "32 bytes"),
        ({"evict": (b"n" * 32, b"n" * 32)}, "evict", "each once"),
        (
            {"evict": tuple(bytes([n]) * 32 for n in range(limits.MAX_COMMITTEE + 1))},
            "evict",
            "up to",
        ),
        ({"governors": (b"g" * 32, b"h" * 32), "governor_threshold": 1}, "governors", "half"),
        ({"governors": (b"g" * 32,), "governor_threshold": 2}, "governors", "half"),
        ({"governors": (b"g" * 31,), "governor_threshold": 1}, "governors", "32 bytes"),
        ({"governor_threshold": 1}, "governors", "half"),
        ({"policy": "x" * limits.MAX_AMENDMENT_BYTES}, "oversized", "limit"),
    ],
)
def test_an_amendment_out_of_bounds_is_refused(changes, code: str, said: str):
    for fault in (PeerFault, MemberFault):
        with pytest.raises(fault, match=said) as caught:
            parse_amendment(changed(**changes), fault)
        assert caught.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_an_amendment_or_a_fault(data: bytes):
    with suppress(PeerFault):
        assert codec.encode(parse_amendment(data)) == data


def test_an_approval_is_for_one_amendment_of_one_network():
    digest = amendment_digest(changed())
    assert digest != amendment_digest(changed(epoch=4))
    messages = {
        approval_bytes(NETWORK, digest),
        approval_bytes(b"M" * 32, digest),
        approval_bytes(NETWORK, amendment_digest(changed(epoch=4))),
    }
    assert len(messages) == 3
