"""A long-lived client while the network's committee changes."""

from dataclasses import replace as changed
from pathlib import Path

import trio
from msgspec.structs import replace

from ccp2p.client import kv, receipts
from ccp2p.client.network import open_network
from ccp2p.client.receipts import Wait
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec
from ccp2p.model.epoch import SignedEpochRecord, record_digest
from ccp2p.model.errors import Behind, Fault
from ccp2p.model.member_protocol import Hello, Welcome
from ccp2p.model.outcome import Outcome
from ccp2p.node.node import Node
from tests.client.test_receipts import QUICK
from tests.node.stage import TIMEOUT_MS, Host, Stage, eventually, network
from tests.node.test_epochs import epoch_of, join

ANN = SigningKey(b"a" * 32)


async def grow(stage: Stage) -> None:
    """A third node gets a seat."""
    await join(stage, 2)
    await eventually(lambda: all(epoch_of(host) == 1 for host in stage.hosts))


async def follows(ann: MemberSession) -> None:
    """The session is of epoch 1."""
    await ann.submit(kv.put_body(b"k", b"later"), TIMEOUT_MS)
    await eventually(lambda: ann.verified.record.epoch == 1)


async def test_a_node_that_joined_later_becomes_known_with_its_epoch(tmp_path: Path):
    async with network(tmp_path, 2, app="kv") as stage, stage.client(every_node=True) as client:
        ann = client.session(ANN)
        await ann.open(TIMEOUT_MS)
        assert len(client.live()) == 2
        await grow(stage)
        await follows(ann)
        await eventually(lambda: len(client.live()) == 3)


async def test_who_talks_to_one_node_turns_to_another_when_that_is_gone(tmp_path: Path):
    async with network(tmp_path, 2, app="kv") as stage, stage.client() as client:
        ann = client.session(ANN)
        await ann.open(TIMEOUT_MS)
        await grow(stage)
        await follows(ann)
        assert len(client.live()) == 1
        await stage.hosts[0].stop()
        await eventually(lambda: len(client.live()) == 2)


def newest_digest(host: Host) -> bytes:
    """Of the newest record that a node shows."""
    data = host.node.welcome(Hello(bytes(32))).records[-1]
    return record_digest(codec.decode(data, SignedEpochRecord, len(data)).record)


async def test_a_node_that_fell_behind_what_is_known_is_asked_again(tmp_path: Path):
    async with network(tmp_path, 2, app="kv") as stage:
        await grow(stage)
        lagging, real = stage.hosts[0].node, stage.hosts[0].node.welcome
        ticket = replace(stage.ticket(), record=newest_digest(stage.hosts[0]))

        def behind(hello: Hello) -> Welcome:
            welcome = real(Hello(hello.nonce))
            return replace(welcome, records=welcome.records[:1])

        async def catch_up() -> None:
            await trio.sleep(1.5)
            lagging.welcome = real  # type: ignore[method-assign]

        lagging.welcome = behind  # type: ignore[method-assign]
        only = replace(ticket, addresses=lagging.listener.addresses[:1])
        stage.nursery.start_soon(catch_up)
        async with open_network(only, allow_simulated=True) as client:
            assert isinstance(client.refused[only.addresses[0]], Behind)
            assert client.verified.record_digest == ticket.record


async def test_an_event_that_was_sent_again_in_the_next_epoch_has_its_receipt(tmp_path: Path):
    async with (
        network(tmp_path, 2, app="kv", parameters=QUICK) as stage,
        stage.client() as client,
    ):
        ann = client.session(ANN)
        await ann.open(TIMEOUT_MS)
        ordered = await receipts.order(ann, kv.put_body(b"k", b"v"), TIMEOUT_MS)
        await grow(stage)
        await follows(ann)
        # What `order` returns when the answer was lost with the epoch that executed the event.
        receipt = await receipts.fetch(ann, changed(ordered, epoch=1), Wait(30_000))
        assert receipt.certified.checkpoint.epoch == 0
        new = await receipts.order(ann, kv.put_body(b"k", b"w"), TIMEOUT_MS)
        receipt = await receipts.fetch(ann, changed(new, since=0), Wait(30_000))
        assert receipt.certified.checkpoint.epoch == 1


class Hesitant:
    """A node that shows the record of the next epoch before it takes that epoch's envelopes."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.epoch: int | None = node.epoch

    def __getattr__(self, name: str) -> object:
        return getattr(self._node, name)


async def test_a_greeting_that_came_too_early_is_sent_again(tmp_path: Path):
    async with network(tmp_path, 2, app="kv") as stage, stage.client() as client:
        ann = client.session(ANN)
        await ann.open(TIMEOUT_MS)
        node = stage.hosts[0].node
        hesitant = node._api._backend = Hesitant(node)

        async def take_envelopes() -> None:
            await eventually(lambda: ann.verified.record.epoch == 1)
            await trio.sleep(1)
            hesitant.epoch = 1

        await grow(stage)
        stage.nursery.start_soon(take_envelopes)
        outcomes: list[Outcome | Fault] = []
        ann.post(kv.put_body(b"k", b"later"), outcomes.append)
        await eventually(lambda: ann.verified.record.epoch == 1)
        await ann.query(kv.get_body(b"k"))  # nobody knows the new session yet: it waits
        await eventually(lambda: bool(outcomes))
        assert getattr(outcomes[0], "status", outcomes[0]) == "ok"


async def test_a_chain_of_many_pages_is_read_to_its_end(tmp_path: Path, monkeypatch):
    async with network(tmp_path, 2, app="kv") as stage:
        await grow(stage)
        monkeypatch.setattr("ccp2p.model.limits.RECORD_PAGE_BYTES", 1)
        for digest in (stage.ticket().record, b""):
            ticket = replace(stage.ticket(), record=digest)
            async with open_network(ticket, allow_simulated=True) as client:
                assert client.verified.record.epoch == 1
