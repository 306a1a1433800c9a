"""A block that breaks any one rule is refused by that rule's name, and only then."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.consensus.validity import Rules, check_block
from ccp2p.model import limits
from ccp2p.model.block import Block, BlockReference, Payload
from ccp2p.model.errors import PeerFault
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import ROOT, draw, make_block
from tests.consensus.world import COIN, NETWORK, committee_of

RULES = Rules.of(NETWORK, committee_of(4), Parameters(coin_length=COIN.length))
FULL = draw("ABCD1:[root] ABCD2:[ABCD1] ABCD3:[ABCD2] ABCD4:[ABCD3] ABCD5:[ABCD4]")


def reference(name: str) -> BlockReference:
    return FULL[name].reference


def references(*names: str) -> tuple[BlockReference, ...]:
    return tuple(map(reference, names))


def refusal(block: Block, rules: Rules = RULES) -> str | None:
    try:
        check_block(block, rules)
    except PeerFault as fault:
        return fault.code
    return None


@pytest.mark.parametrize("name", FULL.blocks)
def test_blocks_that_follow_the_rules_are_valid_after_a_round_trip(name: str) -> None:
    check_block(Block.parse(FULL[name].to_bytes()), RULES)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"network": bytes(32)}, "network"),
        ({"epoch": 1}, "early-epoch"),
        ({"epoch": -1}, "past-epoch"),
        ({"author": 4}, "author"),
        ({"author": -1}, "author"),
        ({"timestamp_ms": -1}, "timestamp"),
        ({"timestamp_ms": limits.MAX_TIMESTAMP_MS + 1}, "timestamp"),
        ({"coin": bytes(32)}, "coin"),
    ],
)
def test_each_wrong_header_field_is_named(changes: dict, code: str) -> None:
    assert refusal(make_block(0, 2, references("A1", "B1", "C1"), **changes)) == code


def test_a_round_below_one_is_refused() -> None:
    assert refusal(make_block(0, 0, (ROOT,))) == "round"


def test_a_signature_of_another_size_is_refused() -> None:
    assert refusal(replace(FULL["A2"], signature=bytes(63))) == "signature"


OTHER_ROOT = BlockReference(0, 0, bytes(32))
PARENTS = {
    "no parents": (0, 2, (), "parents"),
    "more parents than authors": (0, 2, references("A1", "B1", "C1", "D1", "A1"), "parents"),
    "a first block with a block as parent": (0, 1, references("A1"), "parents"),
    "a first block with more than the root": (0, 1, (ROOT, ROOT), "parents"),
    "a first block on another root": (0, 1, (OTHER_ROOT,), "parents"),
    "another author's block first": (0, 2, references("B1", "A1", "C1"), "parent-0"),
    "another root first": (0, 2, (OTHER_ROOT, *references("B1", "C1", "D1")), "parent-0"),
    "the own block twice": (0, 3, references("A2", "A1", "B2", "C2"), "parents"),
    "two parents by one author": (0, 3, references("A2", "B2", "B1", "C2"), "parents"),
    "the root as a later parent": (1, 2, (*references("B1", "C1", "D1"), ROOT), "parents"),
    "a parent of the same round": (0, 2, references("A1", "B1", "C1", "D2"), "parents"),
    "a parent of a later round": (0, 2, references("A1", "B1", "C1", "D3"), "parents"),
    "an own parent of the same round": (0, 2, references("A2", "B1", "C1", "D1"), "parents"),
    "a parent by an unknown author": (
        0,
        2,
        (*references("A1", "B1", "C1"), BlockReference(1, 4, bytes(32))),
        "parents",
    ),
    "a digest of another size": (
        0,
        2,
        (*references("A1", "B1", "C1"), BlockReference(1, 3, bytes(31))),
        "parents",
    ),
    "no quorum in the round before": (0, 3, references("A2", "B2", "C1", "D1"), "quorum"),
    "the root counted into a quorum": (3, 2, (ROOT, *references("A1", "B1")), "quorum"),
}


@pytest.mark.parametrize("case", PARENTS)
def test_each_wrong_choice_of_parents_is_refused(case: str) -> None:
    author, round_, parents, code = PARENTS[case]
    assert refusal(make_block(author, round_, parents)) == code


def test_an_author_without_a_block_starts_late_from_the_root() -> None:
    assert refusal(make_block(3, 3, (ROOT, *references("A2", "B2", "C2")))) is None


def test_old_parents_are_allowed_beside_the_quorum() -> None:
    assert refusal(make_block(0, 5, references("A4", "B4", "C4", "D1"))) is None
    assert refusal(make_block(0, 5, references("A2", "B4", "C4", "D4"))) is None


@pytest.mark.parametrize(("round_", "is_carried"), [(4, False), (5, True), (6, True)])
def test_the_coin_is_carried_from_round_five_on(round_: int, is_carried: bool) -> None:
    parents = tuple(BlockReference(round_ - 1, author, bytes(32)) for author in range(4))
    assert refusal(make_block(0, round_, parents)) is None
    wrong = b"" if is_carried else bytes(32)
    assert refusal(make_block(0, round_, parents, coin=wrong)) == "coin"


def test_past_the_end_of_the_chain_no_coin_is_carried() -> None:
    rules = Rules.of(NETWORK, committee_of(4), Parameters(coin_length=256))
    for round_, coin in ((260, bytes(32)), (261, b"")):
        parents = tuple(BlockReference(round_ - 1, author, bytes(32)) for author in range(4))
        assert refusal(make_block(0, round_, parents, coin=coin), rules) is None
        wrong = b"" if coin else bytes(32)
        assert refusal(make_block(0, round_, parents, coin=wrong), rules) == "coin"


def test_a_later_coin_starts_a_round_later() -> None:
    rules = Rules.of(NETWORK, committee_of(4), Parameters(coin_length=COIN.length, coin_delay=4))
    assert refusal(make_block(0, 5, references("A4", "B4", "C4"), delay=4), rules) is None
    assert refusal(make_block(0, 5, references("A4", "B4", "C4")), rules) == "coin"


@pytest.mark.parametrize(
    "payload",
    [
        Payload(envelopes=(b"",) * (limits.MAX_ENVELOPES_PER_BLOCK + 1)),
        Payload(envelopes=(bytes(limits.MAX_ENVELOPE_BYTES + 1),)),
        Payload(votes=(b"",) * (limits.MAX_VOTES_PER_BLOCK + 1)),
        Payload(membership=(b"",) * (limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK + 1)),
    ],
    ids=("many envelopes", "a large envelope", "many votes", "many membership events"),
)
def test_an_overfull_payload_is_refused(payload: Payload) -> None:
    assert refusal(make_block(0, 1, (ROOT,), content=payload)) == "payload"


def test_a_network_of_one_needs_only_its_own_parent() -> None:
    rules = Rules.of(NETWORK, committee_of(1), Parameters(coin_length=COIN.length))
    assert refusal(make_block(0, 2, references("A1")), rules) is None


_REFERENCES = st.builds(
    BlockReference,
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-(2**63), 2**64 - 1),
    st.binary(max_size=40),
)


@given(
    round_=st.integers(-(2**63), 2**64 - 1),
    author=st.integers(-(2**63), 2**64 - 1),
    epoch=st.integers(-(2**63), 2**64 - 1),
    timestamp_ms=st.integers(-(2**63), 2**64 - 1),
    parents=st.lists(_REFERENCES, max_size=6),
    coin=st.binary(max_size=40),
)
def test_nothing_but_a_peer_fault_comes_of_any_header(
    round_: int,
    author: int,
    epoch: int,
    timestamp_ms: int,
    parents: list[BlockReference],
    coin: bytes,
) -> None:
    block = make_block(
        0,
        1,
        parents,
        round=round_,
        author=author,
        epoch=epoch,
        timestamp_ms=timestamp_ms,
        coin=coin,
    )
    refusal(block)
