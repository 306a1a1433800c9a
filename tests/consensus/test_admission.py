"""What enters the DAG, what waits, what is refused and who is blamed."""

import pytest

from ccp2p.consensus.messages import Fetch
from ccp2p.model import limits
from ccp2p.model.block import BlockReference
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import ROOT, Drawing, Observer, draw, draw_stale_name, make_block
from tests.consensus.world import COIN

ROUNDS = "ABCD1:[root] ABCD2:[ABCD1] ABCD3:[ABCD2]"


def names(drawing: Drawing, output) -> str:
    return drawing.names(block.reference for block in output.persist)


def test_a_missing_parent_suspends_a_block_and_is_asked_of_its_sender() -> None:
    drawing = draw(ROUNDS)
    observer = Observer(drawing)
    observer.see("ABC1")
    output = observer.see("A2", sender=2)
    assert names(drawing, output) == ""
    assert output.fetch == (Fetch(2, (drawing["D1"].reference,)),)
    assert (observer.core.suspended, observer.core.missing) == (1, 1)
    output = observer.see("D1", sender=2, solicited=True)
    assert names(drawing, output) == "D1 A2"
    assert (observer.core.suspended, observer.core.missing) == (0, 0)


def test_blocks_in_any_order_are_admitted_parents_first() -> None:
    drawing = draw(ROUNDS)
    observer = Observer(drawing)
    output = observer.see("DCBA3 DCBA2 DCBA1")
    admitted = names(drawing, output).split()
    assert sorted(admitted) == sorted(drawing.blocks)
    for name in admitted:
        for parent in drawing[name].header.parents:
            if parent != ROOT:
                assert admitted.index(drawing.name(parent)) < admitted.index(name)


def test_a_parent_that_is_suspended_itself_is_not_asked_for() -> None:
    drawing = draw(ROUNDS)
    observer = Observer(drawing)
    observer.see("ABC1")
    observer.see("A2 B2 C2 D2", sender=1)
    output = observer.see("A3", sender=1)
    assert output.fetch == ()
    assert observer.core.missing == 1


def test_a_block_seen_twice_is_admitted_once() -> None:
    drawing = draw(ROUNDS)
    observer = Observer(drawing)
    assert names(drawing, observer.see("A1")) == "A1"
    assert names(drawing, observer.see("A1 A1")) == ""


def test_a_wrong_coin_is_blamed_on_its_author() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 4, "ABCD")
    observer = Observer(drawing)
    observer.see_all()
    parents = [drawing[name].reference for name in ("B4", "A4", "C4", "D4")]
    wrong = make_block(1, 5, parents, coin=bytes(32))
    output = observer.receive((wrong,), sender=3)
    assert [(author, fault.code) for author, fault in output.faults] == [(1, "coin")]
    assert output.persist == ()
    right = make_block(1, 5, parents)
    assert observer.receive((right,), sender=3).persist == (right,)


def test_a_reference_that_misnames_a_block_is_to_one_that_nobody_made() -> None:
    drawing = draw(ROUNDS)
    digest = drawing["D1"].reference.digest
    for wrong in (BlockReference(1, 2, digest), BlockReference(2, 3, digest)):
        honest = [drawing[name].reference for name in ("A2", "B2", "C2")]
        others = [one for one in honest if one.author != wrong.author]
        liar = make_block(0, 3, [*others, wrong], 77)
        present, absent = Observer(drawing), Observer(drawing)
        present.see("ABCD1 ABCD2")
        output = present.receive((liar,), sender=1)
        assert output.fetch == (Fetch(1, (wrong,)),)
        absent.see("ABC1")
        absent.receive((liar,), sender=1)
        absent.see("ABCD2")
        absent.see("D1")
        for observer in (present, absent):
            assert not observer.core.is_admitted(liar.reference)
            assert (observer.core.suspended, observer.core.missing) == (1, 1)


def test_nodes_agree_on_a_misnamed_block_whenever_it_came() -> None:
    """Its false name is below the gc round; what it means came before it, after it, or never."""
    drawing = draw_stale_name()
    drawing.full_rounds(25, 25, "ABC")
    drawing.draw("ABC26:[ABC25 D25]")
    drawing.full_rounds(27, 34, "ABC")
    before, after, never = (
        Observer(drawing, Parameters(coin_length=COIN.length, gc_depth=10)) for _ in range(3)
    )
    for observer in (before, after, never):
        observer.see_all(but="D23 ABCD25 ABC26 " + " ".join(f"ABC{at}" for at in range(27, 35)))
        assert observer.core.gc_round > 2
    before.see("D23 ABCD25 ABC26")
    after.see("ABCD25 ABC26 D23")
    never.see("ABCD25 ABC26")
    for observer in (before, after, never):
        assert observer.core.is_admitted(drawing["A26"].reference)
        observer.see(" ".join(f"ABC{at}" for at in range(27, 35)))
    assert before.sequence == after.sequence == never.sequence
    assert "D25" in " ".join(never.sequence)
    assert "D23" not in " ".join(before.sequence)


