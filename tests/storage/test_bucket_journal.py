"""Buckets that wait in the journal are read, restored and filed like any others."""

from random import Random

import pytest

from ccp2p.model import limits
from ccp2p.model.errors import LocalFault
from ccp2p.storage import bucket_journal
from ccp2p.storage.bucket_journal import SLICES, BucketJournal
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.store import Batch
from tests.storage.conftest import OpenStore

INDICES = [*range(0, 65_536, 1500), 511, 512, 65_535]


def records(store: LmdbStore) -> int:
    with store._environment.transaction() as transaction:
        return transaction.stat(store._environment.databases["journal"])["entries"]


@pytest.mark.parametrize("journal_bytes", [limits.JOURNAL_BYTES, 500])
def test_any_writes_and_restarts_read_back(open_store: OpenStore, monkeypatch, journal_bytes):
    monkeypatch.setattr(limits, "JOURNAL_BYTES", journal_bytes)
    random, model, store = Random(5), {}, open_store()
    for commit in range(1, 3 * SLICES):
        changed = {
            index: b"" if random.random() < 0.3 else b"%d at %d" % (index, commit)
            for index in random.sample(INDICES, random.randrange(4))
        }
        store.write(Batch(0, commits=[(commit, b"record")], buckets=changed))
        model = {index: data for index, data in {**model, **changed}.items() if data}
        if commit % 50 == 0:
            store.close()
            store = open_store(create=False)
        if commit % 10 == 0:
            assert sorted(store.buckets()) == sorted(model.items())
            assert all(store.bucket(index) == model.get(index) for index in INDICES)
        assert records(store) <= SLICES


def test_what_is_written_no_more_comes_to_its_place_and_leaves_the_journal(open_store: OpenStore):
    store = open_store()
    changed = {index: b"bucket %d" % index for index in INDICES}
    store.write(Batch(0, commits=[(1, b"record")], buckets=changed))
    assert records(store) == 1
    for commit in range(2, SLICES + 2):
        store.write(Batch(0, commits=[(commit, b"record")]))
    assert (records(store), store._journal.waiting()) == (0, {})
    assert dict(store.buckets()) == changed


def test_blocks_alone_move_no_bucket(open_store: OpenStore):
    store = open_store()
    store.write(Batch(0, buckets={9_000: b"waits"}))
    for _ in range(SLICES + 1):
        store.write(Batch(0, meta={"name": b"value"}))
    assert records(store) == 1


def test_a_snapshot_shows_what_waited_then_whatever_comes_later(open_store: OpenStore):
    store = open_store()
    store.write(Batch(0, commits=[(1, b"r")], buckets={1: b"old", 9_000: b"waits", 9_001: b"goes"}))
    store.write(Batch(0, commits=[(2, b"r")], buckets={9_001: b""}))
    snapshot = store.snapshot()
    for commit in range(3, SLICES + 5):
        store.write(Batch(0, commits=[(commit, b"r")], buckets={1: b"new", 9_000: b"later"}))
    assert [snapshot.bucket(index) for index in (1, 9_000, 9_001)] == [b"old", b"waits", None]
    assert (store.bucket(1), store.bucket(9_000)) == (b"new", b"later")
    snapshot.close()


def test_a_failed_transaction_leaves_every_turn_as_it_was(open_store: OpenStore):
    store = open_store(map_bytes=1 << 20)
    store.write(Batch(0, commits=[(1, b"record")], buckets={1: b"kept", 9_000: b"waits"}))
    with pytest.raises(LocalFault, match="limit"):
        store.write(Batch(0, commits=[(2, b"record")], buckets={1: b"x" * (1 << 20)}))
    assert (store.bucket(1), store.bucket(9_000)) == (b"kept", b"waits")
    store.write(Batch(0, commits=[(2, b"record")], buckets={1: b"small"}))
    assert store.bucket(1) == b"small"


def test_hurry_ends_when_the_old_records_are_gone(monkeypatch):
    monkeypatch.setattr(limits, "JOURNAL_BYTES", 1000)
    journal = BucketJournal()
    steps = []
    for _ in range(40):
        before = journal.next_turn
        journal.written({7: b"x" * 400} if before < 3 else {})
        steps.append(journal.next_turn - before)
    assert steps[:3] == [1, 1, 1]
    assert max(steps) > 1
    assert steps[-1] == 1


@pytest.mark.parametrize("cut", [1, 7, 8, 9])
def test_a_malformed_record_is_corrupt(cut: int):
    whole = bucket_journal.encode({1: b"a", 65_535: b""})
    assert dict(bucket_journal.decode(whole)) == {1: b"a", 65_535: b""}
    with pytest.raises(LocalFault, match=r"cut short|malformed"):
        dict(bucket_journal.decode(whole[:-cut] if cut != 8 else b"\0\1" + whole[2:]))
