"""Receipts and reads of a running network: what a member gets, and what nobody else does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as replace_
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import kv, receipts, rooms
from ccp2p.client.network import NetworkClient
from ccp2p.client.receipts import Ordered, Wait
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.outcomes import Leaves
from ccp2p.execution.receipts import format_receipt, parse_receipt
from ccp2p.model import limits
from ccp2p.model.block import epoch_root
from ccp2p.model.commit import Commit
from ccp2p.model.errors import AttestationFault, Denied, NotCommitted
from ccp2p.model.member_protocol import Prove, Read
from ccp2p.node.receipts import kept_leaves
from ccp2p.storage.store import Batch
from tests.node.stage import PARAMETERS, TIMEOUT_MS, Host, Stage, eventually, network

WAIT = Wait(30_000)
QUICK = replace(PARAMETERS, checkpoint_interval=8)


@asynccontextmanager
async def kv_network(
    directory: Path, count: int = 4
) -> AsyncIterator[tuple[Stage, NetworkClient, MemberSession]]:
    """Nodes that certify often, and ann's session with one of them."""
    async with (
        network(directory, count, app="kv", parameters=QUICK) as stage,
        stage.client() as client,
    ):
        yield stage, client, await member(client, b"a")


async def member(client: NetworkClient, name: bytes) -> MemberSession:
    session = client.session(SigningKey(name * 32))
    await session.open(TIMEOUT_MS)
    return session


def prove(ordered: Ordered) -> Prove:
    return Prove(ordered.epoch, ordered.outcome.commit, ordered.sequence, ordered.body)


async def test_a_member_gets_a_receipt_that_holds_and_says_what_happened(tmp_path: Path):
    async with network(tmp_path, app="kv") as stage, stage.client() as client:
        ann = await member(client, b"a")
        ordered = await receipts.order(ann, kv.put_body(b"k", b"v"), TIMEOUT_MS)
        left: list[int] = []
        receipt = await receipts.fetch(ann, ordered, Wait(30_000, left.append))
        assert parse_receipt(format_receipt(receipt)) == receipt
        assert receipts.verify(receipt, stage.ticket().network).passed
        assert (receipt.member, receipt.sequence) == (ann.member.public, 1)
        assert receipts.asked(receipt, "kv") == {"operation": "put", "key": "k", "value": "v"}
        assert len(receipt.certified.signatures) >= 3
        assert left == sorted(left, reverse=True)
        assert left[0] > 0
        assert left[-1] == 0


async def test_each_of_many_events_gets_its_receipt_also_the_largest(tmp_path: Path):
    async with kv_network(tmp_path) as (stage, _, ann):
        values = [b"", b"x", bytes(1000), b"y" * (limits.MAX_EVENT_BYTES - 200)]
        ordered = [await receipts.order(ann, kv.put_body(b"k", v), TIMEOUT_MS) for v in values]
        found = [await receipts.fetch(ann, each, WAIT) for each in ordered]
        assert [receipt.sequence for receipt in found] == [1, 2, 3, 4]
        assert [receipt.body for receipt in found] == [each.body for each in ordered]
        for receipt in found:
            assert receipts.verify(receipt, stage.ticket().network).passed


async def test_nobody_else_gets_a_members_receipt(tmp_path: Path):
    async with kv_network(tmp_path) as (_, client, ann):
        ordered = await receipts.order(ann, kv.put_body(b"k", b"v"), TIMEOUT_MS)
        assert await receipts.fetch(ann, ordered, WAIT)
        bob = await member(client, b"b")
        with pytest.raises(Denied) as caught:
            await bob.ask(prove(ordered))
        assert caught.value.code == "unknown-event"
        with pytest.raises(Denied) as caught:
            await ann.ask(replace(prove(ordered), body=b"guess"))
        assert caught.value.code == "unknown-event"


async def test_an_event_that_no_checkpoint_covers_yet_has_no_receipt(tmp_path: Path):
    async with kv_network(tmp_path, 1) as (_, _, ann):
        ordered = await receipts.order(ann, kv.put_body(b"k", b"v"), TIMEOUT_MS)
        later = replace(prove(ordered), commit=ordered.outcome.commit + 1000)
        with pytest.raises(Denied) as caught:
            await ann.ask(later)
        assert caught.value.code == "not-yet"
        with pytest.raises(NotCommitted, match="in commit"):
            await receipts.fetch(ann, ordered, Wait(1))


async def test_a_receipt_that_does_not_hold_is_the_nodes_lie(tmp_path: Path):
    async with kv_network(tmp_path, 1) as (_, _, ann):
        ordered = await receipts.order(ann, kv.put_body(b"k", b"v"), TIMEOUT_MS)
        told = replace(ordered.outcome, position=7)
        with pytest.raises(AttestationFault) as caught:
            await receipts.fetch(ann, replace_(ordered, outcome=told), WAIT)
        assert any("outcome" in reason for reason in caught.value.reasons)


