"""What members may ask of a node, on the client listener.

Sizes, epoch and rate are checked here, once; everything accepted waits in a bounded queue for the
next block. Answers go to whoever submitted the envelope, and only the member can read them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog
import trio

from ccp2p.crypto import envelopes
from ccp2p.model import hashing, limits
from ccp2p.model.envelope import parse_envelope
from ccp2p.model.errors import Fault, MemberFault, fault_in
from ccp2p.model.member_protocol import (
    AskHosting,
    ClientMessage,
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
    Refusal,
    Refused,
    Reply,
    ShareTaken,
    Status,
    Submit,
    Welcome,
    decode_client_message,
    encode_message,
)
from ccp2p.node.turns import Share

_log = structlog.get_logger()

_OUTBOX_FRAMES = 1024  # answers that wait for a slow client before it is cut


class FrameStream(Protocol):
    """A client's connection: whole frames both ways."""

    async def send(self, *frames: bytes) -> None:
        """Send frames together."""

    async def receive(self) -> bytes:
        """The next frame."""

    async def aclose(self) -> None:
        """Close the connection."""


class Backend(Protocol):
    """What the API needs of its node."""

    @property
    def epoch(self) -> int | None:
        """The epoch at work; None while there is none."""

    def welcome(self, hello: Hello) -> Welcome:
        """Fresh evidence, and the epoch records from the pinned one. In a thread."""

    def submit(self, envelopes: list[bytes], *, is_repeated: bool) -> int:
        """See envelopes into a block; the number taken, in order. Repeated: none came in time."""

    async def query(self, query: Query) -> Reply:
        """Answer a member's read."""

    def status(self, query: GetStatus) -> Status:
        """How far this node is."""

    def shown_peers(self, query: GetPeers) -> Peers:
        """Whom this node is connected to."""

    async def recover(self, asked: Recover) -> Recovered:
        """Go on by what governors approved, or say why not."""

    def take_share(self, given: GiveShare) -> ShareTaken:
        """Take a governor's recovery share, or say why not."""

    async def host(self, asked: AskHosting) -> Hosting:
        """Answer whoever wants to place a group here."""


@dataclass(slots=True, eq=False)
class _Client:
    outbox: trio.MemorySendChannel[NodeMessage]
    network: bytes
    waiting: set[bytes] = field(default_factory=set)
    greeted_at: float = -math.inf
    asked_at: float = -math.inf


