"""How what members and nodes want ordered gets into a block: into ours, or into a seat's.

A member may come to any node. One that has no seat, or does not vote yet, hands on what it takes,
and gives the outcome itself, since it executes whatever is ordered. A seat keeps half of its queue
from what is handed on, and takes from each node so much a second.
"""

import math
from collections.abc import Callable
from typing import Final

import trio

from ccp2p.crypto import envelopes as wire
from ccp2p.model import limits
from ccp2p.model.envelope import batches, parse_envelope
from ccp2p.model.errors import PeerFault
from ccp2p.node.messages import HandedOn, Relay, encode_message
from ccp2p.node.quota import Allowance
from ccp2p.node.registry import Registry
from ccp2p.node.seat import Seat

_TURN_S: Final = 4.0  # clients wait longer: what they repeat later than this went by another seat


class Courier:
    """One node in one epoch. `allowance` and `queue_bytes` bound what is taken here to be ordered.

    `send(node, frame)` says whether the node is connected; `wake()` calls for a step of the core.
    """

    def __init__(
        self,
        *,
        seat: Seat,
        registry: Registry,
        allowance: Allowance,
        queue_bytes: int,
        send: Callable[[bytes, bytes], bool],
        wake: Callable[[], None],
    ) -> None:
        self._seat = seat
        self._core = seat.core
        self._registry = registry
        self._allowance = allowance
        self._queue_bytes = queue_bytes
        self._send = send
        self._wake = wake
        self._turn = 0
        self._turned_s = -math.inf
        self._handing = Allowance(limits.HANDED_ON_PER_S, 0.0)
        self._allowed: dict[bytes, Allowance] = {}

    def submit(self, envelopes: list[bytes], *, is_repeated: bool = False) -> int:
        """See a client's envelopes into blocks; how many of them, from the front, were taken.

        What is repeated had no outcome in time: it goes by another seat, as does all after it.
        """
        if self._seat.queued_bytes >= self._queue_bytes:
            return 0
        now_s = trio.current_time()
        allowed = envelopes[: self._allowance.take(len(envelopes), now_s)]
        if self._votes:
            return self._queue(allowed)
        if is_repeated and now_s - self._turned_s >= _TURN_S:
            self._turn, self._turned_s = self._turn + 1, now_s
        allowed = allowed[: self._handing.take(len(allowed), now_s)]
        return len(allowed) if self._hand_on(allowed) else self._queue(allowed)

    def submit_membership(self, events: list[bytes]) -> None:
        """See our own membership events into a block: each time by the next, lest one be deaf."""
        if self._votes:
            self._seat.queue_membership(events)
            self._wake()
            return
        self._turn += 1
        self._to_a_seat(encode_message(Relay(tuple(events))))

    def hear(self, node: bytes, message: Relay | HandedOn) -> None:
        """Take what a node without a vote hands on; PeerFault when it should not have sent it.

        What comes late, too often or to who has no seat is dropped: it is sent again.
        """
        now_s = trio.current_time()
        if isinstance(message, Relay):
            events = self._registry.relayed(node, message, int(now_s * 1000))
            self._seat.queue_membership(events)
            self._wake()
        elif self._registry.place_of(node) != "none":
            self._take(node, message, now_s)

    def _take(self, node: bytes, message: HandedOn, now_s: float) -> None:
        allowance = self._allowed.get(node)
        if allowance is None:
            allowance = self._allowed[node] = Allowance(limits.HANDED_ON_PER_S, now_s)
        count = allowance.take(len(message.envelopes), now_s)
        room = limits.ENVELOPE_QUEUE // 2 - self._seat.queued
        is_full = 2 * self._seat.queued_bytes >= self._queue_bytes
        taken = self._of_epoch(message.envelopes[: 0 if is_full else max(0, min(count, room))])
        self._queue(taken[: self._allowance.take(len(taken), now_s)])

    def _of_epoch(self, data: tuple[bytes, ...]) -> list[bytes]:
        """Those of our epoch. The node before us has checked them, so bad ones are its fault."""
        epoch = self._core.committee.epoch
        tags = wire.tags_of(list(data), epoch)
        return [
            one
            for one, tag in zip(data, tags, strict=True)
            if tag is not None or parse_envelope(one, PeerFault).epoch == epoch
        ]

    @property
    def _votes(self) -> bool:
        return self._core.me >= 0 and not self._core.starting

    def _queue(self, envelopes: list[bytes]) -> int:
        taken = self._seat.submit(envelopes) if self._core.me >= 0 else 0
        self._wake()
        return taken

    def _hand_on(self, envelopes: list[bytes]) -> bool:
        """Send envelopes to one seat; False where none is connected."""
        frames = (encode_message(HandedOn(batch)) for batch in batches(envelopes))
        return all(map(self._to_a_seat, frames))

    def _to_a_seat(self, frame: bytes) -> bool:
        """Send to the seat whose turn it is, or to the next that is connected."""
        seats = self._core.committee.seats
        others = [seat for index, seat in enumerate(seats) if index != self._core.me]
        for _ in others:
            if self._send(others[self._turn % len(others)].node, frame):
                return True
            self._turn += 1
        return False