async def test_receipts_outlive_the_restart_of_every_node(tmp_path: Path):
    async with kv_network(tmp_path, 1) as (stage, _, ann):
        ordered = await receipts.order(ann, kv.put_body(b"k", b"v"), TIMEOUT_MS)
        await stage.hosts[0].stop()
        host = await stage.reopen(0)
        await host.voting.wait()
        async with stage.client() as client:
            again = await member(client, b"a")
            receipt = await receipts.fetch(again, ordered, WAIT)
            assert receipts.verify(receipt, stage.ticket().network).passed


@pytest.mark.parametrize("value", [None, b"", b"short", b"long" * 10_000])
async def test_a_read_is_proven_present_or_absent(tmp_path: Path, value: bytes | None):
    async with kv_network(tmp_path) as (stage, client, ann):
        if value is not None:
            await kv.put(ann, b"k", value, TIMEOUT_MS)
        bob = await member(client, b"b")
        found, receipt = await kv.read_with_proof(bob, b"k", TIMEOUT_MS, WAIT)
        assert found == value
        assert receipts.verify(receipt, stage.ticket().network).passed
        assert receipts.value(receipt) == value
        assert receipts.asked(receipt, "kv") == {"operation": "read", "key": "k"}
        await kv.put(ann, b"k", b"changed", TIMEOUT_MS)
        assert receipts.value(parse_receipt(format_receipt(receipt))) == value


async def test_a_read_after_a_barrier_waits_for_a_node_that_is_behind(tmp_path: Path):
    async with (
        network(tmp_path, app="kv") as stage,
        stage.client(every_node=True) as client,
    ):
        ann, bob = await member(client, b"a"), await member(client, b"b")
        behind = client.connections[3]
        replica = next(h for h in stage.hosts if h.node.setup.identity.node == behind.node.node)
        opened = await bob.barrier(TIMEOUT_MS)
        await eventually(lambda: replica.commit >= opened)
        turn = replica.node._replica.execution_turn
        async with turn:  # the node executes nothing for now
            await kv.put(ann, b"k", b"new", TIMEOUT_MS)
            await bob.barrier(TIMEOUT_MS)
            async with trio.open_nursery() as nursery:
                answers: list[bytes] = []

                async def read() -> None:
                    query = kv.get_body(b"k")
                    answers.append(await bob.query(query, behind))

                nursery.start_soon(read)
                await trio.sleep(0.3)
                assert answers == []
                turn.release()
                with trio.fail_after(10):
                    while not answers:
                        await trio.sleep(0.02)
                await turn.acquire()
        assert b"new" in answers[0]


async def test_a_node_that_stays_behind_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "READ_PATIENCE_MS", 50)
    async with kv_network(tmp_path, 1) as (_, _, ann):
        with pytest.raises(Denied) as caught:
            await ann.ask(Read(1 << 40, kv.get_body(b"k")))
        assert caught.value.code == "behind"


async def test_barriers_are_new_commits_and_may_be_asked_for_at_once(tmp_path: Path):
    async with network(tmp_path) as stage, stage.client() as client:
        ann = await member(client, b"a")
        await ann.submit(rooms.create("lobby", False, "ann"), TIMEOUT_MS)
        commits: list[int] = []

        async def barrier() -> None:
            commits.append(await ann.barrier(TIMEOUT_MS))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(barrier)
        assert sorted(set(commits)) == commits
        assert ann.last == 1
        assert (await ann.submit(rooms.post("lobby", "hi"), TIMEOUT_MS)).status == "ok"


async def test_a_node_that_fetched_state_sends_nobody_away_others_kept_the_proof(tmp_path: Path):
    async with kv_network(tmp_path) as (stage, client, ann):
        ordered = await receipts.order(ann, kv.put_body(b"k", b"v"), TIMEOUT_MS)
        (connection,) = client.connections
        asked = next(h for h in stage.hosts if h.node.setup.identity.node == connection.node.node)
        forget_outcomes(asked, ordered)
        assert await refusal(ann, ordered) == "gone"
        receipt = await receipts.fetch(ann, ordered, WAIT)
        assert receipts.verify(receipt, stage.ticket().network).passed


def forget_outcomes(host: Host, ordered: Ordered) -> None:
    """Make a node's disk hold another commit's leaves in the place of the event's."""
    commit = ordered.outcome.commit + limits.KEPT_CHECKPOINTS * QUICK.checkpoint_interval
    other = Commit(ordered.epoch, commit, epoch_root(b"n" * 32, 0), (), 0, b"")
    store = host.node.setup.store
    assert store is not None
    leaves = Leaves(events=b"e" * 32, salts=b"s" * 16, digests=b"d" * 32)
    store.write(
        Batch(epoch=ordered.epoch, meta=kept_leaves(other, leaves, QUICK.checkpoint_interval))
    )


async def refusal(session: MemberSession, ordered: Ordered) -> str:
    """What the session's own node says once a checkpoint covers the event."""
    while True:
        with pytest.raises(Denied) as caught:
            await session.ask(prove(ordered))
        if caught.value.code != "not-yet":
            return caught.value.code
        await session.barrier(TIMEOUT_MS)