def test_two_blocks_of_a_slot_are_evidence_once_an_author() -> None:
    drawing = draw("ABCD1:[root] C1':[root] ABCD2:[ABCD1] C2':[ABCD1]")
    observer = Observer(drawing)
    assert observer.see("ABC1").evidence == ()
    (proof,) = observer.see("C1'").evidence
    assert (proof.author, proof.round) == (2, 1)
    for header, name in ((proof.first, "C1"), (proof.second, "C1'")):
        assert header.header == drawing[name].header_bytes
        assert header.signature == drawing[name].signature
    observer.see("ABD1 C2")
    assert observer.see("C2'").evidence == ()


def test_a_suspended_block_is_evidence_too() -> None:
    drawing = draw("ABCD1:[root] ABCD2:[ABCD1] C2':[BCD1]")
    observer = Observer(drawing)
    observer.see("C2")
    assert len(observer.see("C2'").evidence) == 1


def test_a_third_block_of_a_slot_is_taken_only_as_an_ancestor() -> None:
    drawing = draw("ABCD1:[root] C1':[root] C1'':[root] A2:[A1 C1'' D1]")
    observer = Observer(drawing)
    observer.see("ABCD1 C1'")
    assert observer.see("C1''").persist == ()
    output = observer.see("A2", sender=1)
    assert output.fetch == (Fetch(1, (drawing["C1''"].reference,)),)
    output = observer.see("C1''", sender=1, solicited=True)
    assert names(drawing, output) == "C1'' A2"


def test_blocks_at_or_below_the_gc_round_are_ignored() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 30, "ABCD")
    drawing.draw("A2':[ABC1]")
    observer = Observer(drawing, Parameters(coin_length=COIN.length, gc_depth=10))
    observer.see_all(but="A2'")
    output = observer.see("A2' A1")
    assert (output.persist, output.evidence, output.fetch) == ((), (), ())
    assert observer.core.is_admitted(drawing["A1"].reference)


def test_what_waited_only_for_collected_ancestors_is_admitted() -> None:
    drawing = Drawing(4)
    drawing.draw("ABCD1:[root] ABC2:[ABC1] D2:[ABCD1]")
    drawing.full_rounds(3, 30, "ABC")
    drawing.draw("D3:[D2 ABC2]")
    parents = [drawing[name].reference for name in ("D3", "A9", "B9", "C9")]
    waiting = make_block(3, 10, parents)
    observer = Observer(drawing, Parameters(coin_length=COIN.length, gc_depth=10))
    admitted_at = None
    for number in range(1, 31):
        outputs = [observer.see(f"ABC{number}")]
        if number == 10:
            outputs.append(observer.receive((waiting,), sender=1))
            assert observer.core.missing == 1
        if any(waiting in output.persist for output in outputs):
            admitted_at = observer.core.gc_round
    assert admitted_at == 3
    assert observer.core.missing == 0


def test_suspended_blocks_are_bounded_author_by_author() -> None:
    observer = Observer(Drawing(4))
    share = limits.MAX_SUSPENDED_BLOCKS // 4
    unknown = [BlockReference(4, author, bytes(32)) for author in range(4)]
    honest = make_block(1, 5, [unknown[1], unknown[0], unknown[2]])
    observer.receive((honest,))
    for number in range(share + 50):
        parents = [
            BlockReference(number + 5, author, number.to_bytes(32, "big")) for author in (0, 1, 2)
        ]
        observer.receive((make_block(0, number + 6, parents),))
    assert observer.core.suspended == share + 1
    assert observer.core.missing <= 3 * share + 3


def test_a_flood_of_far_blocks_leaves_no_more_behind_than_may_wait() -> None:
    """A seat answers a fetch with blocks of its own, of rounds that nobody comes to."""
    observer = Observer(Drawing(4))
    share = limits.MAX_SUSPENDED_BLOCKS // 4
    for round_ in range(1 << 40, (1 << 40) + share + 200):
        parents = [BlockReference(round_ - 1, author, bytes(32)) for author in (3, 0, 1)]
        observer.receive((make_block(3, round_, parents),), 3, True)
    assert observer.core.suspended == share
    assert len(observer.core._dag._slots) == share


@pytest.mark.parametrize("is_solicited", [False, True])
def test_a_live_block_far_ahead_is_not_kept_but_shows_that_we_are_behind(
    is_solicited: bool,
) -> None:
    observer = Observer(Drawing(4))
    round_ = limits.MAX_ROUNDS_AHEAD + 2
    parents = [BlockReference(round_ - 1, author, bytes(32)) for author in (2, 0, 1)]
    output = observer.receive((make_block(2, round_, parents),), 2, is_solicited)
    assert observer.core.suspended == is_solicited
    if not is_solicited:
        assert output.fetch == (Fetch(2, (), (0, 0, 0, 0)),)


def test_an_author_that_fell_silent_is_remembered_by_its_last_round() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 3, "ABCD")
    drawing.full_rounds(4, 40, "ABC")
    observer = Observer(drawing, Parameters(coin_length=COIN.length, gc_depth=10))
    observer.see_all()
    assert observer.core.newest_by_author[3] is None, "its blocks are long collected"
    assert observer.core.last_rounds == [40, 40, 40, 3]
