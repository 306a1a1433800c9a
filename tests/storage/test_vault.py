"""A store under a group's key: what opens with which key, and what remains of an older one."""

from pathlib import Path

import pytest

from ccp2p.model import limits
from ccp2p.model.block import BlockReference
from ccp2p.model.errors import LocalFault
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.sealer import Sealer
from ccp2p.storage.store import Batch
from ccp2p.storage.vault import SEALED
from tests.storage.conftest import NETWORK, OpenStore

FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))
REFERENCE = BlockReference(7, 1, b"r" * 32)
KEPT = ("address",)
CONTENT = Batch(
    2,
    blocks=[(REFERENCE, b"block")],
    commits=[(1, b"commit")],
    buckets={11: b"bucket"},
    meta={"address": b"here", "hidden": b"there"},
)


def contents(store: LmdbStore) -> list[object]:
    return [
        [data for _, data in store.blocks(2)],
        store.block(REFERENCE),
        list(store.commits(2, 0, 9)),
        store.bucket(11),
        sorted(store.buckets()),
        store.meta("address"),
        store.meta("hidden"),
    ]


def begun(open_store: OpenStore) -> LmdbStore:
    store = open_store(kept=KEPT)
    assert not store.is_locked
    store.begin(FIRST)
    store.write(CONTENT)
    return store


def again(open_store: OpenStore, store: LmdbStore) -> LmdbStore:
    store.close()
    return open_store(kept=KEPT, create=False)


def test_without_the_groups_key_only_what_is_kept_can_be_read_and_written(open_store):
    store = again(open_store, begun(open_store))
    assert store.is_locked
    assert store.meta("address") == b"here"
    store.write(Batch(0, meta={"address": b"elsewhere"}))
    assert store.meta("address") == b"elsewhere"
    for read in (
        lambda: store.meta("hidden"),
        lambda: store.bucket(11),
        lambda: store.commit(2, 1),
        lambda: store.block(REFERENCE),
        lambda: list(store.blocks(2)),
        lambda: list(store.blocks_above(2, [0, 0])),
        lambda: list(store.buckets()),
        lambda: list(store.commits(2, 0, 9)),
        lambda: store.newest_commit(2),
        lambda: store.prune(2, 1, 1),
        store.snapshot,
        lambda: store.write(CONTENT),
    ):
        with pytest.raises(LocalFault) as caught:
            read()
        assert caught.value.code == "locked"


def test_the_right_key_opens_everything_and_another_nothing(open_store):
    store = begun(open_store)
    before = contents(store)
    store = again(open_store, store)
    assert not store.unlock(SECOND)
    assert store.is_locked
    assert store.unlock(FIRST)
    assert contents(store) == before


def test_after_a_turn_only_the_newer_key_opens_and_nothing_is_lost(open_store):
    store = begun(open_store)
    assert under_first(store) > 5
    store.turn(SECOND, Batch(3, commits=[(1, b"later")], meta={"address": b"new"}))
    wanted = contents(store)
    assert wanted[2] == [(1, b"commit")]
    assert under_first(store) == 0
    store = again(open_store, store)
    assert not store.unlock(FIRST)
    assert store.unlock(SECOND)
    assert contents(store) == wanted
    assert store.commit(3, 1) == b"later"
    assert store.meta("address") == b"new"


def test_no_row_holds_a_key_that_was(open_store):
    """A host may copy the disk at any moment: with today's key it must not come to yesterday's."""
    store = begun(open_store)
    store.turn(SECOND, Batch(3))
    sealer = Sealer(SECOND, NETWORK, "aegis256")
    row = store._environment.get("header", b"vault")
    assert sealer.try_open([b"vault"], [row])[0] == NETWORK
    with store._environment.transaction() as transaction:
        for name in SEALED:
            for key, value in transaction.cursor(db=store._environment.databases[name]):
                bound = store._bound_of(transaction, name, bytes(key))
                assert FIRST not in (sealer.try_open([bound], [bytes(value)])[0] or b"")


def test_the_key_before_is_forgotten_with_the_first_write_after_a_turn(open_store):
    store = begun(open_store)
    store.turn(SECOND, Batch(3))
    store.write(Batch(3, commits=[(1, b"first of the epoch")]))
    assert store._vault._older == b""


def under_first(store: LmdbStore) -> int:
    """How many records open with the first key alone."""
    sealer = Sealer(FIRST, NETWORK, "aegis256")
    found = 0
    with store._environment.transaction() as transaction:
        for name in SEALED:
            for key, value in transaction.cursor(db=store._environment.databases[name]):
                bound = store._bound_of(transaction, name, bytes(key))
                found += sealer.try_open([bound], [bytes(value)])[0] is not None
    return found


def test_a_turn_goes_through_as_many_chunks_as_there_are(open_store, monkeypatch):
    monkeypatch.setattr(limits, "READ_CHUNK_RECORDS", 2)
    store = begun(open_store)
    store.write(Batch(2, buckets=dict.fromkeys(range(20, 40), b"more")))
    store.write(Batch(2, blocks=[(BlockReference(8, 1, b"s" * 32), b"block two")]))
    store.turn(SECOND, Batch(3))
    assert under_first(store) == 0
    assert len(list(store.buckets())) == 21
    store = again(open_store, store)
    assert store.unlock(SECOND)
    assert len(list(store.buckets())) == 21
    assert len(list(store.blocks(2))) == 2


def test_beginning_anew_drops_what_another_key_holds(open_store):
    store = again(open_store, begun(open_store))
    store.begin(THIRD)
    assert contents(store) == [[], None, [], None, [], b"here", None]
    store.write(CONTENT)
    store = again(open_store, store)
    assert not store.unlock(FIRST)
    assert store.unlock(THIRD)
    assert contents(store)[-1] == b"there"


def test_a_snapshot_outlives_the_key_that_it_was_taken_under(open_store):
    store = begun(open_store)
    snapshot = store.snapshot()
    store.turn(SECOND, Batch(3, buckets={11: b"other"}))
    store.write(Batch(3, commits=[(1, b"later")]))
    assert snapshot.bucket(11) == b"bucket"
    snapshot.close()


def test_a_batch_that_fails_turns_nothing(open_store, tmp_path: Path):
    store = begun(open_store)
    store.turn(SECOND, Batch(3))
    with pytest.raises(LocalFault):
        store.turn(THIRD, Batch(4, buckets={1: bytes(1 << 29)}))
    store.write(Batch(4, buckets={1: b"small"}))
    store = again(open_store, store)
    assert store.unlock(SECOND)
    assert store.bucket(1) == b"small"
