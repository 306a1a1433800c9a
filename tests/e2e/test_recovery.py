"""A lost majority, with real processes: two of three governors bring the group back."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from ccp2p.client import kv, receipts
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.receipts import Ordered, Wait
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.process import NodeProcess
from ccp2p.execution.receipts import Receipt, format_receipt
from ccp2p.model.ticket import Ticket, parse_ticket
from tests.cli.conftest import Member
from tests.node_log import unexpected_lines, until_founders_may_come

TIMEOUT_MS = 60_000
PATIENCE_S = 90
VENDORS = ("sim-a", "sim-b", "sim-c", "sim-d")


class Governors:
    """Three people at their terminals; any two of them must agree."""

    def __init__(self, folder: Path) -> None:
        self.people = [Member(folder / f"governor-{number}") for number in range(3)]

    def public_keys(self) -> list[str]:
        """Their keys, as `net create` takes them."""
        return [str(one.json("inspect", "member")["key"]) for one in self.people]

    async def run(self, who: int, *arguments: str, code: int = 0) -> dict[str, Any]:
        """One command of a governor; its JSON."""
        done = await trio.to_thread.run_sync(
            lambda: self.people[who].process(*arguments, "--json"), abandon_on_cancel=True
        )
        assert done.returncode == code, done.stderr.decode()
        return json.loads(done.stdout) if done.stdout else {}


async def start(nursery: trio.Nursery, node: NodeProcess, stdin: str = "") -> NodeProcess:
    await nursery.start(node.run, stdin.encode())
    return node


async def found(nursery: trio.Nursery, folder: Path, governors: Governors) -> list[NodeProcess]:
    """Four nodes, of vendors of their own."""
    named = [argument for key in governors.public_keys() for argument in ("--governor", key)]
    created = await governors.run(
        0,
        *("net", "create", "club", "--app", "kv", "--founders", "4", "--coin-length", "65536"),
        *named,
        *("--data", str(folder / "node-0")),
    )
    nodes = []
    for number, vendor in enumerate(VENDORS):
        joins = ("--join", "-") if number else ()
        node = NodeProcess(number, folder / f"node-{number}", ["--vendor", vendor], joins)
        nodes.append(await start(nursery, node, created["node_ticket"] if number else ""))
        if number == 0:
            await until_founders_may_come(node)
    for node in nodes:
        await node.wait_for("ready")
    return nodes


async def invited(governors: Governors, nodes: list[NodeProcess]) -> Ticket:
    """A member's ticket that leads to every node; the other governors joined by one, too."""
    text = (await governors.run(0, "invite", "create", "--uses", "5"))["ticket"]
    for who in (1, 2):
        await governors.run(who, "net", "join", text)
    addresses = tuple(node.client_addresses[0] for node in nodes)
    return replace(parse_ticket(text), addresses=addresses)


async def said(session: MemberSession, *texts: str) -> list[Ordered]:
    return [
        await receipts.order(session, kv.put_body(b"said", text.encode()), TIMEOUT_MS)
        for text in texts
    ]


async def proven(session: MemberSession, ordered: list[Ordered]) -> list[Receipt]:
    return [await receipts.fetch(session, one, Wait(TIMEOUT_MS)) for one in ordered]


async def agree(governors: Governors, plan: Path) -> dict[str, Any]:
    """Once the nodes say that they wait, one governor draws up the plan, another completes it."""
    with trio.fail_after(PATIENCE_S):
        while (await governors.run(0, "net", "show"))["waits"] != "quorum":
            await trio.sleep(0.5)
        await trio.sleep(2)  # the other node began to wait a moment earlier or later
    first = await governors.run(0, "net", "recover", "--yes", "--output", str(plan))
    assert (first["done"], first["approvals"], first["lacking"]) == (False, 1, 1)
    return await governors.run(2, "net", "recover", str(plan), "--yes")


@pytest.mark.timeout(300)
async def test_two_of_three_governors_bring_back_a_group_that_lost_its_majority(tmp_path: Path):
    governors = Governors(tmp_path)
    async with trio.open_nursery() as nursery:
        nodes = await found(nursery, tmp_path, governors)
        ticket = await invited(governors, nodes)
        async with open_network(ticket, allow_simulated=True, every_node=True) as client:
            session = client.session(SigningKey(b"r" * 32))
            await session.open(TIMEOUT_MS)
            before = await proven(session, await said(session, "one", "two"))
            lost, left = nodes[2:], nodes[:2]
            for node in lost:
                node.kill()
            done = await agree(governors, tmp_path / "plan.txt")
            assert (done["done"], done["epoch"], done["approvals"]) == (True, 1, 2)
            assert done["nodes"] == [node.node.hex() for node in left]
            after = await proven(session, await said(session, "three"))
            assert await kv.get(session, b"said") == b"three"
            assert after[0].certified.checkpoint.epoch == 1
            await come_back(nursery, lost, ticket, client)
        await assert_shown(governors, done, ticket)
        for number, receipt in enumerate((*before, *after)):
            assert receipts.verify(receipt, ticket.network).passed
            file = tmp_path / f"receipt-{number}.txt"
            file.write_text(format_receipt(receipt))
            held = await governors.run(1, "inspect", "receipt", str(file), "--ask")
            assert [check["name"] for check in held["checks"]][-1] == "history"
            assert held["valid"]
        for node in nodes:
            log = node.log_path.read_text()
            assert "equivocation" not in log
            assert not unexpected_lines(log)
        nursery.cancel_scope.cancel()


async def come_back(
    nursery: trio.Nursery, lost: list[NodeProcess], ticket: Ticket, client: NetworkClient
) -> None:
    """The killed nodes return on their old disks, follow, and are let in again."""
    again = [await start(nursery, node.again()) for node in lost]
    for node in again:
        await node.wait_for("epoch", lambda report: report["seats"] == 4)
    with trio.fail_after(PATIENCE_S):
        while True:
            status = await client.live()[0].status()
            if len(status.seats) == 4 and all(seat.last_round for seat in status.seats):
                break
            await trio.sleep(0.2)
    # What the network does not know it takes from nobody: one epoch, one record.
    only = replace(ticket, addresses=(again[0].client_addresses[0],))
    async with open_network(only, allow_simulated=True) as by_one:
        assert by_one.verified.recoveries
        assert by_one.verified.record.epoch == status.epoch


async def assert_shown(governors: Governors, done: dict[str, Any], ticket: Ticket) -> None:
    """What people see of it afterwards."""
    checked = await governors.run(1, "verify", "network")
    (shown,) = checked["recoveries"]
    assert (shown["epoch"], shown["record"]) == (1, done["record"])
    assert (shown["resumed_after"], shown["certified"]) == (
        done["close_commit"],
        done["certified"],
    )
    assert len(shown["governors"]) == 2
    assert checked["id"] == ticket.network.hex()
