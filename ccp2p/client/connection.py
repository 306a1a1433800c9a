"""One client connection to one node: verified first, then envelopes out and outcomes back.

Everything a member submits is pipelined; what is queued goes out in as few frames as it fits.
"""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import trio

from ccp2p.client.verification import (
    Expectation,
    Offer,
    VerifiedNode,
    verify_offer,
    verify_welcome,
)
from ccp2p.model import codec, limits
from ccp2p.model.envelope import batches
from ccp2p.model.epoch import SignedEpochRecord, is_full_page, record_digest
from ccp2p.model.errors import Denied, Fault, LocalFault, PeerFault, Unreachable, fault_in
from ccp2p.model.member_protocol import (
    AskHosting,
    GetPeers,
    GetStatus,
    GiveShare,
    Hello,
    Hosting,
    NodeMessage,
    Outcomes,
    Peers,
    Query,
    Recover,
    Recovered,
    Refused,
    Reply,
    ShareTaken,
    Status,
    Submit,
    Welcome,
    decode_node_message,
    encode_message,
)
from ccp2p.network import FrameStream, connect

_ANSWER_TIMEOUT_S = 15.0
_RECOVERY_TIMEOUT_S = 90.0  # all who go on walk a coin chain and sign meanwhile

Answered = Reply | Status | Recovered | ShareTaken | Peers | Hosting
"""What answers a numbered question."""

Answer = bytes | Fault
"""What an envelope came to at this node: a sealed outcome, or why there is none."""


