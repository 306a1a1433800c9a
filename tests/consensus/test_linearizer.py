"""Commits: which blocks, in which order, at what ledger time, and what is collected."""

from ccp2p.model import hashing
from ccp2p.model.block import Payload, VerifiedBlock
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import ROOT, Drawing, Observer, in_order, make_block
from tests.consensus.world import COIN

SHALLOW = Parameters(coin_length=COIN.length, gc_depth=10)


def test_commits_count_from_one_and_chain_by_digest() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 8, "ABCD")
    observer = Observer(drawing)
    observer.see_all()
    commits = [one.commit for one in observer.committed]
    assert [commit.index for commit in commits] == list(range(1, len(commits) + 1))
    previous = hashing.ZERO_DIGEST
    for commit in commits:
        assert commit.previous == previous
        previous = commit.digest
    assert observer.core.last_commit == commits[-1]


def test_every_block_is_committed_once_and_ends_with_its_leader() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 10, "ABCD")
    observer = Observer(drawing)
    observer.see_all()
    ordered = " ".join(observer.sequence).split()
    assert len(ordered) == len(set(ordered))
    for one in observer.committed:
        assert one.commit.blocks[-1] == one.commit.leader
        assert tuple(block.reference for block in one.blocks) == one.commit.blocks
        assert [reference.round for reference in one.commit.blocks] == sorted(
            reference.round for reference in one.commit.blocks
        )


def test_the_order_within_a_round_is_keyed_by_the_leader_rounds_coin() -> None:
    sequences = set()
    for secret in (b"one", b"two", b"three", b"four"):
        coin = type(COIN)(64, secret)
        drawing = Drawing(4, coin)
        drawing.full_rounds(1, 6, "ABCD")
        parameters = Parameters(coin_length=64, slots_per_round=1)
        observer = Observer(drawing, parameters)
        observer.see_all()
        sequences.add(observer.sequence[1])
    assert len(sequences) > 1


def test_a_late_block_enters_by_a_weak_link() -> None:
    drawing = Drawing(4)
    drawing.draw("ABCD1:[root]")
    drawing.full_rounds(2, 6, "ABC")
    drawing.draw("A7:[ABC6 D1] BC7:[ABC6]")
    drawing.full_rounds(8, 12, "ABC")
    observer = Observer(drawing)
    observer.see_all()
    with_late = [names.split() for names in observer.sequence if "D1" in names.split()]
    assert len(with_late) == 1
    assert with_late[0][-1] == "A7"


def test_of_two_blocks_of_one_slot_only_one_is_ever_committed() -> None:
    drawing = Drawing(4, in_order("B", "C", "D", "A"))
    drawing.draw("ABCD1:[root] A1':[root] ABD2:[ABD1] C2:[A1' BC1] ABCD3:[ABCD2]")
    drawing.full_rounds(4, 9, "ABCD")
    observer = Observer(drawing)
    observer.see_all()
    ordered = " ".join(observer.sequence).split()
    assert ("A1" in ordered) != ("A1'" in ordered)
    assert "C2" in ordered, "what stands on the other block is still ordered"


def test_the_gc_round_follows_the_last_committed_leader() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 30, "ABCD")
    observer = Observer(drawing, SHALLOW)
    for block in drawing.blocks.values():
        observer.receive((block,))
        last = observer.core.last_commit
        assert observer.core.gc_round == (max(0, last.leader.round - 10) if last else 0)
    assert observer.core.gc_round == 17


def late_by(rounds: int) -> list[str]:
    """What is committed when D1 is first named in the given round, with a gc depth of 10."""
    drawing = Drawing(4)
    drawing.draw("ABCD1:[root]")
    drawing.full_rounds(2, rounds - 1, "ABC")
    below = rounds - 1
    drawing.draw(f"A{rounds}:[ABC{below} D1] BC{rounds}:[ABC{below}]")
    drawing.full_rounds(rounds + 1, rounds + 8, "ABC")
    prompt, tardy = Observer(drawing, SHALLOW), Observer(drawing, SHALLOW)
    prompt.see_all()
    tardy.see_all(but="D1")
    tardy.see("D1")
    shorter = min(len(prompt.sequence), len(tardy.sequence))
    assert prompt.sequence[:shorter] == tardy.sequence[:shorter]
    return " ".join(prompt.sequence).split()


def test_a_block_is_committed_while_it_is_above_the_gc_round_and_never_after() -> None:
    assert "D1" in late_by(11)
    assert "D1" not in late_by(13)


def test_ledger_time_is_the_lower_median_of_the_leaders_parents_and_never_falls() -> None:
    drawing = Drawing(4, in_order("A", round_=2))
    drawing.draw("ABCD1:[root]")
    observer = Observer(drawing)
    blocks = stamped_rounds(drawing, {1: (50, 10, 30, 9_000), 2: (7, 7, 7, 7)})
    observer.receive(tuple(blocks))
    times = {
        (one.commit.leader.round, one.commit.leader.author): one.commit.ledger_time_ms
        for one in observer.committed
    }
    assert times[1, 0] == 0, "a leader of round 1 keeps the time before it"
    assert times[2, 0] == 30, "the lower median of 10, 30, 50 and 9000"
    assert times[3, 0] == 30, "the median of round 2 would be earlier"


def stamped_rounds(drawing: Drawing, stamps: dict[int, tuple[int, ...]]) -> list[VerifiedBlock]:
    """Seven full rounds whose blocks carry the given timestamps, by round and author."""
    made: list[list[VerifiedBlock]] = []
    for round_ in range(1, 8):
        below = [block.reference for block in made[-1]] if made else []
        made.append(
            [
                make_block(
                    author,
                    round_,
                    [below[author], *(one for one in below if one.author != author)]
                    if below
                    else [ROOT],
                    stamps.get(round_, (100 * round_,) * 4)[author],
                    chain=drawing.coin,
                )
                for author in range(4)
            ]
        )
    return [block for blocks in made for block in blocks]


def test_commits_carry_the_payloads_although_memory_lets_go_of_them() -> None:
    drawing = Drawing(4)
    for round_ in range(1, 31):
        below = f"ABCD{round_ - 1}" if round_ > 1 else "root"
        drawing.draw(f"ABCD{round_}:[{below}]", Payload((b"event %d" % round_,)))
    observer = Observer(drawing)
    observer.see_all()
    events = [
        envelope
        for one in observer.committed
        for block in one.blocks
        for envelope in block.payload.envelopes
    ]
    assert len(events) == len(" ".join(observer.sequence).split())
