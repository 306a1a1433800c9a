"""Replays chat logs as members of a local network and measures what comes of it.

Every nick is a member with its own key; members are spread over the nodes; each log is a room.
Messages go out in file order per member, pipelined, with a bounded number in flight.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from ccp2p.client import rooms
from ccp2p.client.network import NetworkClient
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.chat_log import ChatMessage
from ccp2p.devnet.gate import Gate
from ccp2p.model import hashing
from ccp2p.model.errors import Fault, MemberFault, NotCommitted
from ccp2p.model.outcome import Outcome

_JOINS_AT_ONCE = 128
_TIMEOUT_MS = 60_000

Advance = Callable[[str, int, int], None]
"""(what is under way, done, of how many): for a progress bar."""
OnDone = Callable[[float, Outcome | Fault], None]
"""(when a message was submitted, what became of it)."""


@dataclass(slots=True)
class Measured:
    """Latencies in milliseconds from submit to outcome; times in seconds of trio's clock.

    `refusals` counts rejected messages by reason code.
    """

    submitted: int = 0
    committed: int = 0
    first_submit_s: float = 0.0
    last_outcome_s: float = 0.0
    crash_s: float | None = None
    highest_commit: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    after_crash_ms: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        """Messages that the network refused, or that could not be sent."""
        return self.refusals.total()

    @property
    def elapsed_s(self) -> float:
        """First submit to last outcome."""
        return max(0.0, self.last_outcome_s - self.first_submit_s)

    def count(self, started_s: float, result: Outcome | Fault) -> None:
        """What became of the message that was submitted at `started_s`."""
        self.last_outcome_s = trio.current_time()
        if isinstance(result, Fault):
            self.refusals[result.code] += 1
            return
        self.highest_commit = max(self.highest_commit, result.commit)
        if result.status != "ok":
            self.refusals[result.body.decode(errors="replace")] += 1
            return
        self.committed += 1
        after = self.crash_s is not None and started_s >= self.crash_s
        latencies_ms = self.after_crash_ms if after else self.latencies_ms
        latencies_ms.append((self.last_outcome_s - started_s) * 1000)


class Replay:
    """Members, rooms and messages of some logs. `in_flight` bounds messages without an outcome."""

    def __init__(
        self, client: NetworkClient, seed: bytes, messages: Sequence[ChatMessage], in_flight: int
    ) -> None:
        self._client = client
        self._seed = seed
        self._messages = messages
        self._places = list(dict.fromkeys((m.nick, m.room) for m in messages))
        self._in_flight = in_flight
        self._sessions: dict[str, MemberSession] = {}
        self._readers: dict[str, MemberSession] = {}
        self.measured = Measured()

    @property
    def readers(self) -> dict[str, MemberSession]:
        """A session that may read, for each room that somebody joined; by first message."""
        return {room: self._readers[room] for room in self._rooms() if room in self._readers}

    def _rooms(self) -> list[str]:
        return list(dict.fromkeys(room for _, room in self._places))

    async def prepare(self, advance: Advance) -> None:
        """Open every member's session, create the rooms and let the members join.

        A nick that no room takes joins none; its messages will be rejected.
        """
        nicks = list(dict.fromkeys(nick for nick, _ in self._places))
        for index, nick in enumerate(nicks):
            key = SigningKey(hashing.keyed(hashing.SIMULATED, self._seed, nick.encode()))
            self._sessions[nick] = self._client.session(key, prefer=index)
        jobs = [(self._sessions[nick].open, (_TIMEOUT_MS,)) for nick in nicks]
        await _all(jobs, "members", advance)
        await _all([(self._create, (room,)) for room in self._rooms()], "rooms", advance)
        await _all([(self._join, place) for place in self._places], "joins", advance)

    async def _create(self, room: str) -> None:
        for nick in (nick for nick, joined in self._places if joined == room):
            outcome = await self._submit(nick, rooms.create(room, False, nick))
            if outcome.status == "ok" or outcome.body == b"room-exists":
                return

    async def _join(self, nick: str, room: str) -> None:
        outcome = await self._submit(nick, rooms.join(room, nick))
        if outcome.status == "ok":
            self._readers.setdefault(room, self._sessions[nick])

    async def _submit(self, nick: str, body: bytes) -> Outcome:
        outcome = await self._sessions[nick].submit(body, _TIMEOUT_MS)
        self.measured.highest_commit = max(self.measured.highest_commit, outcome.commit)
        return outcome

    async def run(self, advance: Advance, *, crash: Callable[[], None] | None = None) -> Measured:
        """Send everything; `crash` is called once, midway. Returns when every outcome is in.

        NotCommitted when none came for a minute.
        """
        measured = self.measured
        total = len(self._messages)
        finished = trio.Event()
        room_free = Gate(self._in_flight)

        def on_done(started_s: float, result: Outcome | Fault) -> None:
            measured.count(started_s, result)
            room_free.leave()
            done = measured.committed + measured.rejected
            if done % 64 == 0 or done == total:
                advance("messages", done, total)
            if done == total:
                finished.set()

        measured.first_submit_s = measured.last_outcome_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            for index, message in enumerate(self._messages):
                if crash is not None and index == total // 2:
                    measured.crash_s = trio.current_time()
                    crash()
                await room_free.enter()
                self._post(message, on_done)
            if total:
                await finished.wait()
            nursery.cancel_scope.cancel()
        return measured

    def _post(self, message: ChatMessage, on_done: OnDone) -> None:
        started_s = trio.current_time()
        self.measured.submitted += 1
        try:
            self._sessions[message.nick].post(
                rooms.post(message.room, message.text),
                lambda result: on_done(started_s, result),
            )
        except MemberFault as fault:
            on_done(started_s, fault)

    async def _watch(self) -> None:
        """Give up on a network that stands still."""
        while True:
            heard_s = self.measured.last_outcome_s
            await trio.sleep(_TIMEOUT_MS / 1000)
            if heard_s == self.measured.last_outcome_s:
                raise NotCommitted(f"no outcome for {_TIMEOUT_MS // 1000} s: the network stands")


async def _all(
    jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]], what: str, advance: Advance
) -> None:
    """Run jobs, a bounded number at once."""
    limiter = trio.CapacityLimiter(_JOINS_AT_ONCE)
    done = 0

    async def one(job: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        nonlocal done
        async with limiter:
            await job(*arguments)
        done += 1
        advance(what, done, len(jobs))

    async with trio.open_nursery() as nursery:
        for job, arguments in jobs:
            nursery.start_soon(one, job, arguments)


def percentiles(latencies_ms: list[float]) -> dict[str, float] | None:
    """p50, p90 and p99 by rank; None of nothing."""
    if not latencies_ms:
        return None
    ranked = sorted(latencies_ms)

    def rank(share: float) -> float:
        return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 1)

    return {"p50": rank(0.5), "p90": rank(0.9), "p99": rank(0.99)}
