import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.model import codec, limits
from ccp2p.model.errors import MemberFault
from ccp2p.model.genesis import (
    Genesis,
    Parameters,
    check_parameters,
    network_id,
    parse_genesis,
)

GENESIS = Genesis(
    name="home",
    kind="group",
    app="rooms",
    policy="",
    parameters=Parameters(),
    governors=(b"g" * 32,),
    governor_threshold=1,
    first_node=b"f" * 32,
    founders=4,
    member_invite=b"m" * 32,
    node_invite=b"n" * 32,
    founder_invite=b"i" * 32,
    created_ms=1,
)


def test_the_defaults_are_allowed():
    check_parameters(Parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"commit_waves": (5,)},
        {"coin_delay": 4},
        {"coin_length": 1 << 8},
        {"coin_length": 1 << 24},
        {"slots_per_round": limits.MAX_COMMITTEE},
        {"gc_depth": 10},
        {"gc_depth": 10_000},
        {"min_round_delay_ms": 0, "max_round_delay_ms": 0},
        {"checkpoint_interval": 1},
    ],
)
def test_parameters_within_their_bounds_are_allowed(changes):
    check_parameters(msgspec.structs.replace(Parameters(), **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"commit_waves": (4,)},
        {"commit_waves": (5, 4)},
        {"commit_waves": ()},
        {"commit_waves": (3, 5)},
        {"coin_delay": 2},
        {"coin_delay": 5},
        {"coin_length": (1 << 8) - 1},
        {"coin_length": (1 << 24) + 1},
        {"slots_per_round": -1},
        {"slots_per_round": limits.MAX_COMMITTEE + 1},
        {"gc_depth": 9},
        {"gc_depth": 10_001},
        {"min_round_delay_ms": -1},
        {"min_round_delay_ms": 200, "max_round_delay_ms": 100},
        {"max_round_delay_ms": 60_001},
        {"checkpoint_interval": 0},
        {"checkpoint_interval": 100_001},
        {"committee_max": 3},
        {"committee_max": limits.MAX_COMMITTEE + 1},
        {"rotation_interval_ms": 999},
        {"rotation_interval_ms": 366 * 24 * 3_600_000 + 1},
        {"subnet_seats": -1},
        {"subnet_seats": limits.MAX_COMMITTEE + 1},
    ],
)
def test_parameters_without_a_proof_are_refused(changes):
    parameters = msgspec.structs.replace(Parameters(), **changes)
    with pytest.raises(MemberFault) as caught:
        check_parameters(parameters)
    assert caught.value.code == "genesis"
    with pytest.raises(MemberFault):
        parse_genesis(codec.encode(msgspec.structs.replace(GENESIS, parameters=parameters)))


def test_a_genesis_is_read_back():
    assert parse_genesis(codec.encode(GENESIS)) == GENESIS


@pytest.mark.parametrize(
    "changes",
    [
        {"founders": 0},
        {"founders": limits.MAX_COMMITTEE + 1},
        {"name": ""},
        {"name": "n" * 65},
        {"kind": "crowd"},
        {"kind": "group", "parameters": Parameters(committee_max=4)},
        {"kind": "mesh", "parameters": Parameters(committee_max=4), "founders": 5},
        {"app": "doom"},
        {"policy": "#" * limits.MAX_GENESIS_BYTES},
        {"governors": (b"g" * 31,)},
        {"governors": (b"g" * 32, b"g" * 32), "governor_threshold": 2},
        {"governors": (b"g" * 32, b"h" * 32), "governor_threshold": 1},
        {"governors": (b"g" * 32, b"h" * 32), "governor_threshold": 3},
        {"governors": (b"g" * 32,), "governor_threshold": 0},
        {"governors": (), "governor_threshold": 1},
        {
            "governors": tuple(bytes([n]) * 32 for n in range(limits.MAX_GOVERNORS + 1)),
            "governor_threshold": limits.MAX_GOVERNORS,
        },
        {"member_invite": b"m" * 16},
        {"node_invite": b"n" * 33},
        {"founder_invite": b"i"},
    ],
)
def test_a_genesis_out_of_bounds_is_refused(changes):
    with pytest.raises(MemberFault):
        parse_genesis(codec.encode(msgspec.structs.replace(GENESIS, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"governors": (), "governor_threshold": 0},
        {"governors": (b"g" * 32, b"h" * 32), "governor_threshold": 2},
        {"governors": tuple(bytes([n]) * 32 for n in range(5)), "governor_threshold": 3},
        {"member_invite": b"", "node_invite": b"", "founder_invite": b""},
    ],
)
def test_governors_and_invites_within_their_bounds_are_allowed(changes):
    genesis = msgspec.structs.replace(GENESIS, **changes)
    assert parse_genesis(codec.encode(genesis)) == genesis


OTHERS = Genesis(
    name="work",
    kind="mesh",
    app="kv",
    policy="# another",
    parameters=Parameters(gc_depth=99),
    governors=(),
    governor_threshold=2,
    first_node=b"F" * 32,
    founders=5,
    member_invite=b"M" * 32,
    node_invite=b"N" * 32,
    founder_invite=b"I" * 32,
    created_ms=2,
)


@pytest.mark.parametrize("field", GENESIS.__struct_fields__)
def test_the_network_id_covers_every_field(field: str):
    changed = msgspec.structs.replace(GENESIS, **{field: getattr(OTHERS, field)})
    assert network_id(codec.encode(changed)) != network_id(codec.encode(GENESIS))


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_members_fault(data: bytes):
    with pytest.raises(MemberFault):
        parse_genesis(data)


@given(st.data())
def test_a_changed_byte_never_keeps_the_network_id(data: st.DataObject):
    good = codec.encode(GENESIS)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytes([*good[:at], data.draw(st.integers(0, 255)), *good[at + 1 :]])
    try:
        parse_genesis(changed)
    except MemberFault:
        return
    assert (network_id(changed) == network_id(good)) == (changed == good)
