"""The rules that commit or skip a slot, one drawing for each."""

from ccp2p.consensus.decide import Slot, certified_in, committed, skipped
from ccp2p.consensus.index import History, Index
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import Drawing, Observer, draw, in_order

QUORUM = 3


def commit_name(drawing: Drawing, index: Index, slot: Slot, wave: int) -> str | None:
    vertex = committed(index, slot, wave, QUORUM)
    return drawing.name(vertex.reference) if vertex else None


def test_a_block_that_all_see_at_once_is_committed_after_four_rounds() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 4, "ABCD")
    index = drawing.index()
    assert commit_name(drawing, index, Slot(1, 0), 4) == "A1"
    assert commit_name(drawing, index, Slot(1, 0), 5) is None
    assert commit_name(drawing, drawing.index((5,)), Slot(1, 0), 5) is None


def test_two_certificates_are_not_enough_and_three_are() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 4, "ABCD")
    rounds = "ABCD1 ABCD2 ABCD3"
    assert commit_name(drawing, drawing.index(only=f"{rounds} AB4"), Slot(1, 0), 4) is None
    assert commit_name(drawing, drawing.index(only=f"{rounds} BCD4"), Slot(1, 0), 4) == "A1"


SLOW = "ABCD1:[root] A2:[ABC1] BCD2:[BCD1] A3:[ABC2] BCD3:[BCD2] ABCD4:[ABC3] ABCD5:[ABCD4]"


def test_a_block_that_one_other_round_carries_late_is_committed_after_five_rounds() -> None:
    drawing = draw(SLOW)
    index = drawing.index()
    assert commit_name(drawing, index, Slot(1, 0), 4) is None
    assert commit_name(drawing, index, Slot(1, 0), 5) == "A1"


def test_a_quorum_against_a_block_two_rounds_later_does_not_skip_it() -> None:
    drawing = draw(SLOW)
    assert not skipped(drawing.index(only="ABCD1 ABCD2 ABCD3"), Slot(1, 0), QUORUM)
    assert not skipped(drawing.index(), Slot(1, 0), QUORUM)


def test_a_silent_author_is_skipped_by_a_quorum_three_rounds_later() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 4, "BCD")
    assert skipped(drawing.index(), Slot(1, 0), QUORUM)
    assert not skipped(drawing.index(only="BCD1 BCD2 BCD3 BC4"), Slot(1, 0), QUORUM)
    assert not skipped(drawing.index(only="BCD1 BCD2 BCD3"), Slot(1, 0), QUORUM)


def test_a_block_that_nobody_names_is_skipped_although_it_is_known() -> None:
    drawing = draw("ABCD1:[root] BCD2:[BCD1] BCD3:[BCD2] BCD4:[BCD3]")
    assert skipped(drawing.index(), Slot(1, 0), QUORUM)


EQUIVOCATION = (
    "ABCD1:[root] A1':[root] ABD2:[ABD1] C2:[A1' BC1] ABCD3:[ABCD2] ABCD4:[ABCD3] ABCD5:[ABCD4]"
)


def test_a_refused_twin_does_not_skip_the_slot_of_a_supported_block() -> None:
    drawing = draw(EQUIVOCATION)
    index = drawing.index()
    assert not skipped(index, Slot(1, 0), QUORUM)
    assert commit_name(drawing, index, Slot(1, 0), 4) == "A1"


def test_an_author_that_equivocates_among_the_certificates_counts_once() -> None:
    drawing = draw("ABCD1:[root] ABCD2:[ABCD1] ABCD3:[ABCD2] AB4:[ABCD3] A4':[ABCD3]")
    assert commit_name(drawing, drawing.index(), Slot(1, 0), 4) is None


def test_an_author_that_equivocates_among_the_refusals_counts_once() -> None:
    drawing = draw("BCD1:[root] BCD2:[BCD1] BCD3:[BCD2] BC4:[BCD3] B4':[BCD3]")
    assert not skipped(drawing.index(), Slot(1, 0), QUORUM)


def test_the_own_last_block_is_walked_first() -> None:
    drawing = draw(EQUIVOCATION)
    index = drawing.index()
    supported = drawing.vertex(index, "C4").supports[2][0]
    assert supported is drawing.vertex(index, "A1'")
    assert drawing.vertex(index, "D4").supports[2][0] is drawing.vertex(index, "A1")


def test_later_parents_are_walked_in_their_signed_order() -> None:
    twins = "ABCD1:[root] A1':[root] B2:[ABC1] C2:[A1' BC1] D2:[BCD1]"
    first_b = draw(twins + " D3:[D2 B2 C2]")
    first_c = draw(twins + " D3:[D2 C2 B2]")
    index_b, index_c = first_b.index(), first_c.index()
    assert first_b.vertex(index_b, "D3").supports[1][0] is first_b.vertex(index_b, "A1")
    assert first_c.vertex(index_c, "D3").supports[1][0] is first_c.vertex(index_c, "A1'")


