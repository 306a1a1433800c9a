"""What of the log stays for late peers, and what goes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccp2p.model import limits
from ccp2p.model.block import BlockReference
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Committee, Seat
from ccp2p.node.retention import Retention
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.store import Batch

SIZE, INTERVAL = 4, 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(
        tmp_path / "store",
        key=bytes(32),
        network=bytes(32),
        algorithm="aegis256",
        map_bytes=1 << 28,
        create=True,
    )
    yield opened
    opened.close()


def fill(store: LmdbStore, epoch: int, rounds: range) -> Commit:
    """An epoch's blocks of all seats, and a commit a round; the newest."""
    references = [
        BlockReference(
            round_, author, hashlib.sha256(f"{epoch} {round_} {author}".encode()).digest()
        )
        for round_ in rounds
        for author in range(SIZE)
    ]
    commits = [(index, b"commit") for index in rounds]
    store.write(Batch(epoch, blocks=[(one, b"block") for one in references], commits=commits))
    return Commit(epoch, rounds[-1], references[-1], (), 0, bytes(32))


def held(store: LmdbStore, epoch: int) -> tuple[int, int]:
    """How many blocks and commits of an epoch there are."""
    return len(list(store.blocks(epoch))), len(list(store.commits(epoch, 0, 1 << 32)))


def prune(store: LmdbStore, newest: Commit, gc_round: int = 1 << 32) -> None:
    seats = tuple(Seat(bytes([at]) * 32, bytes(32), b"", "sim-a") for at in range(SIZE))
    Retention(store, Committee(newest.epoch, seats), INTERVAL).prune(newest, gc_round)


def test_the_epoch_before_stays_and_older_ones_go(store: LmdbStore):
    for epoch in range(4):
        newest = fill(store, epoch, range(1, 101))
        prune(store, newest)
    assert [held(store, epoch) for epoch in range(4)] == [(0, 0), (0, 0), (400, 100), (400, 100)]


def test_the_epoch_before_goes_once_this_one_has_retained_rounds(store: LmdbStore):
    fill(store, 0, range(1, 101))
    far = limits.LOG_RETAINED_ROUNDS
    fill(store, 1, range(1, 11))
    prune(store, fill(store, 1, range(far - 9, far + 1)))
    assert [held(store, epoch) for epoch in range(2)] == [(400, 100), (80, 20)]
    prune(store, fill(store, 1, range(far + 1, far + 6)))
    assert [held(store, epoch)[0] for epoch in range(2)] == [0, SIZE * (6 + 10 + 5)]


def test_nothing_above_the_gc_round_goes(store: LmdbStore):
    newest = fill(store, 0, range(limits.LOG_RETAINED_ROUNDS, limits.LOG_RETAINED_ROUNDS + 101))
    fill(store, 0, range(1, 101))
    prune(store, newest, gc_round=50)
    assert len(list(store.blocks(0))) == SIZE * (51 + 101)


def test_what_many_seats_bring_between_two_checkpoints_goes_as_well(store: LmdbStore):
    """A transaction is bounded; there are as many as it takes to keep up, and no more at once."""
    fill(store, 0, range(1, 2001))
    newest = fill(store, 2, range(1, 2))
    prune(store, newest)
    gone = SIZE * 2000 - held(store, 0)[0]
    assert SIZE * INTERVAL < gone < SIZE * 2000
    for _ in range(SIZE * 2000 // gone):
        prune(store, newest)
    assert held(store, 0)[0] == 0
