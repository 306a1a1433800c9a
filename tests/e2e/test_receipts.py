"""Receipts of four real processes: after a power cut everywhere, and with one of them gone."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from ccp2p.client import kv, receipts
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.receipts import Ordered, Wait
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.execution.receipts import Receipt

TIMEOUT_MS = 20_000
WAIT = Wait(60_000)


async def ann(client: NetworkClient) -> MemberSession:
    session = client.session(SigningKey(b"a" * 32))
    await session.open(TIMEOUT_MS)
    return session


async def put_and_cut_the_power(plan: Plan) -> list[Ordered]:
    """Ten events; then every process is killed, before a checkpoint is asked for."""
    async with (
        run_network(plan, lambda _: None) as network,
        open_network(network.ticket, allow_simulated=True) as client,
    ):
        session = await ann(client)
        bodies = [kv.put_body(b"k", b"%d" % number) for number in range(10)]
        ordered = [await receipts.order(session, body, TIMEOUT_MS) for body in bodies]
        for node in network.nodes:
            node.kill()
    return ordered


async def collect(network: LocalNetwork, ordered: list[Ordered], node: int) -> list[Receipt]:
    """All receipts, from one node."""
    ticket = replace(network.ticket, addresses=(network.ticket.addresses[node],))
    async with open_network(ticket, allow_simulated=True) as client:
        session = await ann(client)
        return [await receipts.fetch(session, each, WAIT) for each in ordered]


@pytest.mark.timeout(240)  # two starts of four processes, slow on a busy machine
async def test_every_node_proves_what_was_acknowledged_before_a_power_cut(tmp_path: Path):
    plan = Plan(tmp_path, 4, "kv", coin_length=1 << 16)
    ordered = await put_and_cut_the_power(plan)
    async with run_network(plan, lambda _: None) as network:
        first = await collect(network, ordered, 0)
        network.nodes[0].kill()
        async with open_network(
            replace(network.ticket, addresses=network.ticket.addresses[1:]),
            allow_simulated=True,
        ) as client:
            session = await ann(client)
            later = await receipts.order(session, kv.put_body(b"k", b"x"), TIMEOUT_MS)
            with_three = await receipts.fetch(session, later, WAIT)
            value, read = await kv.read_with_proof(session, b"k", TIMEOUT_MS, WAIT)
        others = [await collect(network, ordered, node) for node in (1, 2, 3)]
    identifier = network.ticket.network
    for receipt in [*first, with_three, read, *(r for found in others for r in found)]:
        assert receipts.verify(receipt, identifier).passed
        assert len(receipt.certified.signatures) >= 3
    assert value == b"x"
    assert [receipt.sequence for receipt in first] == list(range(1, 11))
    assert 0 not in {seat for seat, _ in with_three.certified.signatures}
    for found in others:
        assert [(r.outcome, r.certified.checkpoint) for r in found] == [
            (r.outcome, r.certified.checkpoint) for r in first
        ]
