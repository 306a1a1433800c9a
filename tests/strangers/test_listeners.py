"""Strangers at both doors: slow, many, half open. Who is in is served, and others come in."""

import os
from contextlib import AsyncExitStack

import pytest
import trio

from ccp2p.model import limits
from ccp2p.network import ClientListener, EndOfStream, connect
from ccp2p.network.addresses import parse_address
from tests.network.stage import (
    MULTISTREAM,
    delimited,
    echo,
    eventually,
    frame_of,
    start,
)

ELSEWHERE = "127.0.0.66"  # another host, as far as the listeners can see
CROWD = 200


async def client_listener(nursery, **arguments):
    listener = ClientListener(key_seed=os.urandom(32), handler=echo, **arguments)
    await nursery.start(listener.run)
    return listener


async def stranger(address: str, host: str = ELSEWHERE) -> trio.SocketStream:
    """A bare connection from another host."""
    target = parse_address(address)
    return await trio.open_tcp_stream(target.host, target.port, local_address=host)


async def trickle(stream: trio.SocketStream) -> None:
    """A handshake that goes on for ever: a byte now and then."""
    data = MULTISTREAM + delimited(b"/noise") + b"\x00\x20"
    try:
        for at in range(len(data)):
            await stream.send_all(data[at : at + 1])
            await trio.sleep(0.2)
        await trio.sleep_forever()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def echoes(listener: ClientListener) -> None:
    async with connect(listener.addresses[0], timeout_ms=30_000) as stream:
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"


@pytest.mark.parametrize("door", ["members", "nodes"])
async def test_a_crowd_of_slow_strangers_keeps_nobody_else_out(nursery, door):
    listener = await client_listener(nursery)
    victim, honest = await start(nursery, 2)
    address = listener.addresses[0] if door == "members" else victim.addresses[0]
    for _ in range(CROWD):
        nursery.start_soon(trickle, await stranger(address))
    await eventually(
        lambda: (listener.refused if door == "members" else victim.refusals.total()) > 0
    )
    if door == "members":
        assert listener.handshakes <= limits.HANDSHAKES_OF_HOST
        await echoes(listener)
    else:
        assert victim.handshakes <= limits.HANDSHAKES_OF_HOST
        assert await honest.dial(victim.addresses[0]) == victim.node
        assert honest.send(victim.node, b"through")
        assert await frame_of(victim) == b"through"


async def test_one_host_does_not_take_all_places_of_members(nursery, monkeypatch):
    monkeypatch.setattr(limits, "CLIENTS_OF_HOST", 3)
    listener = await client_listener(nursery)
    async with AsyncExitStack() as crowd:
        for _ in range(3):
            stream = await crowd.enter_async_context(
                connect(listener.addresses[0], timeout_ms=30_000)
            )
            await stream.send(b"in")
            await stream.receive()
        refused = await stranger(listener.addresses[0], "127.0.0.1")
        assert await refused.receive_some() == b""
        elsewhere = await stranger(listener.addresses[0])
        await elsewhere.send_all(MULTISTREAM)
        assert await elsewhere.receive_some() != b"", "another host has its own places"
    await eventually(lambda: listener.connections <= 1)
    await echoes(listener)


async def test_a_client_that_says_nothing_is_let_go(nursery):
    listener = await client_listener(nursery, handshake_timeout_ms=30_000, idle_timeout_ms=300)
    async with connect(listener.addresses[0], timeout_ms=30_000) as silent:
        with pytest.raises(EndOfStream), trio.fail_after(30):
            await silent.receive()
    async with connect(listener.addresses[0], timeout_ms=30_000) as busy:
        for _ in range(5):
            await trio.sleep(0.1)
            await busy.send(b"still here")
            assert await busy.receive() == b"still here"


async def test_thousands_of_connects_and_drops_leave_nothing_behind(nursery):
    listener = await client_listener(nursery)
    [victim] = await start(nursery, 1)
    await echoes(listener)
    tasks, files = trio.lowlevel.current_statistics().tasks_living, open_files()
    addresses = (listener.addresses[0], victim.addresses[0])
    for number in range(1500):
        for address in addresses:
            stream = await stranger(address, f"127.0.{number % 200}.7")
            if number % 3:
                await stream.send_all(MULTISTREAM[: 1 + number % 18])
            await stream.aclose()
    await eventually(lambda: listener.connections == 0 and victim.handshakes == 0)
    await eventually(lambda: trio.lowlevel.current_statistics().tasks_living <= tasks)
    assert open_files() <= files
    await echoes(listener)
    [honest] = await start(nursery, 1)
    assert await honest.dial(victim.addresses[0]) == victim.node


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