def test_votes_of_older_parents_make_no_certificate() -> None:
    drawing = draw(
        "ABCD1:[root] A1':[root] ABC2:[ABC1] D2:[A1' CD1] ABC3:[ABC2] D3:[BCD2] "
        "BCD4:[BCD3] B5:[BCD4 A3] A4:[ABC3] C5:[ABC4]"
    )
    index = drawing.index()
    voter = drawing.vertex(index, "A3")
    assert voter.supports[1][0] is drawing.vertex(index, "A1")
    assert drawing.vertex(index, "B5").certificates[5][0] is None
    assert drawing.vertex(index, "C5").certificates[5][0] is drawing.vertex(index, "A1")


WITHHELD = (
    "ABCD1:[root] D1':[root] AB2:[ABD1] C2:[BC1 D1'] D2:[ABD1] ABC3:[ABC2] D3:[ABD2] "
    "ABD4:[ABD3] C4:[ABC3] ABC5:[ABC4]"
)


def test_an_early_certificate_decides_for_those_who_lack_a_withheld_block() -> None:
    coin = in_order("D", "A", "B", "C")
    drawing = Drawing(4, coin)
    drawing.draw(WITHHELD)
    drawing.full_rounds(6, 12, "ABC")
    saw_all, lacked_one = Observer(drawing), Observer(drawing)
    saw_all.see_all()
    lacked_one.see_all(but="D4")
    assert saw_all.leaders[0] == "D1"
    assert lacked_one.leaders == saw_all.leaders
    index = drawing.index(only="".join(name for name in drawing.blocks if name != "D4"))
    assert committed(index, Slot(1, 3), 4, QUORUM) is None
    anchor = drawing.vertex(index, "A6")
    assert certified_in(History(anchor), Slot(1, 3), (4, 5)) is drawing.vertex(index, "D1")
    assert certified_in(History(anchor), Slot(1, 3), (5,)) is None


SPLIT = (
    "ABCD1:[root] A1':[root] AB2:[ABC1] CD2:[A1' CD1] AB3:[ABC2] CD3:[BCD2] AB4:[ABC3] CD4:[BCD3] "
)


def test_an_undecided_slot_blocks_what_comes_after_it_until_an_anchor_skips_it() -> None:
    coin = in_order("B", "A")
    drawing = Drawing(4, coin)
    drawing.draw(SPLIT)
    drawing.full_rounds(5, 9, "ABCD")
    observer = Observer(drawing)
    for number in range(1, 9):
        observer.see(f"ABCD{number}" + (" A1'" if number == 1 else ""))
    assert observer.leaders == ["B1"], "the slot of A is split and nothing may pass it"
    index = drawing.index()
    assert committed(index, Slot(3, 2), 4, QUORUM), "others are decided behind it"
    observer.see("ABCD9")
    assert observer.leaders[1] in ("C1", "D1")
    assert not any(name.startswith("A1") for name in observer.leaders)
    assert "A1" in " ".join(observer.sequence), "a skipped slot's block is still ordered"


def test_slots_of_a_round_come_in_the_order_of_its_coin() -> None:
    for order in (("A", "B", "C", "D"), ("C", "A", "D", "B")):
        drawing = Drawing(4, in_order(*order))
        drawing.full_rounds(1, 5, "ABCD")
        observer = Observer(drawing)
        observer.see_all()
        assert observer.leaders[:4] == [f"{letter}1" for letter in order]


def test_plain_waves_commit_a_round_later() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 5, "ABCD")
    early = Observer(drawing)
    plain = Observer(drawing, Parameters(coin_length=drawing.coin.length, commit_waves=(5,)))
    for observer in (early, plain):
        observer.see("ABCD1 ABCD2 ABCD3 ABCD4")
    assert len(early.leaders) == 4
    assert plain.leaders == []
    plain.see("ABCD5")
    assert plain.leaders == early.leaders


def test_fewer_slots_a_round_give_fewer_leaders_and_the_same_blocks() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 8, "ABCD")
    observer = Observer(drawing, Parameters(coin_length=drawing.coin.length, slots_per_round=1))
    observer.see_all()
    assert len(observer.leaders) == 5
    ordered = " ".join(observer.sequence).split()
    assert sorted(name for name in ordered if name[1] in "1234") == sorted(
        name for name in drawing.blocks if name[1] in "1234"
    )


def test_a_later_coin_commits_nothing_before_it_may_be_released() -> None:
    drawing = Drawing(4)
    parameters = Parameters(coin_length=drawing.coin.length, coin_delay=4)
    observer = Observer(drawing, parameters)
    drawing.full_rounds(1, 4, "ABCD")
    observer.see_all()
    assert observer.leaders == []
