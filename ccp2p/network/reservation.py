"""A node's side of a relay: is it reached without one, and taking what a relay passes on."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from ccp2p.model import limits
from ccp2p.model.errors import Fault, PeerFault, Unreachable
from ccp2p.network.addresses import ip_of_host
from ccp2p.network.circuits import (
    PROTOCOL,
    Accept,
    Door,
    Granted,
    Incoming,
    Probe,
    Probed,
    Reserve,
    circuit,
    decode_message,
    encode_message,
    granted_by,
)
from ccp2p.network.members import FrameStream, connect

_log = structlog.get_logger()

_DIAL_MS: Final = 5_000

Take = Callable[[Door, trio.abc.Stream], Awaitable[None]]


async def probe(relay: str, key_seed: bytes, node_port: int, client_port: int) -> Probed:
    """Whether the node at `relay` reaches ours where we come from; Unreachable or PeerFault."""
    async with connect(relay, timeout_ms=_DIAL_MS, protocol=PROTOCOL, key_seed=key_seed) as frames:
        await frames.send(encode_message(Probe(node_port, client_port)))
        with trio.move_on_after(2 * limits.CIRCUIT_WAIT_MS / 1000):
            answer = decode_message(await frames.receive())
            if isinstance(answer, Probed) and ip_of_host(answer.host) and "%" not in answer.host:
                return answer
            raise PeerFault("protocol", "a probe was answered with something that is no answer")
    raise Unreachable("no answer to a probe")


async def reserve(relay: str, key_seed: bytes, take: Take, held: Callable[[], None]) -> None:
    """Take what the relay at `relay` passes on, for as long as the reservation lasts.

    `held` is called once it stands. Unreachable or PeerFault says why it ended.
    """
    async with connect(relay, timeout_ms=_DIAL_MS, protocol=PROTOCOL, key_seed=key_seed) as frames:
        await frames.send(encode_message(Reserve()))
        fault: Fault = Unreachable("the relay is silent")
        async with trio.open_nursery() as nursery:
            try:
                with trio.fail_after(_DIAL_MS / 1000):
                    _require(await granted_by(frames))
                held()
                nursery.start_soon(_renew, frames)
                await _serve(frames, relay, key_seed, take, nursery)
            except trio.TooSlowError:
                pass
            except (PeerFault, Unreachable) as found:
                fault = found
            nursery.cancel_scope.cancel()
        raise fault


async def _serve(
    frames: FrameStream, relay: str, key_seed: bytes, take: Take, nursery: trio.Nursery
) -> None:
    """Take what comes; returns when the relay has said nothing for two renewals."""
    taken = 0

    async def take_one(incoming: Incoming) -> None:
        nonlocal taken
        try:
            accept = Accept(incoming.circuit)
            async with circuit(relay, accept, limits.CIRCUIT_WAIT_MS, key_seed) as stream:
                await take(incoming.door, stream)
        except Fault as fault:
            _log.debug("a circuit was not taken", code=fault.code)
        finally:
            taken -= 1

    while True:
        with trio.move_on_after(2 * limits.RENEWAL_MS / 1000) as scope:
            message = decode_message(await frames.receive())
        if scope.cancelled_caught:
            return
        if isinstance(message, Granted):
            _require(message)
        elif not isinstance(message, Incoming):
            raise PeerFault("protocol", "the relay said what no relay says")
        elif taken < limits.CIRCUITS_OF_NODE:
            taken += 1
            nursery.start_soon(take_one, message)


async def _renew(frames: FrameStream) -> None:
    try:
        while True:
            await trio.sleep(limits.RENEWAL_MS / 1000)
            await frames.send(encode_message(Reserve()))
    except PeerFault:
        pass  # whoever reads learns the same


def _require(granted: Granted) -> None:
    if granted.refusal:
        raise Unreachable(f"the relay refuses: {granted.refusal}")
