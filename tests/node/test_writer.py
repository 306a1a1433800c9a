import threading

import pytest
import trio
import trio.testing

from ccp2p.model.block import BlockReference
from ccp2p.model.errors import LocalFault
from ccp2p.node.writer import GroupWriter
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Batch
from tests.node.stage import eventually


class Disk:
    """A store whose writes last until `release`, and that can be full."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.batches: list[Batch] = []
        self.is_full = False
        self._turn = threading.Semaphore(0)

    def release(self, count: int = 1) -> None:
        self._turn.release(count)

    def write(self, batch: Batch) -> None:
        self.batches.append(batch)
        assert self._turn.acquire(timeout=5)
        if self.is_full:
            raise LocalFault("disk-full", "the disk is full")
        self.store.write(batch)


async def start(nursery: trio.Nursery, writer: GroupWriter, *batches: Batch) -> list[str]:
    """Ask for each batch in turn; who is done, in order, ends up in the list."""
    done: list[str] = []

    async def write(number: int, batch: Batch) -> None:
        try:
            await writer.write(batch)
            done.append(f"{number} stored")
        except LocalFault as fault:
            done.append(f"{number} {fault.code}")

    for number, batch in enumerate(batches):
        nursery.start_soon(write, number, batch)
        await trio.testing.wait_all_tasks_blocked()
    return done


def meta(**values: bytes) -> Batch:
    return Batch(epoch=0, meta=values)


async def test_a_batch_alone_is_written_as_it_is():
    disk = Disk()
    disk.release()
    batch = meta(a=b"1")
    await GroupWriter(disk.write).write(batch)
    assert disk.batches == [batch]


async def test_whatever_waits_during_a_write_shares_the_next_one():
    disk = Disk()
    async with trio.open_nursery() as nursery:
        done = await start(
            nursery, GroupWriter(disk.write), meta(a=b"1"), meta(b=b"2"), meta(c=b"3"), meta(b=b"4")
        )
        await eventually(lambda: len(disk.batches) == 1)
        assert done == []
        disk.release(2)
    assert [batch.meta for batch in disk.batches] == [{"a": b"1"}, {"b": b"4", "c": b"3"}]
    assert sorted(done) == ["0 stored", "1 stored", "2 stored", "3 stored"]


async def test_nobody_is_told_before_its_batch_is_stored():
    disk = Disk()
    async with trio.open_nursery() as nursery:
        done = await start(nursery, GroupWriter(disk.write), meta(a=b"1"), meta(b=b"2"))
        disk.release()
        await eventually(lambda: done != [])
        assert done == ["0 stored"]
        assert disk.store.meta("b") is None
        disk.release()
    assert disk.store.meta("b") == b"2"


async def test_merging_keeps_every_batchs_effect_in_order():
    disk = Disk()
    first, second = BlockReference(1, 0, b"1" * 32), BlockReference(2, 0, b"2" * 32)
    batches = [
        meta(a=b"0"),
        Batch(0, [(first, b"one")], [(1, b"c1")], {5: b"old", 6: b"x"}, {"m": b"old"}),
        Batch(0, [(second, b"two")], [(2, b"c2")], {5: b"new", 6: b""}, {"m": b"new"}),
    ]
    async with trio.open_nursery() as nursery:
        await start(nursery, GroupWriter(disk.write), *batches)
        disk.release(2)
    store = disk.store
    assert [data for _, data in store.blocks(0)] == [b"one", b"two"]
    assert list(store.commits(0, 1, 9)) == [(1, b"c1"), (2, b"c2")]
    assert (store.bucket(5), store.bucket(6), store.meta("m")) == (b"new", None, b"new")


async def test_a_failure_reaches_everybody_who_waited_for_that_write():
    disk = Disk()
    async with trio.open_nursery() as nursery:
        done = await start(
            nursery, GroupWriter(disk.write), meta(a=b"1"), meta(b=b"2"), meta(c=b"3")
        )
        disk.release()
        await eventually(lambda: done != [])
        disk.is_full = True
        disk.release()
    assert done[0] == "0 stored"
    assert sorted(done[1:]) == ["1 disk-full", "2 disk-full"]
    assert disk.store.meta("b") is None


async def test_a_failed_write_does_not_stop_the_next():
    disk = Disk()
    writer = GroupWriter(disk.write)
    disk.is_full = True
    disk.release()
    with pytest.raises(LocalFault):
        await writer.write(meta(a=b"1"))
    disk.is_full = False
    disk.release()
    await writer.write(meta(a=b"2"))
    assert disk.store.meta("a") == b"2"
