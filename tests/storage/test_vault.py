"""A store under a group's key: what opens with which key, and what remains of an older one."""

from pathlib import Path

import pytest

from ccp2p.model import limits
from ccp2p.model.block import BlockReference
from ccp2p.model.errors import LocalFault
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.store import Batch
from tests.storage.conftest import OpenStore

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


def reseal(store: LmdbStore) -> int:
    turns = 0
    while store.reseal():
        turns += 1
    return turns


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
        lambda: store.blocks_above(2, [0, 0], 1 << 20),
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
    assert not store.reseal()


def test_both_keys_of_a_turn_are_needed_until_all_is_sealed_anew(open_store):
    store = begun(open_store)
    store.turn(SECOND, Batch(3, commits=[(1, b"later")], meta={"address": b"new"}))
    wanted = contents(store)
    assert wanted[2] == [(1, b"commit")]
    store = again(open_store, store)
    assert not store.unlock(FIRST)  # the newest key opens, which holds the older one
    assert store.unlock(SECOND)
    assert contents(store) == wanted
    assert reseal(store) > 0
    assert contents(store) == wanted
    assert store.commit(3, 1) == b"later"
    store = again(open_store, store)
    assert store.unlock(SECOND)
    assert contents(store) == wanted


def test_nothing_of_the_older_key_is_left_once_all_is_sealed_anew(open_store):
    store = begun(open_store)
    store.turn(SECOND, Batch(3))
    open_rows = under_first(store)
    assert open_rows > 5
    reseal(store)
    assert under_first(store) == 0


def under_first(store: LmdbStore) -> int:
    """How many records open with the first key alone."""
    from ccp2p.storage.sealer import Sealer
    from ccp2p.storage.vault import SEALED
    from tests.storage.conftest import NETWORK

    sealer = Sealer(FIRST, NETWORK, "aegis256")
    found = 0
    with store._environment.transaction() as transaction:
        for name in SEALED:
            for key, value in transaction.cursor(db=store._environment.databases[name]):
                bound = store._bound_of(transaction, name, bytes(key))
                found += sealer.try_open([bound], [bytes(value)])[0] is not None
    return found


def test_sealing_anew_goes_on_in_chunks_and_after_a_restart(open_store, monkeypatch):
    monkeypatch.setattr(limits, "MAX_RESEAL_RECORDS", 2)
    store = begun(open_store)
    store.write(Batch(2, buckets=dict.fromkeys(range(20, 40), b"more")))
    store.turn(SECOND, Batch(3, buckets={21: b"changed"}))
    wanted = sorted(store.buckets())
    store.reseal()
    store.write(Batch(3, buckets={22: b"changed too", 11: b""}))  # in between
    wanted = [row for row in wanted if row[0] not in (11, 22)] + [(22, b"changed too")]
    store = again(open_store, store)
    assert store.unlock(SECOND)
    assert reseal(store) > 5
    assert sorted(store.buckets()) == sorted(wanted)
    assert under_first(store) == 0


def test_a_turn_before_that_is_done_does_it_first(open_store):
    store = begun(open_store)
    store.turn(SECOND, Batch(3))
    store.turn(THIRD, Batch(4))
    assert under_first(store) == 0
    assert contents(store)[1] == b"block"


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
    reseal(store)
    assert snapshot.bucket(11) == b"bucket"
    snapshot.close()


def test_a_batch_that_fails_turns_nothing(open_store, tmp_path: Path):
    store = begun(open_store)
    store.turn(SECOND, Batch(3))
    reseal(store)
    with pytest.raises(LocalFault):
        store.turn(THIRD, Batch(4, buckets={1: bytes(1 << 29)}))
    store.write(Batch(4, buckets={1: b"small"}))
    store = again(open_store, store)
    assert store.unlock(SECOND)
    assert store.bucket(1) == b"small"
