"""A receipt holds, or it is refused: every field, every bit, and what others could pass off."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from ccp2p.execution.receipts import Receipt, check_history, format_receipt, parse_receipt
from ccp2p.model import codec
from ccp2p.model.epoch import parse_record
from ccp2p.model.errors import MemberFault
from tests.execution.receipt_world import (
    WORLD,
    World,
    certify,
    check,
    failed,
    sign_record,
)

TRUE = WORLD.receipt()
LONG = WORLD.receipt(7, value=b"x" * 2000)
LATER = WORLD.receipt(epoch=1)
LAST = WORLD.receipt_of_close()


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_true_receipt_holds_and_so_does_its_file(number: int, epoch: int):
    receipt = WORLD.receipt(number, epoch)
    verification = check(receipt)
    assert verification.passed, verification.checks
    assert [each.name for each in verification.checks] == [
        "network",
        "epoch records",
        "votes",
        "outcome",
        "event",
        "content",
    ]
    assert parse_receipt(format_receipt(receipt)) == receipt


def alterations(value: object) -> list[object]:
    """Other values of a field's type, near to the true one."""
    match value:
        case bytes():
            flipped = bytes([value[0] ^ 1, *value[1:]]) if value else b"x"
            return [flipped, value + b"x", value[:-1]] if value else [flipped]
        case int():
            return [value + 1, value - 1, -1]
        case str():
            return ["denied"]
        case tuple():
            longer = [(*value, value[0])] if value else [(b"x" * 32,)]
            return [value[1:], value[:-1], *longer] if value else longer
    raise AssertionError(type(value))


PARTS = {
    "": lambda receipt, changed: replace(receipt, **changed),
    "outcome": lambda receipt, changed: replace(
        receipt, outcome=replace(receipt.outcome, **changed)
    ),
    "proof": lambda receipt, changed: replace(receipt, proof=replace(receipt.proof, **changed)),
    "certified": lambda receipt, changed: replace(
        receipt, certified=replace(receipt.certified, **changed)
    ),
    "checkpoint": lambda receipt, changed: replace(
        receipt,
        certified=replace(
            receipt.certified, checkpoint=replace(receipt.certified.checkpoint, **changed)
        ),
    ),
}


def fields(receipt: Receipt) -> list[tuple[str, str, object]]:
    """Every field with values of its own, by part."""
    sources = {
        "": receipt,
        "outcome": receipt.outcome,
        "proof": receipt.proof,
        "certified": receipt.certified,
        "checkpoint": receipt.certified.checkpoint,
    }
    return [
        (part, name, value)
        for part, source in sources.items()
        for name, value in asdict(source).items()
        if not isinstance(value, msgspec.Struct)
    ]


@pytest.mark.parametrize("receipt", [TRUE, LONG, LATER, LAST], ids=["put", "read", "later", "last"])
def test_every_field_is_covered(receipt: Receipt):
    for part, name, value in fields(receipt):
        for altered in alterations(value):
            if (part, name) in (("proof", "index"), ("proof", "count")):
                continue  # how many leaves there are is no part of what a receipt states
            assert failed(PARTS[part](receipt, {name: altered})), (part, name, altered)


def test_an_altered_place_in_the_tree_says_nothing_else():
    for name in ("index", "count"):
        for altered in range(9):
            receipt = replace(TRUE, proof=replace(TRUE.proof, **{name: altered}))
            verification = check(receipt)
            if verification.passed:
                assert verification.checks == check(TRUE).checks


@given(st.data())
@settings(max_examples=400, deadline=None)
@pytest.mark.parametrize("text", [format_receipt(TRUE), format_receipt(LATER)])
def test_a_flipped_bit_is_refused_or_changes_nothing(text: str, data: st.DataObject):
    raw = bytearray(text.encode())
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    try:
        receipt = parse_receipt(raw.decode("utf-8", "replace"))
    except MemberFault:
        return
    if check(receipt).passed:
        original = parse_receipt(text)
        assert replace(receipt, proof=original.proof) == original
        assert check(receipt).checks == check(original).checks


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_flipped_bit_inside_is_refused_or_changes_nothing(data: st.DataObject):
    raw = bytearray(codec.encode(LATER))
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    try:
        receipt = codec.decode_canonical(bytes(raw), Receipt, 1 << 20, MemberFault)
    except MemberFault:
        return
    if check(receipt).passed:
        assert replace(receipt, proof=LATER.proof) == LATER
        assert check(receipt).checks == check(LATER).checks


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "\N{LATIN SMALL LETTER E WITH ACUTE}" * 100,
        format_receipt(TRUE)[:-40],
        format_receipt(TRUE)[40:],
        format_receipt(TRUE).replace("RECEIPT", "TICKET"),
        format_receipt(TRUE).replace("\n", "\n*", 1),
    ],
)
def test_what_is_no_receipt_is_said_to_be_none(text: str):
    with pytest.raises(MemberFault, match="receipt"):
        parse_receipt(text)


def test_a_receipt_of_a_newer_version_is_refused_by_name():
    text = format_receipt(TRUE).replace("aXB0AZnE", "aXB0ApnE")
    assert text != format_receipt(TRUE)
    with pytest.raises(MemberFault) as caught:
        parse_receipt(text)
    assert caught.value.code == "unknown-version"


def test_a_receipt_may_be_indented_and_broken_elsewhere():
    text = "  " + format_receipt(TRUE).replace("\n", "\r\n  ")
    assert parse_receipt(text) == TRUE


