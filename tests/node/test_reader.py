"""Whose questions wait for whose, and for how many of them commits wait."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import trio

from ccp2p.model.member_protocol import Read
from ccp2p.node.reader import Reader
from tests.node.stage import PATIENCE_S, eventually

LONG_S = 0.05
MANY = 40


class Machine:
    """A state that is looked through until the test lets a question go."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.done = threading.Semaphore(0)

    def query(self, member: bytes, _body: bytes) -> bytes:
        self.asked.append(member)
        assert self.done.acquire(timeout=PATIENCE_S)
        return member


class Long(Machine):
    def query(self, member: bytes, _body: bytes) -> bytes:
        time.sleep(LONG_S)
        return member


async def reached(_commit: int) -> None:
    """All of it is executed."""


def reader_of(machine: Machine) -> tuple[Reader, trio.Lock]:
    """A reader, and whose turn it is at its state."""
    turn = trio.Lock()
    replica: Any = SimpleNamespace(
        execution_turn=turn, executor=SimpleNamespace(machine=machine), reached=reached
    )
    return Reader(replica, SimpleNamespace()), turn  # type: ignore[arg-type]


async def test_a_commit_waits_for_one_question_however_many_members_ask():
    machine = Machine()
    reader, turn = reader_of(machine)
    async with trio.open_nursery() as nursery:
        for number in range(MANY):
            nursery.start_soon(reader._read, b"%d" % number, Read(0, b""))
        await eventually(lambda: len(machine.asked) == 1)
        machine.done.release()
        with trio.fail_after(PATIENCE_S):
            async with turn:
                assert len(machine.asked) <= 2
        machine.done.release(MANY)


async def test_a_member_that_asks_without_end_keeps_no_other_waiting():
    machine = Machine()
    reader, _ = reader_of(machine)
    async with trio.open_nursery() as nursery:
        for _ in range(MANY):
            nursery.start_soon(reader._read, b"eve", Read(0, b""))
        await eventually(lambda: len(machine.asked) == 1)
        machine.done.release(2)
        with trio.fail_after(PATIENCE_S):
            assert await reader._read(b"ann", Read(0, b"")) == b"ann"
        machine.done.release(MANY)
    assert not reader._asking, "who asks no more is remembered"


async def test_long_questions_have_half_of_the_time():
    reader, _ = reader_of(Long())
    began_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(reader._read, b"%d" % number, Read(0, b""))
    assert trio.current_time() - began_s >= 9 * LONG_S
