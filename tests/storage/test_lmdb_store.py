"""What only a disk can get wrong: crashes, damage, strangers' keys, and no room."""

import collections
import itertools
import random
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import lmdb
import pytest

from ccp2p.model.block import BlockReference
from ccp2p.model.errors import LocalFault
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.store import Batch
from tests.storage import crashing_writer
from tests.storage.conftest import KEY, NETWORK, OpenStore

PROJECT = Path(__file__).parents[2]
SECRET = b"a secret that must not be seen on disk"
REFERENCE = BlockReference(7, 1, SECRET[:32])
OTHER = BlockReference(8, 1, SECRET[-32:])


def fill(store: LmdbStore) -> None:
    store.write(
        Batch(
            2,
            blocks=[(REFERENCE, SECRET * 3), (OTHER, SECRET * 3)],
            commits=[(1, SECRET), (2, SECRET)],
            buckets={11: SECRET, 12: SECRET},
            meta={SECRET.decode(): SECRET},
        )
    )


def read_all(store: LmdbStore) -> list[object]:
    return [
        list(store.blocks(2)),
        store.block(REFERENCE),
        list(store.commits(2, 0, 9)),
        store.bucket(11),
        store.bucket(12),
        sorted(store.buckets()),
        store.meta(SECRET.decode()),
    ]


def read_once(open_store: OpenStore) -> list[object]:
    store = open_store(create=False)
    try:
        return read_all(store)
    finally:
        store.close()


def fault_of(action) -> str:
    with pytest.raises(LocalFault) as caught:
        action()
    return caught.value.code


def writer_command(folder: Path, file_bytes: int = 0) -> list[str]:
    return [sys.executable, "-m", crashing_writer.__name__, str(folder), str(file_bytes)]


def writer(folder: Path, file_bytes: int = 0) -> "subprocess.Popen[str]":
    command = writer_command(folder, file_bytes)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)


def raw(folder: Path) -> lmdb.Environment:
    return lmdb.open(str(folder), max_dbs=8, map_size=1 << 28)


def test_everything_is_there_after_opening_again(open_store: OpenStore):
    store = open_store()
    fill(store)
    before = read_all(store)
    store.close()
    store.close()
    assert read_all(open_store(create=False)) == before
    assert fault_of(lambda: store.bucket(11)) == "closed"


def test_nothing_is_readable_on_disk(open_store: OpenStore, tmp_path: Path):
    store = open_store()
    fill(store)
    store.close()
    contents = b"".join(file.read_bytes() for file in (tmp_path / "store").iterdir())
    assert len(contents) > 10_000
    assert SECRET not in contents
    assert SECRET[:16] not in contents
    assert NETWORK not in contents
    assert KEY not in contents
    environment = raw(tmp_path / "store")
    with environment.begin() as transaction:
        keys = _keys(environment, transaction, b"meta")
    environment.close()
    assert [len(key) for key in keys] == [16]


def _keys(environment, transaction, name: bytes) -> list[bytes]:
    database = environment.open_db(name, txn=transaction, create=False)
    return [key for key, _ in transaction.cursor(db=database)]


def test_the_same_value_looks_different_each_time(open_store: OpenStore, tmp_path: Path):
    store = open_store()
    store.write(Batch(0, buckets={1: SECRET, 2: SECRET}))
    store.close()
    environment = raw(tmp_path / "store")
    with environment.begin() as transaction:
        database = environment.open_db(b"buckets", txn=transaction, create=False)
        values = [value for _, value in transaction.cursor(db=database)]
    environment.close()
    assert len(set(values)) == 2


def test_a_folder_without_a_store_is_missing(open_store: OpenStore, tmp_path: Path):
    assert fault_of(lambda: open_store(create=False)) == "missing"
    assert not (tmp_path / "store").exists()


def test_strangers_are_refused_by_name(open_store: OpenStore):
    store = open_store()
    fill(store)
    assert fault_of(open_store) == "in-use"
    store.close()
    assert fault_of(lambda: open_store(key=b"k" * 32)) == "wrong-key"
    assert fault_of(lambda: open_store(algorithm="xchacha20")) == "wrong-key"
    assert fault_of(lambda: open_store(network=b"o" * 32)) == "wrong-network"
    read_all(open_store())


