"""What every store does, in memory and on disk."""

import hashlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccp2p.model import limits
from ccp2p.model.block import BlockReference
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Batch, Store


def reference(round: int, author: int = 0, fork: int = 0) -> BlockReference:
    digest = hashlib.sha256(f"{round}/{author}/{fork}".encode()).digest()
    return BlockReference(round, author, digest)


def block(round: int, author: int = 0, size: int = 100) -> tuple[BlockReference, bytes]:
    return reference(round, author), f"block {round} of {author} ".encode().ljust(size, b".")


def test_an_empty_store_holds_nothing(store: Store):
    assert list(store.blocks(0)) == []
    assert store.block(reference(1)) is None
    assert list(store.blocks_above(0, [])) == []
    assert store.commit(0, 1) is None
    assert list(store.commits(0, 0, 1000)) == []
    assert store.newest_commit(0) == 0
    assert store.bucket(7) is None
    assert list(store.buckets()) == []
    assert store.meta("position") is None
    assert store.prune(5, 1000, 1000) == 0


def test_a_batch_is_read_back_whole(store: Store):
    store.write(
        Batch(
            3,
            blocks=[block(1), block(2)],
            commits=[(1, b"first"), (2, b"second")],
            buckets={0: b"zero", 65_535: b"last"},
            meta={"root": b"r", "": b"unnamed", "empty": b""},
        )
    )
    assert [data for _, data in store.blocks(3)] == [block(1)[1], block(2)[1]]
    assert store.block(reference(2)) == block(2)[1]
    assert (store.commit(3, 1), store.commit(3, 2)) == (b"first", b"second")
    assert dict(store.buckets()) == {0: b"zero", 65_535: b"last"}
    assert (store.bucket(0), store.bucket(1)) == (b"zero", None)
    assert (store.meta("root"), store.meta(""), store.meta("empty")) == (b"r", b"unnamed", b"")


def test_the_log_keeps_admission_order_over_batches_and_skips_what_it_has(store: Store):
    store.write(Batch(0, blocks=[block(5), block(3)]))
    store.write(Batch(0, blocks=[block(4), block(5), block(4)]))
    numbered = list(store.blocks(0))
    assert [data for _, data in numbered] == [block(5)[1], block(3)[1], block(4)[1]]
    numbers = [number for number, _ in numbered]
    assert numbers == sorted(set(numbers))


def test_epochs_do_not_mix(store: Store):
    for epoch in (1, 2):
        commits = [(index, b"%d/%d" % (epoch, index)) for index in range(1, 4 + epoch)]
        blocks = [(reference(1, 0, epoch), b"block of %d" % epoch)]
        store.write(Batch(epoch, blocks=blocks, commits=commits))
    assert [data for _, data in store.blocks(1)] == [b"block of 1"]
    assert list(store.blocks_above(2, [])) == [b"block of 2"]
    assert [store.newest_commit(epoch) for epoch in range(4)] == [0, 4, 5, 0]
    assert list(store.commits(1, 2, 3)) == [(2, b"1/2"), (3, b"1/3")]
    assert [index for index, _ in store.commits(2, 0, 99)] == [1, 2, 3, 4, 5]


def test_a_bucket_is_replaced_and_deleted(store: Store):
    store.write(Batch(0, buckets={1: b"old", 2: b"stays"}))
    store.write(Batch(0, buckets={1: b"new"}))
    assert store.bucket(1) == b"new"
    store.write(Batch(0, buckets={1: b"", 3: b""}))
    assert store.bucket(1) is None
    assert dict(store.buckets()) == {2: b"stays"}


def test_what_replaces_all_leaves_metadata_alone(store: Store):
    for epoch in range(3):
        store.write(Batch(epoch, [block(r) for r in range(1, 5)], [(1, b"old")], {epoch: b"old"}))
    store.write(Batch(0, meta={"kept": b"m", "changed": b"old"}))
    fresh = Batch(
        *(1, [block(2), block(9)], [(7, b"new")], {1: b"new", 300: b"new"}),
        meta={"changed": b"new"},
        replaces=True,
    )
    for _ in range(2):
        store.write(fresh)
        assert [list(store.blocks(epoch)) for epoch in (0, 2)] == [[], []]
        assert [data for _, data in store.blocks(1)] == [block(2)[1], block(9)[1]]
        assert (store.block(reference(2)), store.block(reference(1))) == (block(2)[1], None)
        assert [store.newest_commit(epoch) for epoch in range(3)] == [0, 7, 0]
        assert list(store.commits(1, 0, 99)) == [(7, b"new")]
        assert dict(store.buckets()) == {1: b"new", 300: b"new"}
        assert (store.meta("kept"), store.meta("changed")) == (b"m", b"new")
    store.write(Batch(1, [block(10), block(9)], [(8, b"next")], {1: b"", 2: b"next"}))
    assert [data for _, data in store.blocks(1)] == [block(r)[1] for r in (2, 9, 10)]
    assert dict(store.buckets()) == {300: b"new", 2: b"next"}