def test_another_network_is_refused():
    assert "network" in failed(TRUE, World("elsewhere").network)
    elsewhere = World("elsewhere", 20).receipt()
    assert not failed(elsewhere, World("elsewhere", 20).network)
    assert "network" in failed(elsewhere)
    # The true genesis with everything else of a network of the forger's own.
    assert "epoch records" in failed(replace(elsewhere, genesis=TRUE.genesis))
    assert "votes" in failed(replace(elsewhere, genesis=TRUE.genesis, records=TRUE.records))


def signed_by(signers: list[int], receipt: Receipt = TRUE) -> list[str]:
    certified = certify(receipt.certified.checkpoint, WORLD.founders, signers)
    return failed(replace(receipt, certified=certified))


def test_a_quorum_is_needed_and_more_is_as_good():
    assert signed_by([0, 1]) == ["votes"]
    assert "votes" in signed_by([])
    assert signed_by([1, 2, 3]) == []
    assert signed_by([0, 1, 2, 3]) == []


@pytest.mark.parametrize("signers", [[0, 0, 2], [2, 2, 2], [3, 2, 0]])
def test_a_seat_counts_once_and_in_order(signers: list[int]):
    assert signed_by(signers) == ["votes"]


def test_a_vote_of_nobody_is_refused():
    votes = TRUE.certified.signatures
    for seat in (4, -1, 1 << 40):
        stranger = tuple(sorted([(seat, votes[0][1]), *votes[1:]]))
        certified = replace(TRUE.certified, signatures=stranger)
        assert failed(replace(TRUE, certified=certified)) == ["votes"]


def test_votes_for_another_checkpoint_do_not_count():
    other = replace(TRUE.certified.checkpoint, commit=16)
    votes = certify(other, WORLD.founders, (0, 2, 3)).signatures
    certified = replace(TRUE.certified, signatures=votes)
    assert failed(replace(TRUE, certified=certified)) == ["votes"]


def test_what_the_same_nodes_signed_for_another_network_does_not_count():
    for receipt in (TRUE, WORLD.receipt_of_close()):
        other = replace(receipt.certified.checkpoint, network=b"x" * 32)
        signers = tuple(seat for seat, _ in receipt.certified.signatures)
        certified = certify(other, WORLD.founders, signers)
        assert failed(replace(receipt, certified=certified)) == ["votes"]


def test_a_path_to_another_checkpoint_does_not_count():
    other = replace(TRUE.certified.checkpoint, commit=16)
    certified = certify(other, WORLD.founders, (0, 2, 3))
    assert failed(replace(TRUE, certified=certified)) == ["outcome"]


def test_another_events_outcome_does_not_count():
    other = WORLD.receipt(6)
    assert failed(replace(TRUE, outcome=other.outcome, proof=other.proof)) == ["event"]


def test_an_epochs_own_committee_must_vote():
    certified = certify(LATER.certified.checkpoint, WORLD.founders, (0, 2, 3))
    assert failed(replace(LATER, certified=certified)) == ["votes"]
    assert "epoch records" in failed(replace(LATER, records=LATER.records[:1]))
    assert "epoch records" in failed(replace(LATER, records=LATER.records[1:]))
    certified = certify(TRUE.certified.checkpoint, WORLD.heirs, (0, 2, 3))
    assert failed(replace(TRUE, certified=certified)) == ["votes"]


def test_a_successor_needs_a_quorum_of_its_predecessor():
    record = parse_record(LATER.records[1].record)
    for nodes, signers in ((WORLD.founders, (0, 1)), (WORLD.heirs, (0, 1, 2))):
        forged = sign_record(record, nodes, signers)
        assert "epoch records" in failed(replace(LATER, records=(LATER.records[0], forged)))


def test_the_next_epochs_record_certifies_the_last_checkpoint():
    receipt = WORLD.receipt_of_close()
    assert failed(receipt) == []
    assert parse_receipt(format_receipt(receipt)) == receipt
    elsewhere = replace(receipt.certified.checkpoint, commit=9)
    moved = replace(receipt, records=WORLD.records(1, elsewhere))
    assert failed(moved) == ["votes"]
    assert "epoch records" in failed(replace(receipt, records=receipt.records[:1]))
    assert "epoch records" in failed(replace(receipt, certified=TRUE.certified))
    assert "epoch records" in failed(replace(receipt, records=(*receipt.records, *receipt.records)))


def test_long_content_is_bound_by_its_digest():
    assert not failed(LONG)
    assert failed(replace(LONG, content=b"")) == ["content"]
    assert failed(replace(LONG, content=LONG.content + b"x")) == ["content"]
    assert failed(replace(TRUE, content=b"smuggled")) == ["content"]


def test_a_chain_that_went_on_from_an_earlier_commit_contradicts_a_receipt():
    """Its votes are good for ever; only who knows the chain sees that the commit was lost."""
    verification = check(TRUE)
    assert verification.passed
    check_history(verification, TRUE, WORLD.records(1))
    assert [one.name for one in verification.checks if not one.passed] == ["history"]
    assert "knows nothing of commit 8" in verification.checks[-1].detail


@pytest.mark.parametrize("receipt", [TRUE, LATER, LAST], ids=["votes", "later", "close"])
def test_the_network_s_own_chain_bears_a_receipt_out(receipt: Receipt):
    verification = check(receipt)
    known = LAST.records if receipt is not LATER else LATER.records
    check_history(verification, receipt, known)
    assert verification.passed, verification.checks[-1]


def test_a_receipt_by_other_records_than_the_network_s_is_contradicted():
    verification = check(LAST)
    check_history(verification, LAST, WORLD.records(1))
    assert "other epoch records" in verification.checks[-1].detail
