"""A real network whose doors strangers, bad clients and a traitor hammer: it goes on committing."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import trio

from ccp2p.client import rooms
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import limits
from ccp2p.model.errors import Fault
from ccp2p.model.member_protocol import (
    GetPeers,
    GetStatus,
    GiveShare,
    Hello,
    Query,
    Recover,
    Submit,
    encode_message,
)
from ccp2p.network import connect
from ccp2p.network.addresses import parse_address
from ccp2p.node.messages import encode_message as encode_peer_message
from tests.network.stage import MULTISTREAM, delimited
from tests.node.stage import TIMEOUT_MS, Stage, network
from tests.node.test_bad_peers import assert_three_still_commit, betrayed, eventually
from tests.node.test_messages import MESSAGES

CLIENT_MESSAGES = [
    Hello(b"n" * 32, b""),
    Submit((b"envelope", bytes(400))),
    Query(7, b"s" * 32, b"sealed"),
    GetStatus(8, 0),
    GetStatus(9, 1 << 61),
    Recover(10, b"plan", ((0, b"signature"),)),
    GiveShare(11, b"e" * 32, 1, b"sealed"),
    GetPeers(11),
]


def spoiled(frame: bytes, randomness: Random) -> bytes:
    """The frame with bytes changed, cut, doubled or put in."""
    data = bytearray(frame)
    for _ in range(randomness.randrange(1, 4)):
        at = randomness.randrange(len(data) + 1)
        kind = randomness.randrange(4)
        if kind == 0 and at < len(data):
            data[at] = randomness.randrange(256)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = data[:at][-40:]
        else:
            data[at:at] = randomness.randbytes(randomness.randrange(1, 9))
    return bytes(data)


@asynccontextmanager
async def chatting(stage: Stage) -> AsyncIterator[list[int]]:
    """A member who posts one message after the other; how many were committed so far."""
    said: list[int] = []
    async with stage.client() as client, trio.open_nursery() as nursery:
        ann = client.session(SigningKey(b"a" * 32))
        await ann.open(TIMEOUT_MS)
        await ann.submit(rooms.create("lobby", False, "ann"), TIMEOUT_MS)

        async def chat() -> None:
            while True:
                await rooms.ask_post(ann, "lobby", str(len(said)), TIMEOUT_MS)
                said.append(len(said))

        nursery.start_soon(chat)
        yield said
        before = len(said)
        await eventually(lambda: len(said) > before + 2)
        nursery.cancel_scope.cancel()


async def test_whatever_clients_say_on_either_port_the_network_goes_on(tmp_path: Path):
    randomness = Random(1)
    async with network(tmp_path, 2) as stage, chatting(stage) as said:
        host = stage.hosts[0].node
        for _ in range(12):
            for message in CLIENT_MESSAGES:
                try:
                    async with connect(host.listener.addresses[0], timeout_ms=30_000) as stream:
                        await stream.send(
                            spoiled(encode_message(message), randomness), encode_message(message)
                        )
                        with trio.move_on_after(0.05):
                            await stream.receive()
                except Fault:
                    pass
            for address in (host.listener.addresses[0], host.peers.addresses[0]):
                target = parse_address(address)
                stranger = await trio.open_tcp_stream(target.host, target.port)
                opening = MULTISTREAM + delimited(b"/ccp2p/attested-noise/1")
                with suppress(trio.BrokenResourceError):
                    await stranger.send_all(spoiled(opening, randomness) + os.urandom(64))
                await stranger.aclose()
        assert said
        assert [one.fault for one in stage.hosts] == [None, None]


async def test_every_message_between_nodes_spoiled_is_blamed_on_who_sent_it(tmp_path: Path):
    randomness = Random(2)
    async with betrayed(tmp_path) as (stage, traitor):
        victim = stage.hosts[0].node
        for _ in range(20):
            for message in MESSAGES:
                frame = spoiled(encode_peer_message(message), randomness)
                if not traitor.peers.send(traitor.victim, frame or b"\xc1"):
                    await trio.sleep(0.05)
            await trio.sleep(0.01)
        await assert_three_still_commit(stage)
        told = victim.shown_peers(GetPeers(1))
        faults = {peer.node: sum(count for _, count in peer.faults) for peer in told.peers}
        guilty = traitor.setup.identity.node
        assert faults.pop(guilty) > 50
        assert set(faults.values()) == {0}


async def test_a_peer_that_does_wrong_without_end_is_cut_and_barred(tmp_path: Path):
    async with betrayed(tmp_path) as (stage, traitor):
        victim = stage.hosts[0].node
        guilty = traitor.setup.identity.node
        sent = 0
        while guilty in victim.peers.peers() and victim.peers.peers()[guilty].connected:
            for _ in range(50):
                sent += traitor.peers.send(traitor.victim, b"\xc1")
            await trio.sleep(0.01)
        assert sent >= limits.FAULTS_BORNE
        await eventually(lambda: not traitor.peers.peers())
        try:
            await traitor.peers.dial(victim.peers.addresses[0])
            barred = ""
        except Fault as fault:
            barred = fault.code
        assert barred == "barred"
        await assert_three_still_commit(stage)
