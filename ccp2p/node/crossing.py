"""A node between two epochs: it completes the record, comes by the secret, and serves laggards.

It ends when the next epoch can begin here, or, for a node that is not in it, a while later: those
who still replay the end of the old epoch need somebody to ask.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from ccp2p.membership.records import Link
from ccp2p.membership.roster import Roster
from ccp2p.model.epoch import parse_record, record_digest
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.node.correspondence import FrameFeed
from ccp2p.node.desk import known_addresses
from ccp2p.node.handover import Handover
from ccp2p.node.messages import (
    FetchBlocks,
    PeerMessage,
    RecordComplete,
    RecordSignature,
    SecretReply,
    SecretRequest,
    decode_message,
    encode_message,
)
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.roster_keeper import Closing
from ccp2p.node.seat import serve_blocks
from ccp2p.node.setup import NodeSetup
from ccp2p.node.steward import Steward
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets
from ccp2p.storage.store import Store

_log = structlog.get_logger()

_SPEAK_S: Final = 0.5
_SERVE_ON_S: Final = 5.0  # how long a node that left goes on serving
_LATER_FRAMES: Final = 512  # of the next epoch, until it begins here


@dataclass(frozen=True, slots=True)
class Crossed:
    """The record of the next epoch, and its secrets unless this node is not in it."""

    record: NetworkRecord
    secrets: EpochSecrets | None


class Crossing:
    """One crossing. `send(node, frame)` queues without blocking."""

    def __init__(
        self,
        setup: NodeSetup,
        record: NetworkRecord,
        closing: Closing,
        steward: Steward,
        store: Store,
        send: Callable[[bytes, bytes], bool],
        feed: FrameFeed,
    ) -> None:
        self._node = setup.identity.node
        self._record = record
        self._closing = closing
        self._roster = Roster.decode(closing.roster)
        self._steward = steward
        self._store = store
        self._send = send
        self._feed = feed
        self._coin_length = setup.genesis.parameters.coin_length
        self._later: deque[tuple[bytes, bytes]] = deque(maxlen=_LATER_FRAMES)
        self._secret = b""
        previous = Link(parse_record(record.signed.record), record_digest(record.signed.record))
        self._before = [seat.node for seat in previous.record.seats]
        self._after = [one.node for one in (*self._roster.members, *self._roster.observers)]
        self._handover = Handover(previous, closing.record, self._node, setup.identity.signing.sign)

    async def run(self) -> Crossed:
        """Return when the next epoch may begin here."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak)
            await self._listen()
            self._tell_all()
            nursery.cancel_scope.cancel()
        signed = self._handover.signed
        if signed is None:
            raise LocalFault("record", "the crossing ended without a record")
        addresses = known_addresses(self._record, self._roster)
        self._feed.put_back(self._later)
        if not self._goes_on:
            with trio.move_on_after(_SERVE_ON_S):
                await self._listen_on()
            return Crossed(self._record.followed_by(signed, b"", addresses), None)
        secrets = await trio.to_thread.run_sync(self._secrets)
        record = self._record.followed_by(signed, secrets.secret, addresses)
        return Crossed(record, secrets)

    @property
    def _goes_on(self) -> bool:
        return self._node in self._after

    @property
    def _is_done(self) -> bool:
        if self._handover.signed is None:
            return False
        return not self._goes_on or bool(self._own_secret())

    def _own_secret(self) -> bytes:
        return self._secret or self._steward.secret_of(self._closing.record.epoch_key) or b""

    def _secrets(self) -> EpochSecrets:
        ready = self._steward.take_secrets(self._closing.record.epoch_key)
        return ready or EpochSecrets(self._own_secret(), self._coin_length)

    async def _listen(self) -> None:
        while not self._is_done:
            await self._next()

    async def _listen_on(self) -> None:
        while True:
            await self._next()

    async def _next(self) -> None:
        node, frame = await anext(self._feed)
        try:
            message = decode_message(frame)
            if isinstance(message, RecordSignature | RecordComplete):
                self._handover.hear(node, message)
                if self._handover.signed and isinstance(message, RecordSignature):
                    self._tell(node, self._handover.word)
            elif isinstance(message, FetchBlocks):
                if node in self._before or node in self._after:
                    self._tell(node, await trio.to_thread.run_sync(self._serve, message))
            elif isinstance(message, SecretRequest):
                self._tell(node, self._hand_out(node, message))
            elif isinstance(message, SecretReply):
                await trio.to_thread.run_sync(self._take_secret, message)
            else:
                self._later.append((node, frame))
        except PeerFault as fault:
            name = node.hex()[:16]
            _log.warning("peer at fault", node=name, code=fault.code, reason=str(fault))

    def _serve(self, request: FetchBlocks) -> PeerMessage:
        return serve_blocks(
            self._store, request, lambda reference: self._store.block(reference) or b""
        )

    def _hand_out(self, node: bytes, request: SecretRequest) -> SecretReply:
        secret = b""
        if node in self._after and request.epoch_key == self._closing.record.epoch_key:
            secret = self._own_secret()
        return SecretReply(request.epoch_key, secret)

    def _take_secret(self, reply: SecretReply) -> None:
        """Keep a secret that is the record's; PeerFault when it is another."""
        if self._own_secret() or len(reply.secret) != SECRET_BYTES:
            return
        EpochSecrets(reply.secret, self._coin_length).check(self._closing.record)
        self._secret = reply.secret

    async def _speak(self) -> None:
        while True:
            self._tell_all()
            if self._goes_on and not self._own_secret():
                for node in self._after:
                    self._tell(node, SecretRequest(self._closing.record.epoch_key))
            await trio.sleep(_SPEAK_S)

    def _tell_all(self) -> None:
        for node in dict.fromkeys((*self._before, *self._after)):
            self._tell(node, self._handover.word)

    def _tell(self, node: bytes, message: PeerMessage | None) -> None:
        if message is not None and node != self._node:
            self._send(node, encode_message(message))
