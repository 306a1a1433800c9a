"""Members' sealed questions: reads of the executed state, and proofs of what became of events.

A question may cost as much as looking through the whole state, and members ask as they like. So
one question at a time waits for its turn at the state, of a member's one at a time waits for that,
and a long one is followed by as long a pause: commits are executed for half of the time at least.
"""

from typing import Final
from weakref import WeakValueDictionary

import trio

from ccp2p.model import codec, limits
from ccp2p.model.envelope import unpad
from ccp2p.model.errors import MemberFault
from ccp2p.model.member_protocol import (
    Asked,
    Prove,
    Query,
    QueryResult,
    Question,
    Read,
    Reply,
)
from ccp2p.node.receipts import Prover
from ccp2p.node.replica import Replica
from ccp2p.sealing import session as sessions

_LONG_S: Final = 0.01  # a read that takes the state for longer is followed by a pause


class Reader:
    """Answers the members of one replica."""

    def __init__(self, replica: Replica, prover: Prover) -> None:
        self._replica = replica
        self._prover = prover
        self._proving = trio.Lock()
        self._reading = trio.Lock()
        self._asking: WeakValueDictionary[bytes, trio.Lock] = WeakValueDictionary()
        self._rested_s = 0.0

    async def answer(self, query: Query) -> Reply:
        """The sealed answer; a refusal in clear when the question cannot be read."""
        table = self._replica.executor.table
        async with self._replica.execution_turn:
            session = table.find(query.session)
        if session is None:
            return Reply(query.number, b"", "no-session")
        padded = sessions.open_query(
            table.context, session.keys, query.session, query.number, query.sealed
        )
        if padded is None:
            return Reply(query.number, b"", "sealed")
        result = await self._result(session.record.member, padded)
        sealed = sessions.seal_reply(
            table.context, session.keys, query.session, query.number, codec.encode(result)
        )
        return Reply(query.number, sealed, "")

    async def _result(self, member: bytes, padded: bytes) -> QueryResult:
        """A member's fault is part of the answer."""
        try:
            question = codec.decode(unpad(padded), Question, limits.MAX_EVENT_BYTES, MemberFault)
            return QueryResult("", await self._answer(member, question.asked))
        except MemberFault as fault:
            return QueryResult(fault.code, b"")

    async def _answer(self, member: bytes, asked: Asked) -> bytes:
        if isinstance(asked, Read):
            return await self._read(member, asked)
        if isinstance(asked, Prove):
            return await self._prove(member, asked)
        return codec.encode(self._prover.records(asked.first))

    async def _read(self, member: bytes, read: Read) -> bytes:
        with trio.move_on_after(limits.READ_PATIENCE_MS / 1000) as scope:
            await self._replica.reached(read.after)
        if scope.cancelled_caught:
            raise MemberFault("behind", "this node has not executed that commit yet")
        async with self._asking.setdefault(member, trio.Lock()), self._reading:
            await trio.sleep_until(self._rested_s)
            async with self._replica.execution_turn:
                began_s = trio.current_time()
                try:
                    machine = self._replica.executor.machine
                    return await trio.to_thread.run_sync(machine.query, member, read.body)
                finally:
                    now_s = trio.current_time()
                    if now_s - began_s > _LONG_S:
                        self._rested_s = now_s + (now_s - began_s)

    async def _prove(self, member: bytes, asked: Prove) -> bytes:
        async with self._proving:
            proof = await trio.to_thread.run_sync(self._prover.prove, member, asked)
        return codec.encode(proof)
