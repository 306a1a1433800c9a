"""A local network: founded once, started again from its folder, node by node."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import trio

from ccp2p.devnet.process import NodeProcess
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import AppName
from ccp2p.model.ticket import Ticket, parse_ticket

_VENDORS = ("sim-a", "sim-b", "sim-c", "sim-d")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `folder` holds one sub-folder for each node."""

    folder: Path
    nodes: int
    app: AppName = "rooms"
    coin_length: int = 1 << 20
    aead: Literal["aegis256", "xchacha20"] = "aegis256"
    node_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """A running network: its nodes, and a member ticket that names all of them."""

    nodes: list[NodeProcess]
    ticket: Ticket
    folder: Path

    def live(self) -> list[NodeProcess]:
        """Nodes whose process runs."""
        return [node for node in self.nodes if node.is_alive]

    def require_alive(self) -> None:
        """LocalFault when a node ended that nobody killed."""
        for node in self.nodes:
            if not node.is_alive and not node.killed:
                raise LocalFault("node", f"node {node.number} stopped: {node.last_words()}")

    def member_seed(self) -> bytes:
        """32 secret bytes from which this folder's members have their keys, run after run."""
        path = self.folder / "members.seed"
        if not path.exists():
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
        return path.read_bytes()


@asynccontextmanager
async def run_network(plan: Plan, progress: Callable[[str], None]) -> AsyncIterator[LocalNetwork]:
    """Start the folder's network, or found one; every process ends with the context."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    held = sorted(plan.folder.glob("node-*/networks"))
    if held and len(held) != plan.nodes:
        raise LocalFault(
            "data-folder", f"{plan.folder} holds a network of {len(held)} nodes, not {plan.nodes}"
        )
    async with trio.open_nursery() as nursery:
        nodes = await (_resume if held else _found)(plan, nursery, progress)
        for node in nodes:
            await node.wait_for("floor")
        try:
            yield LocalNetwork(nodes, _ticket(nodes), plan.folder)
        finally:
            nursery.cancel_scope.cancel()


async def _found(
    plan: Plan, nursery: trio.Nursery, progress: Callable[[str], None]
) -> list[NodeProcess]:
    progress(f"founding a network of {plan.nodes}")
    first = ["--founders", str(plan.nodes), "--name", "dev", "--app", plan.app]
    first += ["--coin-length", str(plan.coin_length), "--aead", plan.aead]
    nodes = [
        _node(plan, number, first if number == 0 else ["--join", "-"])
        for number in range(plan.nodes)
    ]
    await nursery.start(nodes[0].run)
    ticket = b""
    if plan.nodes > 1:
        ticket = (await nodes[0].wait_for("founding"))["node_ticket"].encode()
    for node in nodes[1:]:
        await nursery.start(node.run, ticket)
    await _all_ready(nodes, progress)
    return nodes


async def _resume(
    plan: Plan, nursery: trio.Nursery, progress: Callable[[str], None]
) -> list[NodeProcess]:
    progress(f"resuming the network of {plan.nodes} in {plan.folder}")
    nodes = [_node(plan, number) for number in range(plan.nodes)]
    for node in nodes:
        await nursery.start(node.run)
    await _all_ready(nodes, progress)
    return nodes


def _node(plan: Plan, number: int, first: Sequence[str] = ()) -> NodeProcess:
    vendor = ["--vendor", _VENDORS[number % len(_VENDORS)]]
    return NodeProcess(
        number, plan.folder / f"node-{number}", [*vendor, *plan.node_arguments], first
    )


async def _all_ready(nodes: list[NodeProcess], progress: Callable[[str], None]) -> None:
    for node in nodes:
        await node.wait_for("ready")
        progress(f"node {node.number} is ready")


def _ticket(nodes: list[NodeProcess]) -> Ticket:
    ticket = next((node.ticket for node in nodes if node.ticket), None)
    if ticket is None:
        raise LocalFault("ticket", "no node of this network holds its invite")
    addresses = tuple(address for node in nodes for address in node.client_addresses[:1])
    return msgspec.structs.replace(parse_ticket(ticket), addresses=addresses)
