"""A relay: it takes connections for nodes that cannot be reached, and tells nodes whether they can.

Rules: a reservation is for attested peers only (`serves`), and ends unless it is renewed; circuits
are bounded in number, bytes and time, for all, a node and a host; a probe dials only where its
asker comes from, so that nobody makes us knock at others' doors.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, PeerFault
from ccp2p.network.addresses import Address, format_address
from ccp2p.network.circuits import (
    Accept,
    Connect,
    Granted,
    Incoming,
    Probe,
    Probed,
    Reserve,
    decode_message,
    encode_message,
)
from ccp2p.network.door import Door
from ccp2p.network.members import EndOfStream, FrameStream, connect
from ccp2p.network.sockets import dial_tcp

_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Reservation:
    stream: FrameStream
    circuits: int = 0


@dataclass(slots=True, eq=False)
class _Circuit:
    """A dialler waits, then the node's stream is here, then both until `ended`."""

    node: bytes
    taken: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    stream: FrameStream | None = None


class Relay:
    """One relay; `serve` is for its listener. `serves(node)` says whom it takes connections for."""

    def __init__(self, serves: Callable[[bytes], bool]) -> None:
        self.carried_bytes = 0
        self._serves = serves
        self._reservations: dict[bytes, _Reservation] = {}
        self._waiting: dict[bytes, _Circuit] = {}
        self._door = Door(limits.CIRCUITS, limits.CIRCUITS_OF_HOST)
        self._probes = Door(limits.PROBES, 1)

    @property
    def reservations(self) -> int:
        """Nodes that connections are taken for."""
        return len(self._reservations)

    @property
    def circuits(self) -> int:
        """Connections that are carried, or wait for the node behind."""
        return self._door.inside

    async def serve(self, stream: FrameStream) -> None:
        """Do what the first message of a stream asks for, to the stream's end."""
        with trio.move_on_after(limits.HANDSHAKE_TIMEOUT_MS / 1000) as scope:
            asked = decode_message(await stream.receive())
        if scope.cancelled_caught:
            return
        if isinstance(asked, Reserve):
            await self._reserve(stream)
        elif isinstance(asked, Connect):
            await self._connect(stream, asked)
        elif isinstance(asked, Accept):
            await self._accept(stream, asked)
        elif isinstance(asked, Probe):
            await self._probe(stream, asked)
        else:
            raise PeerFault("protocol", "a message that nobody sends to a relay")

    async def _reserve(self, stream: FrameStream) -> None:
        node = stream.remote
        is_full = len(self._reservations) >= limits.RESERVATIONS and node not in self._reservations
        if is_full or not self._serves(node):
            await _answer(stream, "full" if is_full else "not-attested")
            return
        reservation = self._reservations[node] = _Reservation(stream)
        _log.info("relaying", node=node.hex()[:16])
        try:
            while self._serves(node) and self._reservations.get(node) is reservation:
                await _answer(stream)
                with trio.move_on_after(limits.RESERVATION_MS / 1000) as scope:
                    if not isinstance(decode_message(await stream.receive()), Reserve):
                        raise PeerFault("protocol", "only renewals follow a reservation")
                if scope.cancelled_caught:
                    return
        finally:
            if self._reservations.get(node) is reservation:
                del self._reservations[node]

    async def _connect(self, stream: FrameStream, asked: Connect) -> None:
        reservation = self._reservations.get(asked.node)
        if reservation is None or reservation.circuits >= limits.CIRCUITS_OF_NODE:
            await _answer(stream, "not-here" if reservation is None else "full")
            return
        place = self._door.take(stream.host)
        if place is None:
            await _answer(stream, "full")
            return
        circuit, name = _Circuit(asked.node), os.urandom(32)
        self._waiting[name] = circuit
        reservation.circuits += 1
        try:
            await reservation.stream.send(encode_message(Incoming(name, asked.door)))
            with trio.move_on_after(limits.CIRCUIT_WAIT_MS / 1000):
                await circuit.taken.wait()
            if circuit.stream is None:
                await _answer(stream, "no-answer")
                return
            await _answer(stream)
            with trio.move_on_after(limits.CIRCUIT_MS / 1000):
                await self._carry(stream, circuit.stream)
        finally:
            self._waiting.pop(name, None)
            circuit.ended.set()
            reservation.circuits -= 1
            place.give_back()

    async def _accept(self, stream: FrameStream, asked: Accept) -> None:
        circuit = self._waiting.get(asked.circuit)
        if circuit is None or circuit.node != stream.remote or circuit.stream is not None:
            await _answer(stream, "not-here")
            return
        await _answer(stream)
        circuit.stream = stream
        circuit.taken.set()
        await circuit.ended.wait()

    async def _carry(self, one: FrameStream, other: FrameStream) -> None:
        """Pass frames on both ways, until an end closes or the circuit's bytes are spent."""
        left_bytes = limits.CIRCUIT_BYTES

        async def pump(source: FrameStream, sink: FrameStream, scope: trio.CancelScope) -> None:
            nonlocal left_bytes
            try:
                while left_bytes > 0:
                    frame = await source.receive()
                    left_bytes -= len(frame)
                    self.carried_bytes += len(frame)
                    await sink.send(frame)
            except PeerFault as fault:
                if not isinstance(fault, EndOfStream):
                    _log.debug("a circuit broke", code=fault.code)
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, one, other, nursery.cancel_scope)
            nursery.start_soon(pump, other, one, nursery.cancel_scope)

    async def _probe(self, stream: FrameStream, asked: Probe) -> None:
        place = self._probes.take(stream.host) if stream.host else None
        if place is None:
            await _answer(stream, "full")
            return
        try:
            is_reached = await _answers(stream.host, stream.remote, asked)
        finally:
            place.give_back()
        await stream.send(encode_message(Probed(stream.host, is_reached)))


async def _answers(host: str, node: bytes, asked: Probe) -> bool:
    """Whether `node` answers at both ports of the host that it comes from."""
    timeout_ms = limits.PROBE_MS
    try:
        async with connect(format_address(host, asked.client_port, node), timeout_ms=timeout_ms):
            pass
        await trio.aclose_forcefully(
            await dial_tcp(Address(host, asked.node_port, None), timeout_ms)
        )
    except Fault:
        return False
    return True


async def _answer(stream: FrameStream, refusal: str = "") -> None:
    await stream.send(encode_message(Granted(refusal)))