def test_a_late_peer_gets_what_it_lacks(store: Store):
    store.write(Batch(0, blocks=[block(r, a) for r in range(1, 6) for a in range(3)]))
    store.write(Batch(0, blocks=[(reference(2, 2, 1), b"late twin"), block(1, 3)]))
    lacking = list(store.blocks_above(0, [5, 3, 2]))
    assert lacking == [block(1, 3)[1]] + [
        block(r, a)[1] for r in range(3, 6) for a in range(3) if r > (5, 3, 2)[a]
    ]
    assert list(store.blocks_above(0, [9, 9, 1, 9]))[:2] == [block(2, 2)[1], b"late twin"]


def test_a_late_peer_gets_parents_first(store: Store):
    store.write(Batch(0, blocks=[block(r, a) for r in range(5, 0, -1) for a in range(3)]))
    expected = [block(r, a)[1] for r in range(1, 6) for a in range(3) if r > (5, 3, 0)[a]]
    assert list(store.blocks_above(0, [5, 3])) == expected


def test_pruning_removes_what_is_behind_and_nothing_else(store: Store):
    store.write(Batch(0, blocks=[(reference(9, 0, 7), b"earlier")], commits=[(9, b"earlier")]))
    rounds = (1, 4, 2, 5, 3)
    commits = [(index, b"c%d" % index) for index in range(1, 6)]
    store.write(Batch(1, blocks=[block(r) for r in rounds], commits=commits))
    store.write(Batch(1, buckets={5: b"stays"}, meta={"m": b"stays"}))
    assert store.prune(0, -5, -5) == 0
    assert store.prune(1, 3, 4) == 3 + 4
    assert store.prune(1, 3, 4) == 0
    assert [data for _, data in store.blocks(1)] == [block(4)[1], block(5)[1], block(3)[1]]
    assert list(store.blocks(0)) == []
    assert store.block(reference(1)) is None
    assert [index for index, _ in store.commits(1, 0, 99)] == [4, 5]
    assert (store.newest_commit(0), store.newest_commit(1)) == (0, 5)
    assert (store.bucket(5), store.meta("m")) == (b"stays", b"stays")
    store.write(Batch(1, blocks=[block(6)]))
    assert [data for _, data in store.blocks(1)][-1] == block(6)[1]


def test_pruning_does_bounded_work_a_call(store: Store):
    bound = limits.MAX_PRUNE_RECORDS
    store.write(Batch(0, blocks=[block(r, 0, 10) for r in range(bound + 5)]))
    store.write(Batch(0, commits=[(index, b"c") for index in range(1, bound + 3)]))
    assert store.prune(1, 0, 0) == 2 * bound
    assert store.prune(1, 0, 0) == 5 + 2
    assert store.prune(1, 0, 0) == 0


def test_many_records_are_read_in_full(store: Store):
    count = limits.READ_CHUNK_RECORDS + 10
    commits = [(index, b"%d" % index) for index in range(1, count)]
    buckets = {index: b"%d" % index for index in range(count)}
    store.write(Batch(0, blocks=[block(1, a, 30) for a in range(count)], commits=commits))
    store.write(Batch(0, buckets=buckets))
    assert list(store.commits(0, 1, count)) == commits
    assert dict(store.buckets()) == buckets
    assert len(list(store.blocks(0))) == count


@given(
    batches=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=4),
            st.lists(st.integers(1, 8), max_size=3),
            st.dictionaries(st.integers(0, 5), st.binary(max_size=4), max_size=3),
        ),
        max_size=8,
    ),
    prune=st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 9)),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_history_reads_as_in_memory(open_store, tmp_path_factory, batches, prune):
    memory = MemoryStore()
    path = tmp_path_factory.mktemp("history")
    disk = open_store(path=path, map_bytes=1 << 22)
    for number, (epoch, slots, commits, buckets) in enumerate(batches):
        blocks = [(reference(r, a, epoch), b"%d/%d/%d" % (epoch, r, a)) for r, a in slots]
        batch = Batch(
            epoch,
            blocks=blocks,
            commits=[(index, b"%d in %d" % (index, number)) for index in commits],
            buckets=buckets,
            meta={"newest": b"%d" % number},
        )
        memory.write(batch)
        disk.write(batch)
    assert memory.prune(*prune) == disk.prune(*prune)
    disk.close()
    disk = open_store(path=path, map_bytes=1 << 22, create=False)
    for epoch in range(3):
        memory_log = [data for _, data in memory.blocks(epoch)]
        assert [data for _, data in disk.blocks(epoch)] == memory_log
        lacking = memory.blocks_above(epoch, [2, 3])
        assert list(disk.blocks_above(epoch, [2, 3])) == list(lacking)
        assert list(disk.commits(epoch, 2, 7)) == list(memory.commits(epoch, 2, 7))
        assert disk.newest_commit(epoch) == memory.newest_commit(epoch)
    assert dict(disk.buckets()) == dict(memory.buckets())
    assert disk.meta("newest") == memory.meta("newest")
    disk.close()
