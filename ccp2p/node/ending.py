"""How an epoch ends at one node: by CLOSE, where governors said, or left behind by others.

Once somebody shows the next record, the last blocks of the epoch are asked for, to be replayed; if
that does not lead to the record's commit in a while, its state is fetched instead.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

import trio

from ccp2p.model import codec
from ccp2p.model.epoch import SignedEpochRecord, parse_record
from ccp2p.node.boundary import Boundary
from ccp2p.node.messages import RecordComplete, RecordSignature, encode_message
from ccp2p.node.roster_keeper import CLOSING, Closing
from ccp2p.node.survivor import Survivor
from ccp2p.storage.store import Batch

_LAG_S: Final = 0.5  # between two questions for the end of an epoch that others left
_LAG_PATIENCE_S: Final = 15.0  # until state is fetched instead of replaying that end


@dataclass(frozen=True, slots=True)
class Ended:
    """How an epoch ended here: by CLOSE, and what it left; or None: state is to be fetched.

    `early` are frames of the next epoch that came before its record; `successor` is that record,
    if somebody showed it. `saw_end`: it ended after this process started, so that no earlier one of
    this node signed anything in the next epoch.
    """

    closing: Closing | None
    early: tuple[tuple[bytes, bytes], ...]
    successor: SignedEpochRecord | None
    saw_end: bool


class Ending:
    """Watches for the end of one epoch; `over` is cancelled then.

    `saw_end()` is asked at the end; `fetch()` asks all seats for what they hold of the epoch;
    `settled`, `write` and `send` are as in `survivor`.
    """

    def __init__(
        self,
        *,
        boundary: Boundary,
        survivor: Survivor,
        saw_end: Callable[[], bool],
        fetch: Callable[[], None],
        settled: Callable[[], AbstractAsyncContextManager[None]],
        write: Callable[[Batch], Awaitable[None]],
        send: Callable[[bytes, bytes], bool],
    ) -> None:
        self.over = trio.CancelScope()
        self.ended: Ended | None = None
        self._boundary = boundary
        self._survivor = survivor
        self._saw_end = saw_end
        self._fetch = fetch
        self._settled = settled
        self._write = write
        self._send = send
        self._is_left_behind = trio.Event()

    def end(self, closing: Closing | None) -> None:
        """The epoch ends here and now."""
        boundary = self._boundary
        self.ended = Ended(closing, boundary.early, boundary.successor_signed, self._saw_end())
        self.over.cancel()

    def hear(
        self, node: bytes, message: RecordSignature | RecordComplete, frame: bytes, now_ms: int
    ) -> None:
        """What a peer says of epoch records; PeerFault when it is another than counts here."""
        word = self._boundary.hear(node, message, frame, now_ms)
        if word is not None:
            self._send(node, encode_message(word))
        if self._boundary.lags(node, message, now_ms):
            self._fetch()
        self._see()

    def learn(self, records: Sequence[SignedEpochRecord]) -> None:
        """Learn of the next epoch's record, perhaps; PeerFault as above."""
        self._boundary.learn(records)
        self._see()

    def remind(self, node: bytes, now_ms: int) -> None:
        """Tell a peer that speaks of a past epoch that this one has begun."""
        word = self._boundary.remind(node, now_ms)
        if word is not None:
            self._send(node, encode_message(word))

    async def find(self) -> None:
        """Once others left this epoch, get its last blocks; if that fails, fetch the state."""
        await self._is_left_behind.wait()
        with trio.move_on_after(_LAG_PATIENCE_S):
            while not await self._has_recovered():
                self._fetch()
                await trio.sleep(_LAG_S)
        if self.ended is None:
            self.end(None)

    def _see(self) -> None:
        if self._boundary.successor is not None:
            self._is_left_behind.set()

    async def _has_recovered(self) -> bool:
        """End the epoch where governors said, if this node stands there; True if it went beyond."""
        signed = self._boundary.successor_signed
        record = parse_record(signed.record) if signed else None
        if signed is None or record is None or record.recovery is None:
            return False
        async with self._settled():
            closing = self._survivor.closing(signed)
            if closing is not None:
                meta = {CLOSING: codec.encode(closing)}
                await self._write(Batch(epoch=record.epoch - 1, meta=meta))
                self.end(closing)
            return self._survivor.stand.commit >= record.close_commit
