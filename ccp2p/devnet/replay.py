"""Replays chat logs as members of a local network and measures what comes of it.

Every nick is a member with its own key; members are spread over the nodes; each log is a room.
Messages go out in file order per member, pipelined, with a bounded number in flight.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from ccp2p.client import rooms
from ccp2p.client.network import NetworkClient
from ccp2p.client.session import MemberSession, require_executed
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.chat_log import ChatMessage
from ccp2p.devnet.gate import Gate
from ccp2p.model import hashing
from ccp2p.model.errors import Fault
from ccp2p.model.outcome import Outcome

_JOINS_AT_ONCE = 128
_TIMEOUT_MS = 60_000

Advance = Callable[[str, int, int], None]
"""(what is under way, done, of how many): for a progress bar."""


@dataclass(slots=True)
class Measured:
    """Latencies in milliseconds from submit to outcome; times in seconds of trio's clock."""

    submitted: int = 0
    committed: int = 0
    rejected: int = 0
    first_submit_s: float = 0.0
    last_outcome_s: float = 0.0
    crash_s: float | None = None
    highest_commit: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    after_crash_ms: list[float] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        """First submit to last outcome."""
        return max(0.0, self.last_outcome_s - self.first_submit_s)


class Replay:
    """Members, rooms and messages of some logs. `in_flight` bounds messages without an outcome."""

    def __init__(
        self, client: NetworkClient, seed: bytes, messages: Sequence[ChatMessage], in_flight: int
    ) -> None:
        self._client = client
        self._seed = seed
        self._messages = messages
        self._in_flight = in_flight
        self._sessions: dict[str, MemberSession] = {}
        self.measured = Measured()

    def reader(self, room: str) -> MemberSession:
        """A session that may read the room: its first speaker's."""
        return self._sessions[next(m.nick for m in self._messages if m.room == room)]

    @property
    def room_names(self) -> list[str]:
        """The rooms, in order of first message."""
        return list(dict.fromkeys(m.room for m in self._messages))

    async def prepare(self, advance: Advance) -> None:
        """Open every member's session, create the rooms and let the members join."""
        nicks = list(dict.fromkeys(m.nick for m in self._messages))
        for index, nick in enumerate(nicks):
            key = SigningKey(hashing.keyed(hashing.SIMULATED, self._seed, nick.encode()))
            self._sessions[nick] = self._client.session(key, prefer=index)
        jobs = [(self._sessions[nick].open, (_TIMEOUT_MS,)) for nick in nicks]
        await _all(jobs, "members", advance)
        creators = [(self._create, (room,)) for room in self.room_names]
        await _all(creators, "rooms", advance)
        places = list(dict.fromkeys((m.nick, m.room) for m in self._messages))
        joins = [(self._join, place) for place in places]
        await _all(joins, "joins", advance)

    async def _create(self, room: str) -> None:
        nick = next(m.nick for m in self._messages if m.room == room)
        outcome = await self._sessions[nick].submit(rooms.create(room, False, nick), _TIMEOUT_MS)
        if outcome.body != b"room-exists":
            require_executed(outcome)

    async def _join(self, nick: str, room: str) -> None:
        await rooms.ask_join(self._sessions[nick], room, nick, _TIMEOUT_MS)

    async def run(self, advance: Advance, *, crash: Callable[[], None] | None = None) -> Measured:
        """Send everything; `crash` is called once, midway. Returns when every outcome is in."""
        measured = self.measured
        total = len(self._messages)
        finished = trio.Event()
        room_free = Gate(self._in_flight)
        done = 0

        def on_done(started_s: float, result: Outcome | Fault) -> None:
            nonlocal done
            done += 1
            self._count(started_s, result)
            room_free.leave()
            if done % 64 == 0 or done == total:
                advance("messages", done, total)
            if done == total:
                finished.set()

        measured.first_submit_s = trio.current_time()
        for index, message in enumerate(self._messages):
            if crash is not None and index == total // 2:
                measured.crash_s = trio.current_time()
                crash()
            await room_free.enter()
            started_s = trio.current_time()
            measured.submitted += 1
            self._sessions[message.nick].post(
                rooms.post(message.room, message.text),
                lambda result, started_s=started_s: on_done(started_s, result),
            )
        if total:
            await finished.wait()
        return measured

    def _count(self, started_s: float, result: Outcome | Fault) -> None:
        measured = self.measured
        now_s = trio.current_time()
        measured.last_outcome_s = now_s
        if isinstance(result, Outcome) and result.status == "ok":
            measured.committed += 1
            measured.highest_commit = max(measured.highest_commit, result.commit)
            latency_ms = (now_s - started_s) * 1000
            after = measured.crash_s is not None and started_s >= measured.crash_s
            (measured.after_crash_ms if after else measured.latencies_ms).append(latency_ms)
        else:
            measured.rejected += 1


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
