"""Strangers at a node's two doors: they connect and drop, say what nobody asked for, or hang.

What they do needs no key: it is what anybody on the internet can send to an open port.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence

import trio

from ccp2p.network.addresses import parse_address

HANG_S = 30.0
_MULTISTREAM = b"\x13/multistream/1.0.0\n"
_PROTOCOLS = (b"/noise\n", b"/ccp2p/attested-noise/1\n", b"/tls/1.0.0\n", b"na\n")
_BETWEEN_S = 0.05


class Strangers:
    """Knocks at the doors of `addresses()`, from many hosts of 127.0.0.0/8, until cancelled.

    `did` counts what was done, by kind.
    """

    def __init__(self, addresses: Callable[[], Sequence[str]], seed: int) -> None:
        self.did: Counter[str] = Counter()
        self._addresses = addresses
        self._random = random.Random(seed)

    async def run(self, count: int) -> None:
        """`count` of them at once."""
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(self._visit, number)

    async def _visit(self, number: int) -> None:
        kinds = (self._drop, self._half_open, self._garble, self._overlong, self._hang)
        while True:
            await trio.sleep(self._random.random() * 2 * _BETWEEN_S)
            target = parse_address(self._random.choice(self._addresses()))
            knock = self._random.choices(kinds, (40, 20, 20, 15, 5))[0]
            host = f"127.9.{number % 250}.{self._random.randrange(1, 250)}"
            try:
                with trio.move_on_after(HANG_S):
                    stream = await trio.open_tcp_stream(
                        target.host, target.port, local_address=host
                    )
                    async with stream:
                        await knock(stream)
            except OSError:
                self.did["found the door shut"] += 1  # its node was just killed
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.did["shown out"] += 1
            else:
                self.did[knock.__name__.strip("_")] += 1

    async def _drop(self, _stream: trio.SocketStream) -> None:
        pass

    async def _half_open(self, stream: trio.SocketStream) -> None:
        await stream.send_all(_MULTISTREAM[: self._random.randrange(1, len(_MULTISTREAM))])
        await stream.send_eof()
        await stream.receive_some(1024)

    async def _garble(self, stream: trio.SocketStream) -> None:
        await stream.send_all(_MULTISTREAM + os.urandom(self._random.randrange(1, 4096)))
        await stream.receive_some(1024)

    async def _overlong(self, stream: trio.SocketStream) -> None:
        protocol = self._random.choice(_PROTOCOLS)
        await stream.send_all(_MULTISTREAM + bytes([len(protocol)]) + protocol)
        await stream.send_all(b"\xff\xff" + os.urandom(65_535))
        while await stream.receive_some(65_536):
            pass

    async def _hang(self, stream: trio.SocketStream) -> None:
        for byte in _MULTISTREAM:
            await stream.send_all(bytes([byte]))
            await trio.sleep(HANG_S / len(_MULTISTREAM))
