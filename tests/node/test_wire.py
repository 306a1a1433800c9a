"""What somebody on the network between nodes sees: recorded by relays on every link."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import trio

from ccp2p.client import rooms
from ccp2p.crypto.signatures import SigningKey
from ccp2p.network.addresses import parse_address
from ccp2p.node.home import Listen
from ccp2p.node.network_record import NodeAddresses
from ccp2p.node.setup import NodeSetup
from tests.e2e.secrets import spellings
from tests.node.stage import TIMEOUT_MS, Stage, network

ROOM, NICK, TEXT = "the war room", "ann of the walls", "attack at dawn, from the north"
ANN = SigningKey(b"a" * 32)


class Recorder:
    """TCP relays that keep every byte that passes, in both directions."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.links = 0

    @asynccontextmanager
    async def relay(self, address: str) -> AsyncIterator[str]:
        """A relay before `address`; its own address, which names the same node."""
        target = parse_address(address)

        async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            try:
                async for chunk in source:
                    self.seen += chunk
                    await sink.send_all(chunk)
                await sink.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        async def serve(near: trio.SocketStream) -> None:
            try:
                far = await trio.open_tcp_stream(target.host, target.port)
            except OSError:
                return
            self.links += 1
            async with near, far, trio.open_nursery() as nursery:
                nursery.start_soon(pump, near, far)
                nursery.start_soon(pump, far, near)

        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            port = listeners[0].socket.getsockname()[1]
            yield f"/ip4/127.0.0.1/tcp/{port}/p2p/{address.rsplit('/', 1)[1]}"
            nursery.cancel_scope.cancel()


async def reopen_behind_relays(stage: Stage, recorder: Recorder, stack: AsyncExitStack) -> None:
    """Stop all nodes and start them again so that they find each other only through relays."""
    relayed: dict[bytes, str] = {}
    for host in stage.hosts:
        entry = host.node.setup.identity.node
        relayed[entry] = await stack.enter_async_context(
            recorder.relay(host.node.peers.addresses[0])
        )
    for host in stage.hosts:
        await host.stop()

    def redirect(setup: NodeSetup) -> NodeSetup:
        assert setup.record is not None
        entries = tuple(
            NodeAddresses(entry.node, (relayed[entry.node],), entry.clients)
            for entry in setup.record.addresses
        )
        record = msgspec.structs.replace(setup.record, addresses=entries)
        assert isinstance(setup.listen, Listen)
        return setup.founded(record, setup.store)

    for number in range(len(stage.hosts)):
        await stage.reopen(number, redirect)
    await stage.all_vote()


async def test_nothing_of_a_conversation_is_readable_between_nodes(tmp_path: Path):
    recorder = Recorder()
    async with network(tmp_path) as stage, AsyncExitStack() as stack:
        await reopen_behind_relays(stage, recorder, stack)
        frames = bytearray()
        for host in stage.hosts:
            send = host.node._replica._send
            host.node._replica._send = lambda node, frame, send=send: (
                frames.extend(frame),
                send(node, frame),
            )[1]
        async with stage.client() as client:
            ann = client.session(ANN)
            await ann.open(TIMEOUT_MS)
            await ann.submit(rooms.create(ROOM, False, NICK), TIMEOUT_MS)
            for number in range(6):
                await rooms.ask_post(ann, ROOM, f"{TEXT} {number}", TIMEOUT_MS)
        needles = [ROOM.encode(), NICK.encode(), TEXT.encode(), *spellings(ANN.public)]
        needles += spellings(stage.ticket().secret)
        assert recorder.links >= 6
        assert len(recorder.seen) > 10_000
        # Inside the links' encryption, where only TEEs look, events are sealed once more.
        assert len(frames) > 10_000
        for needle in needles:
            assert needle not in recorder.seen
            assert needle not in frames
        # The relays do see what is sent in clear.
        (entry, *_) = stage.hosts[0].node._addresses()
        target = parse_address(next(a for a in entry.peers))
        async with await trio.open_tcp_stream(target.host, target.port) as stream:
            await stream.send_all(needles[2])
            with trio.fail_after(30):
                while needles[2] not in recorder.seen:
                    await trio.sleep(0.01)
