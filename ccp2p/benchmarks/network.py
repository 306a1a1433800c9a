"""How much a network of real processes orders, executes and answers, and what it costs.

The load is sealed and signed before the clock starts. The rate counts events that every node has
executed; latency runs from submit to outcome at the client.
"""

import gc
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from ccp2p.client import kv
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.session import MemberSession, SealedEvent
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.gate import Gate
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.devnet.replay import percentiles
from ccp2p.devnet.transcripts import wait_for_commit
from ccp2p.model import codec
from ccp2p.model.envelope import Event
from ccp2p.model.errors import Fault, LocalFault
from ccp2p.model.outcome import Outcome

MEMBERS = 256
_TIMEOUT_MS = 60_000
_OBJECTS_PER_COLLECTION = 50_000  # as in a node: events under way are many objects, in no cycle

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Load:
    """`size` is the padded event in bytes; `rate` events a second, or 0 for as fast as it goes."""

    nodes: int
    events: int
    size: int
    rate: float
    pure: bool
    in_flight: int


async def measure(load: Load, advance: Advance) -> dict[str, Any]:
    """Run the load once; the `bench-network/1` object."""
    if load.pure:
        os.environ["CCP2P_PURE"] = "1"  # for the node processes; this one chose at its import
    with tempfile.TemporaryDirectory(prefix="ccp2p-bench-") as folder:
        plan = Plan(Path(folder), load.nodes, app="kv")
        async with (
            run_network(plan, lambda _: None) as network,
            open_network(network.ticket, allow_simulated=True, every_node=True) as client,
        ):
            sessions = await open_members(client, advance)
            events = seal_load(sessions, load, advance)
            gc.freeze()  # the load was made beforehand, and is not looked through while it is sent
            gc.set_threshold(_OBJECTS_PER_COLLECTION)
            before = [node.cpu_s() for node in network.nodes]
            run = Run(load, events)
            own_ns = time.process_time_ns()
            elapsed_s = await run.measure(client, advance)
            client_us = (time.process_time_ns() - own_ns) / 1000 / load.events
            after = [node.cpu_s() for node in network.nodes]
            report = await _report(load, run, elapsed_s, network, before, after)
            return report | {"client_us_per_event": round(client_us, 2)}


async def open_members(client: NetworkClient, advance: Advance) -> list[MemberSession]:
    """Sessions of many members, spread over the nodes."""
    sessions = [client.session(SigningKey.generate(), prefer=i) for i in range(MEMBERS)]
    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(session.open, _TIMEOUT_MS)
    advance("members", MEMBERS, MEMBERS)
    return sessions


def seal_load(
    sessions: list[MemberSession], load: Load, advance: Advance
) -> list[tuple[MemberSession, SealedEvent]]:
    """The load's events, sealed and signed."""
    value = bytes(_value_bytes(load.size))
    events = []
    for number in range(load.events):
        session = sessions[number % len(sessions)]
        body = kv.put_body(number.to_bytes(8, "big"), value)
        events.append((session, session.seal(body)))
        if number % 1000 == 0:
            advance("sealing", number, load.events)
    return events


def _value_bytes(size: int) -> int:
    """The longest value whose event still fits `size` bytes with its length in front."""
    empty = Event(bytes(32), 1 << 32, kv.put_body(bytes(8), bytes(64)), bytes(64))
    room = size - 4 - len(codec.encode(empty)) + 64
    if room < 0:
        raise LocalFault("size", f"an event cannot be as small as {size} bytes")
    return room


class Run:
    """Sends a load and waits for its end; what came of it."""

    def __init__(self, load: Load, events: list[tuple[MemberSession, SealedEvent]]) -> None:
        self._load = load
        self._events = events
        self._gate = Gate(load.in_flight)
        self._finished = trio.Event()
        self._advance: Advance = lambda *_: None
        self.latencies_ms: list[float] = []
        self.refused = 0
        self.highest_commit = 0

    async def measure(self, client: NetworkClient, advance: Advance) -> float:
        """Send everything; seconds until every node executed all of it."""
        self._advance = advance
        started_s = trio.current_time()
        for number, (session, event) in enumerate(self._events):
            if self._load.rate:
                await trio.sleep_until(started_s + number / self._load.rate)
            await self._gate.enter()
            submitted_s = trio.current_time()
            session.post_sealed(event, partial(self._done, submitted_s))
        await self._finished.wait()
        await wait_for_commit(client.live(), self.highest_commit)
        return trio.current_time() - started_s

    def _done(self, submitted_s: float, result: Outcome | Fault) -> None:
        self._gate.leave()
        if isinstance(result, Outcome) and result.status == "ok":
            self.latencies_ms.append((trio.current_time() - submitted_s) * 1000)
            self.highest_commit = max(self.highest_commit, result.commit)
        else:
            self.refused += 1
        done = len(self.latencies_ms) + self.refused
        if done % 512 == 0:
            self._advance("events", done, len(self._events))
        if done == len(self._events):
            self._finished.set()


async def _report(
    load: Load,
    run: Run,
    elapsed_s: float,
    network: LocalNetwork,
    before: list[float],
    after: list[float],
) -> dict[str, Any]:
    if run.refused:
        raise LocalFault("refused", f"{run.refused} events were refused; the figures would lie")
    ends = [await node.stop() for node in network.nodes]
    stages: dict[str, float] = {}
    for end in ends:
        for stage, spent_us in end.get("cpu_us", {}).items():
            stages[stage] = stages.get(stage, 0.0) + spent_us / load.events
    total = sum(b - a for a, b in zip(before, after, strict=True)) * 1_000_000 / load.events
    stages["other"] = max(0.0, total - sum(stages.values()))
    shown = {stage: round(value, 2) for stage, value in sorted(stages.items())}
    return {
        "schema": "bench-network/1",
        "nodes": load.nodes,
        "events": load.events,
        "size": load.size,
        "native": not load.pure,
        "events_per_s": round(load.events / elapsed_s, 1),
        "latency_ms": percentiles(run.latencies_ms),
        "cpu_us_per_event": {**shown, "total": round(total, 2)},
        "bytes_per_event": round(sum(e.get("sent_bytes", 0) for e in ends) / load.events, 1),
    }
