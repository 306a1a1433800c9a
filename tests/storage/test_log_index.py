"""The log index beside a plain list of what is in it."""

import threading
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ccp2p.model.block import BlockReference
from ccp2p.storage.log_index import Entry, LogIndex

EPOCHS, AUTHORS, ROUNDS = 3, 3, 12
references = st.builds(
    BlockReference,
    st.integers(0, ROUNDS),
    st.integers(0, AUTHORS - 1),
    st.sampled_from([bytes([number]) * 32 for number in range(4)]),
)
any_integer = st.integers(-(2**63), 2**64 - 1)


def reference(round_: int, digest: int = 0) -> BlockReference:
    return BlockReference(round_, 0, bytes([digest]) * 32)


class Comparison(RuleBasedStateMachine):
    """Both are told the same; now and then each question is asked of both."""

    def __init__(self) -> None:
        super().__init__()
        self.index = LogIndex()
        self.model: list[Entry] = []

    @rule(blocks=st.lists(references, max_size=6), epoch=st.integers(0, EPOCHS - 1))
    def add(self, blocks: list[BlockReference], epoch: int) -> None:
        held = {each for each, _, _ in self.model}
        entries = self.index.number(blocks, epoch)
        assert [each for each, _, _ in entries] == [
            each for each in dict.fromkeys(blocks) if each not in held
        ]
        self.index.add(entries)
        self.model += entries

    @rule(epoch=st.integers(0, EPOCHS), round_=any_integer | st.integers(0, ROUNDS))
    def prune(self, epoch: int, round_: int) -> None:
        old = [e for e in self.model if e[1] < epoch or (e[1] == epoch and e[0].round < round_)]
        assert sorted(self.index.below(epoch, round_, len(old) + 1)) == sorted(old)
        gone = self.index.below(epoch, round_, 3)
        assert set(gone) <= set(old)
        assert len(gone) == min(3, len(old))
        self.index.remove(gone)
        self.model = [each for each in self.model if each not in gone]

    @rule(data=st.data())
    def remove_and_put_back(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(self.model), unique=True)) if self.model else []
        self.index.remove(some)
        assert not any(each in self.index for each, _, _ in some)
        self.index.add(some)

    @rule(epoch=st.integers(0, EPOCHS), rounds=st.lists(any_integer | st.integers(0, ROUNDS)))
    def above(self, epoch: int, rounds: list[int]) -> None:
        newest = [*rounds, *[0] * AUTHORS]
        newer = [e for e in self.model if e[1] == epoch and e[0].round > newest[e[0].author]]
        by_round = sorted(newer, key=lambda entry: (entry[0].round, entry[2]))
        assert list(self.index.above(epoch, rounds)) == by_round

    @rule(wanted=references | st.builds(BlockReference, any_integer, any_integer, st.binary()))
    def find(self, wanted: BlockReference) -> None:
        held = {each[0]: each for each in self.model}
        assert self.index.find(wanted) == held.get(wanted)
        assert (wanted in self.index) == (wanted in held)

    @invariant()
    def agree(self) -> None:
        for epoch in range(EPOCHS):
            admitted = [each for each in self.model if each[1] == epoch]
            assert self.index.of_epoch(epoch) == sorted(admitted, key=lambda entry: entry[2])


TestComparison = Comparison.TestCase
TestComparison.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)


@given(st.integers(1, 1000))
@settings(max_examples=20, deadline=None)
def test_long_chains_are_read_to_their_end(first: int) -> None:
    index = LogIndex()
    three_a_round = [reference(round_, digest) for round_ in range(1, 1001) for digest in range(3)]
    index.add(index.number(three_a_round, 0))
    assert [each for each, _, _ in index.above(0, [first])] == three_a_round[3 * first :]


def test_a_reader_keeps_its_place_while_others_prune() -> None:
    index = LogIndex()
    index.add((reference(round_), 0, round_) for round_ in range(1, 2001))
    seen = []
    for each, _, _ in index.above(0, [500]):
        seen.append(each.round)
        if len(seen) == 10:
            index.remove(index.below(0, 400, 1000))
    assert seen == list(range(501, 2001))


def test_an_answer_has_nothing_that_came_after_the_question() -> None:
    # Whoever asked may look at the disk as it was then.
    index = LogIndex()
    index.add([(reference(1), 0, 0)])
    answer = index.above(0, [])
    index.add([(reference(2), 0, 1), (reference(1, digest=1), 0, 2)])
    assert [sequence for _, _, sequence in answer] == [0]


def test_threads_may_ask_while_one_writes() -> None:
    index = LogIndex()
    faults: list[BaseException] = []
    is_over = threading.Event()

    def ask() -> None:
        try:
            while not is_over.is_set():
                rounds = [each.round for each, _, _ in index.above(0, [])]
                assert rounds == sorted(set(rounds))
                index.find(reference(1))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(1, 3001):
        index.add([(reference(round_), 0, round_)])
        if round_ % 50 == 0:
            index.remove(index.below(0, round_ - 200, 1000))
    is_over.set()
    for thread in threads:
        thread.join()
    assert not faults


def test_a_block_takes_little_memory() -> None:
    index = LogIndex()
    tracemalloc.start()
    try:
        index.add((reference(round_), 0, round_) for round_ in range(1, 10_001))
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 64 * 10_000