class ClientApi:
    """Serves every client connection of a node."""

    def __init__(self, backend: Backend, share: Share) -> None:
        self._backend = backend
        self._share = share
        self._attesting = trio.Lock()
        self._waiting: dict[bytes, list[_Client]] = {}
        self._serving: dict[trio.CancelScope, None] = {}

    def waits_for(self, tag: bytes) -> bool:
        """Whether a client of this node waits for the outcome of `tag`."""
        return tag in self._waiting

    async def serve(self, stream: FrameStream, network: bytes, first: ClientMessage) -> None:
        """Run one client's connection to its end. A member's fault ends only this connection.

        `first` is what it began with, `network` what that named.
        """
        send, receive = trio.open_memory_channel[NodeMessage](_OUTBOX_FRAMES)
        client = _Client(send, network)
        try:
            async with trio.open_nursery() as nursery:
                self._serving[nursery.cancel_scope] = None
                try:
                    nursery.start_soon(self._write, stream, receive)
                    await self._read(stream, client, first)
                finally:
                    del self._serving[nursery.cancel_scope]
                nursery.cancel_scope.cancel()
        except* Fault as group:
            fault = fault_in(group)
            _log.info("client left", code=fault.code if fault else "unknown")
        finally:
            self._forget(client)
            await stream.aclose()

    def deliver(
        self, outcomes: list[tuple[bytes, bytes]], dropped: list[tuple[bytes, str]]
    ) -> None:
        """Give sealed outcomes, and words for dropped envelopes, to the clients that wait."""
        by_client: dict[_Client, list[tuple[bytes, bytes]]] = {}
        for tag, sealed in outcomes:
            for client in self._take(tag):
                by_client.setdefault(client, []).append((tag, sealed))
        for client, sealed_outcomes in by_client.items():
            self._put(client, Outcomes(tuple(sealed_outcomes)))
        for tag, code in dropped:
            refusal = Refusal(tag, code, _DROPPED.get(code, "the network dropped this envelope"))
            for client in self._take(tag):
                self._put(client, Refused((refusal,)))

    def void(self) -> None:
        """A new epoch began: nothing that waits was ordered before it ended."""
        waiting = list(self._waiting)
        self.deliver([], [(tag, "wrong-epoch") for tag in waiting])

    def close(self) -> None:
        """End every connection."""
        for scope in self._serving:
            scope.cancel()

    async def _read(self, stream: FrameStream, client: _Client, first: ClientMessage) -> None:
        message = first
        while True:
            answer = await self._answer(message, client)
            if answer is not None:
                self._put(client, answer)
            frame = await stream.receive()
            message = decode_client_message(frame, MemberFault)

    async def _answer(self, message: ClientMessage, client: _Client) -> NodeMessage | None:
        if isinstance(message, Submit):
            return await self._share.run("member", partial(self._submit, message, client))
        if isinstance(message, Query):
            return await self._backend.query(message)
        if isinstance(message, GetStatus):
            return self._backend.status(message)
        if isinstance(message, Recover):
            return await self._backend.recover(message)
        if isinstance(message, GiveShare):
            return self._backend.take_share(message)
        if isinstance(message, GetPeers):
            return self._backend.shown_peers(message)
        if isinstance(message, AskHosting):
            await trio.sleep_until(client.asked_at + limits.HOSTING_INTERVAL_MS / 1000)
            client.asked_at = trio.current_time()
            return await self._backend.host(message)
        if len(message.nonce) != 32:
            raise MemberFault("nonce", "a nonce has 32 bytes")
        if message.network != client.network:
            raise MemberFault("network", "a stream is of one network")
        # Evidence is dear, and a client needs it once a connection and epoch.
        await trio.sleep_until(client.greeted_at + limits.HELLO_INTERVAL_MS / 1000)
        client.greeted_at = trio.current_time()
        async with self._attesting:  # in a thread: a device may take as long as it likes
            return await trio.to_thread.run_sync(self._backend.welcome, message)

    def _submit(self, message: Submit, client: _Client) -> Refused | None:
        refusals: list[Refusal] = []
        tags = self._tags(message.envelopes)
        accepted = [(d, tag) for d, tag in zip(message.envelopes, tags, strict=True) if tag]
        if len(accepted) < len(tags):
            found = list(zip(message.envelopes, tags, strict=True))
            accepted = self._sort_out(found, refusals)
        room = max(0, limits.CLIENT_IN_FLIGHT - len(client.waiting))
        is_repeated = any(tag in client.waiting for _, tag in accepted[:room])
        for _, tag in accepted[:room]:
            self._wait(client, tag)
        data = [data for data, _ in accepted[:room]]
        taken = self._backend.submit(data, is_repeated=is_repeated)
        for _, tag in accepted[taken:]:
            self._take_one(client, tag)
            refusals.append(Refusal(tag, "busy", "the node's queue is full; send it again later"))
        return Refused(tuple(refusals)) if refusals else None

    def _tags(self, data: Sequence[bytes]) -> list[bytes | None]:
        """The tags of plain envelopes of the present epoch; others need a closer look."""
        epoch = self._backend.epoch
        return [None] * len(data) if epoch is None else envelopes.tags_of(data, epoch)

    def _sort_out(
        self, found: list[tuple[bytes, bytes | None]], refusals: list[Refusal]
    ) -> list[tuple[bytes, bytes]]:
        """Those that may be queued; why others may not goes to `refusals`."""
        accepted = []
        for data, plain_tag in found:
            tag = plain_tag or b""
            try:
                if not tag:
                    envelope = parse_envelope(data)
                    tag = envelope.tag
                    self._check_epoch(envelope.epoch)
            except MemberFault as fault:
                refusals.append(Refusal(tag or _tag_of(data), fault.code, str(fault)))
            else:
                accepted.append((data, tag))
        return accepted

    def _check_epoch(self, epoch: int) -> None:
        if self._backend.epoch is None:
            raise MemberFault("not-founded", "the network is still being founded")
        if epoch != self._backend.epoch:
            raise MemberFault(
                "wrong-epoch",
                f"this envelope is sealed for epoch {epoch}; the network is in epoch "
                f"{self._backend.epoch}: open a new session",
            )

    def _wait(self, client: _Client, tag: bytes) -> None:
        if tag not in client.waiting:
            client.waiting.add(tag)
            self._waiting.setdefault(tag, []).append(client)

    def _take(self, tag: bytes) -> list[_Client]:
        clients = self._waiting.pop(tag, [])
        for client in clients:
            client.waiting.discard(tag)
        return clients

    def _take_one(self, client: _Client, tag: bytes) -> None:
        clients = self._waiting.get(tag)
        if clients is not None and client in clients:
            clients.remove(client)
            client.waiting.discard(tag)
            if not clients:
                del self._waiting[tag]

    def _forget(self, client: _Client) -> None:
        for tag in sorted(client.waiting):
            self._take_one(client, tag)

    def _put(self, client: _Client, message: NodeMessage) -> None:
        try:
            client.outbox.send_nowait(message)
        except trio.WouldBlock:
            client.outbox.close()  # it does not read its answers: the writer ends the connection
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass

    async def _write(
        self, stream: FrameStream, receive: trio.MemoryReceiveChannel[NodeMessage]
    ) -> None:
        async for message in receive:
            frames = [encode_message(message)]
            while True:
                try:
                    frames.append(encode_message(receive.receive_nowait()))
                except (trio.WouldBlock, trio.EndOfChannel):
                    break
            await stream.send(*frames)
        raise MemberFault("slow-client", "the client does not read its answers")


_DROPPED = {
    "no-session": "no open session claims this envelope: open a session first",
    "wrong-epoch": "the envelope is sealed for another epoch",
    "sealed": "the envelope does not open under its session's key",
    "bad-signature": "the event inside is not signed by the member",
    "not-invited": "the member is not known and the invite is not this network's",
    "opening": "the session opening is not sealed to this epoch's key",
    "too-many-sessions": "the network holds as many sessions as it may",
}


def _tag_of(data: bytes) -> bytes:
    """What names an envelope that does not parse: the start of its bytes' digest."""
    return hashing.digest(hashing.ENVELOPE, data)[:16]