class NodeConnection:
    """A live connection. `on_answer(tag, answer)` is called for every envelope's end."""

    def __init__(
        self, stream: FrameStream, node: VerifiedNode, allow_simulated: bool = False
    ) -> None:
        self.node = node
        self._stream = stream
        self._allow_simulated = allow_simulated
        self._welcome: _Slot | None = None
        self._refreshing = trio.Lock()
        self._waiting: dict[bytes, Callable[[Answer], None]] = {}
        self._replies: dict[int, _Slot] = {}
        # A session outlives its connections: no number may come twice, lest a host replay a reply.
        self._number = int.from_bytes(os.urandom(7), "big")
        self._outbox: list[bytes] = []
        self._outbox_filled = trio.Event()
        self.lost: Fault | None = None
        self.ended = trio.Event()

    def submit(self, tag: bytes, envelope: bytes, on_answer: Callable[[Answer], None]) -> None:
        """Queue an envelope; its answer comes once. Unreachable when the connection is lost."""
        if self.lost is not None:
            raise Unreachable(str(self.lost))
        self._waiting[tag] = on_answer
        self._outbox.append(envelope)
        self._outbox_filled.set()

    def abandon(self, tag: bytes) -> None:
        """Wait no more for the answer to `tag`."""
        self._waiting.pop(tag, None)

    async def query(self, session: bytes, seal: Callable[[int], bytes]) -> tuple[int, Reply]:
        """Send a read; `seal(number)` makes its sealed body. The number and the reply."""
        number = self._next_number()
        reply = await self._ask(number, Query(number, session, seal(number)))
        if not isinstance(reply, Reply):
            raise PeerFault("protocol", "the node answered a query with something else")
        return number, reply

    async def status(self, commit: int = 0) -> Status:
        """How far the node is, or its roots after `commit`."""
        number = self._next_number()
        status = await self._ask(number, GetStatus(number, commit))
        if not isinstance(status, Status):
            raise PeerFault("protocol", "the node answered a status request with something else")
        return status

    async def peers(self) -> Peers:
        """Whom the node is connected to."""
        number = self._next_number()
        peers = await self._ask(number, GetPeers(number))
        if not isinstance(peers, Peers):
            raise PeerFault("protocol", "the node answered a peers request with something else")
        return peers

    async def recover(
        self, plan: bytes, approvals: tuple[tuple[int, bytes], ...]
    ) -> SignedEpochRecord:
        """Hand in what governors approved; Denied with the node's words when it refuses."""
        number = self._next_number()
        message = Recover(number, plan, approvals)
        answer = await self._ask(number, message, _RECOVERY_TIMEOUT_S)
        if not isinstance(answer, Recovered):
            raise PeerFault("protocol", "the node answered a recovery with something else")
        if answer.code:
            raise Denied(f"the node refuses: {answer.reason[:600]}", answer.code[:64])
        return codec.decode(answer.record, SignedEpochRecord, limits.MAX_SIGNED_RECORD_BYTES)

    async def give_share(self, epoch_key: bytes, governor: int, sealed: bytes) -> ShareTaken:
        """Give a recovery share; Denied with the node's words when it takes none."""
        number = self._next_number()
        answer = await self._ask(number, GiveShare(number, epoch_key, governor, sealed))
        if not isinstance(answer, ShareTaken):
            raise PeerFault("protocol", "the node answered a share with something else")
        if answer.code:
            raise Denied(f"the node refuses: {answer.reason[:600]}", answer.code[:64])
        return answer

    async def hosting(self, sealed: bytes) -> bytes:
        """The sealed answer to a sealed question about hosting; Denied when there is none."""
        number = self._next_number()
        answer = await self._ask(number, AskHosting(number, sealed))
        if not isinstance(answer, Hosting):
            raise PeerFault("protocol", "the node answered about hosting with something else")
        if answer.refusal:
            raise Denied(answer.refusal[:512])
        return answer.sealed

    async def refresh(self, epoch: int) -> VerifiedNode:
        """The node as verified in an epoch after `epoch`; unchanged while it is not there yet.

        AttestationFault or PeerFault when the node shows records that do not follow.
        """
        async with self._refreshing:
            if self.node.record.epoch > epoch:
                return self.node
            nonce = os.urandom(32)
            hello = Hello(nonce, self.node.record_digest, self.node.network)
            welcome = await whole_welcome(self._greet_again, hello)
            expected = Expectation(
                self.node.network,
                self.node.record_digest,
                self._stream.remote,
                nonce,
                int(time.time()),
                self._allow_simulated,
                self.node.record.epoch,
            )
            self.node = await trio.to_thread.run_sync(verify_welcome, welcome, expected)
            return self.node

    async def _greet_again(self, hello: Hello) -> Welcome:
        slot = self._welcome = _Slot()
        try:
            await self._stream.send(encode_message(hello))
            with trio.move_on_after(_ANSWER_TIMEOUT_S):
                await slot.filled.wait()
        finally:
            self._welcome = None
        if isinstance(slot.value, Welcome):
            return slot.value
        raise slot.value if isinstance(slot.value, Fault) else Unreachable("the node is silent")

    async def run(self) -> None:
        """Move frames until the connection ends; then everybody who waits learns why."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read()
        except* Fault as group:
            self._lose(fault_in(group) or Unreachable("the connection failed"))
        finally:
            self._lose(Unreachable("the connection was closed"))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    async def _ask(
        self,
        number: int,
        message: Query | GetStatus | Recover | GiveShare | GetPeers | AskHosting,
        timeout_s: float = _ANSWER_TIMEOUT_S,
    ) -> Answered:
        if self.lost is not None:
            raise Unreachable(str(self.lost))
        slot = self._replies[number] = _Slot()
        try:
            await self._stream.send(encode_message(message))
            with trio.move_on_after(timeout_s):
                await slot.filled.wait()
        finally:
            self._replies.pop(number, None)
        if isinstance(slot.value, Fault):
            raise slot.value
        if not isinstance(slot.value, Answered):
            raise Unreachable("the node did not answer in time")
        return slot.value

    async def _write(self) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled = trio.Event()
            envelopes, self._outbox = self._outbox, []
            frames = [encode_message(Submit(batch)) for batch in batches(envelopes)]
            await self._stream.send(*frames)

    async def _read(self) -> None:
        while True:
            frame = await self._stream.receive()
            self._dispatch(decode_node_message(frame, PeerFault))

    def _dispatch(self, message: NodeMessage) -> None:
        if isinstance(message, Outcomes):
            for tag, sealed in message.outcomes:
                self._answer(tag, sealed)
        elif isinstance(message, Refused):
            for refusal in message.refusals:
                fault = LocalFault(refusal.code[:64], refusal.message[:512])
                self._answer(refusal.tag, fault)
        elif isinstance(message, Answered):
            slot = self._replies.get(message.number)
            if slot is not None:
                slot.fill(message)
        elif isinstance(message, Welcome) and self._welcome is not None:
            self._welcome.fill(message)

    def _answer(self, tag: bytes, answer: Answer) -> None:
        on_answer = self._waiting.pop(tag, None)
        if on_answer is not None:
            on_answer(answer)

    def _lose(self, fault: Fault) -> None:
        if self.lost is not None:
            return
        self.lost = fault
        self.ended.set()
        waiting, self._waiting = self._waiting, {}
        for on_answer in waiting.values():
            on_answer(Unreachable(f"the connection to the node is lost: {fault}"))
        for slot in (*self._replies.values(), self._welcome):
            if slot is not None:
                slot.fill(Unreachable(f"the connection to the node is lost: {fault}"))


class _Slot:
    """Room for one answer."""

    def __init__(self) -> None:
        self.filled = trio.Event()
        self.value: Answered | Welcome | Fault | None = None

    def fill(self, value: Answered | Welcome | Fault) -> None:
        self.value = value
        self.filled.set()


@asynccontextmanager
async def open_connection(
    address: str,
    network: bytes,
    record: bytes,
    *,
    allow_simulated: bool,
    timeout_ms: int = 10_000,
    epoch: int | None = None,
    whole_chain: bool = False,
) -> AsyncIterator[NodeConnection]:
    """Dial a node, verify it, and keep the connection for as long as the context lasts.

    `record` is the digest of the newest record that is trusted, `epoch` its epoch where known; the
    node shows its chain from there, or with `whole_chain` from record 0. Unreachable when nobody
    answers; AttestationFault or PeerFault when the node is not trusted.
    """
    async with connect(address, timeout_ms=timeout_ms) as stream:
        welcome, expected = await _greet(
            stream, network, record, allow_simulated, timeout_ms, whole_chain
        )
        expected = replace(expected, epoch=epoch)
        node = await trio.to_thread.run_sync(verify_welcome, welcome, expected)
        connection = NodeConnection(stream, node, allow_simulated)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            try:
                yield connection
            finally:
                nursery.cancel_scope.cancel()


async def fetch_offer(
    address: str, network: bytes, *, allow_simulated: bool, timeout_ms: int = 10_000
) -> Offer:
    """What a node says of the network that others may found with it; faults as above."""
    async with connect(address, timeout_ms=timeout_ms) as stream:
        welcome, expected = await _greet(stream, network, b"", allow_simulated, timeout_ms)
        return await trio.to_thread.run_sync(verify_offer, welcome, expected)


async def fetch_standing(
    address: str, network: bytes, *, allow_simulated: bool, timeout_ms: int = 10_000
) -> tuple[Welcome, VerifiedNode]:
    """What a node says of a network that runs, and that as verified; faults as above."""
    async with connect(address, timeout_ms=timeout_ms) as stream:
        welcome, expected = await _greet(stream, network, b"", allow_simulated, timeout_ms)
        return welcome, await trio.to_thread.run_sync(verify_welcome, welcome, expected)


async def _greet(
    stream: FrameStream,
    network: bytes,
    record: bytes,
    allow_simulated: bool,
    timeout_ms: int,
    whole_chain: bool = False,
) -> tuple[Welcome, Expectation]:
    """A node's welcome over a fresh nonce, and what to hold it against."""
    nonce = os.urandom(32)
    expected = Expectation(network, record, stream.remote, nonce, int(time.time()), allow_simulated)

    async def greet(hello: Hello) -> Welcome:
        await stream.send(encode_message(hello))
        message = decode_node_message(await stream.receive(), PeerFault)
        if isinstance(message, Refused) and message.refusals:
            raise Unreachable(message.refusals[0].message[:512])
        if not isinstance(message, Welcome):
            raise PeerFault("protocol", "the node did not introduce itself")
        return message

    with trio.move_on_after(timeout_ms / 1000):
        pinned = b"" if whole_chain else record
        return await whole_welcome(greet, Hello(nonce, pinned, network)), expected
    raise Unreachable("the node did not introduce itself in time")


async def whole_welcome(greet: Callable[[Hello], Awaitable[Welcome]], hello: Hello) -> Welcome:
    """A node's welcome with all its records, however many pages they fill; nothing is checked."""
    welcome = await greet(hello)
    records = page = welcome.records
    for _ in range(limits.MAX_RECORD_PAGES):
        if not is_full_page(page):
            break
        last = codec.decode(page[-1], SignedEpochRecord, limits.MAX_SIGNED_RECORD_BYTES)
        welcome = await greet(msgspec.structs.replace(hello, pinned=record_digest(last.record)))
        page = welcome.records
        records += page[1:]
    return msgspec.structs.replace(welcome, records=records)