def test_another_process_that_has_it_open_is_noticed(open_store: OpenStore, tmp_path: Path):
    process = writer(tmp_path / "store")
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert fault_of(open_store) == "in-use"
    finally:
        process.kill()
        process.wait()
    open_store(create=False)


def test_a_store_of_a_later_program_is_refused(open_store: OpenStore, tmp_path: Path):
    open_store().close()
    environment = raw(tmp_path / "store")
    with environment.begin(write=True) as transaction:
        header = environment.open_db(b"header", txn=transaction)
        transaction.put(b"format", (2).to_bytes(4, "big"), db=header)
    environment.close()
    assert fault_of(open_store) == "newer-version"


def test_a_file_that_is_no_store_is_corrupt(open_store: OpenStore, tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(random.Random(1).randbytes(20_000))
    assert fault_of(open_store) == "corrupt"


def test_a_flipped_bit_in_any_record_is_noticed(open_store: OpenStore, tmp_path: Path):
    store = open_store()
    fill(store)
    store.close()
    choose = random.Random(2)
    environment = raw(tmp_path / "store")
    names = (b"header", b"log", b"references", b"commits", b"buckets", b"meta")
    with environment.begin() as transaction:
        records = [(name, key) for name in names for key in _keys(environment, transaction, name)]
    environment.close()
    assert len(records) == 2 + 2 + 2 + 2 + 2 + 1
    for name, key in records:
        original = _replace(tmp_path / "store", name, key, lambda value: _flip(value, choose))
        code = fault_of(lambda: read_once(open_store))
        allowed = {"corrupt", "wrong-key", "newer-version"} if name == b"header" else {"corrupt"}
        assert code in allowed, (name, key)
        _replace(tmp_path / "store", name, key, lambda _, original=original: original)
    assert read_once(open_store)


def test_a_record_under_another_key_is_noticed(open_store: OpenStore, tmp_path: Path):
    store = open_store()
    fill(store)
    store.close()
    for name in (b"log", b"references", b"commits", b"buckets"):
        environment = raw(tmp_path / "store")
        with environment.begin(write=True) as transaction:
            database = environment.open_db(name, txn=transaction)
            first, second = _keys(environment, transaction, name)
            value = transaction.get(first, db=database)
            other = transaction.replace(second, value, db=database)
        environment.close()
        assert fault_of(lambda: read_once(open_store)) == "corrupt"
        _replace(tmp_path / "store", name, second, lambda _, other=other: other)


def test_a_block_that_went_missing_is_noticed(open_store: OpenStore, tmp_path: Path):
    store = open_store()
    fill(store)
    store.close()
    environment = raw(tmp_path / "store")
    with environment.begin(write=True) as transaction:
        transaction.drop(environment.open_db(b"log", txn=transaction), delete=False)
    environment.close()
    assert fault_of(lambda: read_once(open_store)) == "corrupt"


def test_a_full_map_fails_the_batch_and_keeps_all_before(open_store: OpenStore):
    store = open_store(map_bytes=1 << 20)
    numbers = itertools.count(1)
    with pytest.raises(LocalFault, match="raise the map size") as caught:
        collections.deque(store.write(crashing_writer.batch(each)) for each in numbers)
    assert caught.value.code == "disk-full"
    number = next(numbers) - 2
    assert number > 2
    check_holds(store, number)
    store.close()
    store = open_store(map_bytes=1 << 22)
    check_holds(store, number)
    store.write(crashing_writer.batch(number + 1))
    check_holds(store, number + 1)


def test_what_would_replace_all_and_does_not_fit_replaces_nothing(open_store: OpenStore):
    store = open_store(map_bytes=1 << 20)
    fill(store)
    before = read_all(store)
    large = {index: bytes(60_000) for index in range(30)}
    with pytest.raises(LocalFault) as caught:
        store.write(Batch(0, buckets=large, replaces=True))
    assert caught.value.code == "disk-full"
    assert read_all(store) == before
    store.close()
    assert read_once(open_store) == before


def test_what_replaced_all_is_there_after_opening_again(open_store: OpenStore):
    store = open_store()
    fill(store)
    assert store.meta(SECRET.decode()) == SECRET
    store.write(Batch(7, commits=[(3, b"commit")], buckets={5: b"bucket"}, replaces=True))
    store.close()
    store = open_store(create=False)
    assert (list(store.buckets()), store.newest_commit(7)) == ([(5, b"bucket")], 3)
    assert [list(store.blocks(epoch)) for epoch in range(8)] == [[]] * 8
    assert store.meta(SECRET.decode()) == SECRET


def test_a_full_disk_fails_the_batch_and_keeps_all_before(tmp_path: Path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {folder} && exec "
    command = mount + shlex.join(writer_command(folder / "store"))
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", command],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=30,
        check=False,
    )
    if "unshare" in result.stderr or "mount" in result.stderr:
        pytest.skip(f"no small disk can be mounted here: {result.stderr.strip()}")
    lines = result.stdout.splitlines()
    assert len(lines) > 3
    assert lines[-1] == f"disk-full b'{lines[-2]}'"


def test_a_write_cut_short_fails_the_batch_and_keeps_all_before(
    open_store: OpenStore, tmp_path: Path
):
    process = writer(tmp_path / "store", file_bytes=1 << 20)
    lines = process.communicate(timeout=30)[0].splitlines()
    assert lines[-1] in (f"disk-{kind} b'{lines[-2]}'" for kind in ("full", "failed"))
    check_holds(open_store(), int(lines[-2]))


def check_holds(store: LmdbStore, number: int) -> None:
    """All of batches 1 to `number`, and nothing else."""
    wanted = [crashing_writer.batch(each) for each in range(1, number + 1)]
    assert [data for _, data in store.blocks(0)] == [
        data for batch in wanted for _, data in batch.blocks
    ]
    assert list(store.commits(0, 0, number + 9)) == [batch.commits[0] for batch in wanted]
    buckets: dict[int, bytes] = {}
    for batch in wanted:
        buckets.update(batch.buckets)
    assert dict(store.buckets()) == buckets
    assert store.meta("last") == b"%d" % number


def test_killed_at_any_moment_it_loses_nothing_acknowledged(open_store: OpenStore, tmp_path: Path):
    choose = random.Random(3)
    acknowledged = 0
    for _ in range(6):
        process = writer(tmp_path / "store")
        assert process.stdout is not None
        for _ in range(choose.randrange(1, 25)):
            acknowledged = int(process.stdout.readline())
        time.sleep(choose.random() * 0.004)
        process.kill()
        acknowledged = int(([str(acknowledged), *process.stdout.read().split()])[-1])
        process.wait()
        store = open_store(create=False)
        stored = int(store.meta("last") or b"0")
        assert acknowledged <= stored <= acknowledged + 1
        check_holds(store, stored)
        store.close()
    assert acknowledged > 6


def test_readers_are_not_disturbed_by_a_writer(open_store: OpenStore):
    store = open_store()
    done = threading.Event()

    def write() -> None:
        for number in range(1, 120):
            store.write(crashing_writer.batch(number))
            if number % 40 == 0:
                store.prune(0, number // 2, number // 2)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    reads = 0
    while not done.is_set():
        rounds = [int(data.split(b".")[0]) for _, data in store.blocks(0)]
        assert rounds == sorted(rounds)
        list(store.blocks_above(0, rounds[-1:]))
        newest = store.newest_commit(0)
        assert newest == 0 or store.commit(0, newest) == b"%d" % newest
        reads += 1
    thread.join()
    assert reads > 1


def _flip(value: bytes, choose: random.Random) -> bytes:
    place = choose.randrange(len(value) * 8)
    return (int.from_bytes(value, "big") ^ (1 << place)).to_bytes(len(value), "big")


def _replace(folder: Path, name: bytes, key: bytes, change) -> bytes:
    environment = raw(folder)
    with environment.begin(write=True) as transaction:
        database = environment.open_db(name, txn=transaction)
        value = transaction.get(key, db=database)
        transaction.put(key, change(value), db=database)
    environment.close()
    return value
