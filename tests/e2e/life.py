"""A group of real processes: its nodes, its governor's terminal, and a member who stays."""

import json
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from msgspec.structs import replace

from ccp2p.client import receipts, rooms
from ccp2p.client.network import open_network
from ccp2p.client.receipts import Ordered, Wait
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.process import NodeProcess
from ccp2p.execution.receipts import Receipt
from ccp2p.model.errors import Fault, fault_in
from ccp2p.model.ticket import Ticket, parse_ticket
from tests.cli.conftest import Member

TIMEOUT_MS = 60_000
PATIENCE_S = 90
VENDORS = ("sim-a", "sim-b", "sim-c", "sim-d")
UPGRADE = "bb" * 32
"""What the upgraded program says that it is."""


class Resident:
    """A member who is there from the start, speaks all the while, and keeps every receipt."""

    def __init__(self, session: MemberSession) -> None:
        self.session = session
        self.said: list[Ordered] = []
        self.receipts: list[Receipt] = []
        self.is_silent = False
        self._heard = trio.Event()

    async def speak(self) -> None:
        """One message after the other; the machine has more to do."""
        while not self.is_silent:
            body = rooms.post("lobby", str(len(self.said)))
            self.said.append(await receipts.order(self.session, body, TIMEOUT_MS))
            self._tell()
            await trio.sleep(0.1)

    async def collect(self) -> None:
        """The receipt of everything that was said; the network keeps them for a while only."""
        while not (self.is_silent and self._collected == len(self.said)):
            # Who waits for a checkpoint drives it; the newest one's covers all before it.
            for ordered in reversed(self.said[self._collected :]):
                self.receipts.append(await receipts.fetch(self.session, ordered, Wait(TIMEOUT_MS)))
            self._tell()
            await trio.sleep(1)

    @property
    def _collected(self) -> int:
        return len(self.receipts)

    def _tell(self) -> None:
        self._heard.set()
        self._heard = trio.Event()

    async def goes_on(self, count: int = 3) -> None:
        """Wait until `count` more messages are acknowledged."""
        wanted = len(self.said) + count
        with trio.fail_after(PATIENCE_S):
            while len(self.said) < wanted:
                await self._heard.wait()

    async def ends(self) -> None:
        """Say no more; wait until all receipts are there."""
        self.is_silent = True
        self._tell()
        with trio.fail_after(PATIENCE_S):
            while self._collected < len(self.said):
                await self._heard.wait()


class Life:
    """The group's nodes on chips of these vendors in turn, and the governor's terminal."""

    def __init__(
        self, nursery: trio.Nursery, folder: Path, vendors: Sequence[str] = VENDORS
    ) -> None:
        self.nodes: list[NodeProcess] = []
        self.governor = Member(folder / "governor")
        self._nursery = nursery
        self._invite: dict[str, object] = {}
        self._folder = folder
        self._vendors = vendors
        self._began_s = time.monotonic()

    @property
    def ticket(self) -> Ticket:
        """The members' ticket."""
        assert self.nodes[0].ticket is not None
        return parse_ticket(self.nodes[0].ticket)

    def live(self) -> list[NodeProcess]:
        """Nodes that run."""
        return [node for node in self.nodes if node.is_alive]

    def note(self, text: str) -> None:
        """For whoever reads the test's output."""
        print(f"{time.monotonic() - self._began_s:6.1f} s  {text}", flush=True)

    async def govern(self, *arguments: str) -> dict[str, object]:
        """One of the governor's commands; its JSON."""
        done = await trio.to_thread.run_sync(
            lambda: self.governor.process(*arguments, "--json"), abandon_on_cancel=True
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    async def leave(self, *numbers: int) -> None:
        """Nodes go; those that stay are in an epoch without them, and they have stopped."""
        leavers = []
        for number in numbers:
            await self.nodes[number].stop()
            leavers.append(await self.start(number, "--leave"))
        staying = [node for node in self.live() if node not in leavers]
        await self.has_seats(len(staying), staying)
        for leaver in leavers:
            await leaver.wait_for("stopped")
        self.note(f"{len(leavers)} left, {len(staying)} stay")

    async def start(
        self,
        number: int,
        *arguments: str,
        stdin: str = "",
        event: str = "ready",
        program: Sequence[str] = ("ccp2p",),
    ) -> NodeProcess:
        """Start a node, for the first time or on what its folder holds; it reported `event`.

        Where `event` is empty, it only runs.
        """
        vendor = ("--vendor", self._vendors[number % len(self._vendors)])
        folder = self._folder / f"node-{number}"
        node = NodeProcess(number, folder, [*arguments, *vendor], program=program)
        self.nodes[number : number + 1] = [node]
        await self._nursery.start(node.run, stdin.encode())
        if event:
            await node.wait_for(event)
        return node

    async def found(self, most: int = 7) -> None:
        """A network of one, which the governor joins, and where `most` may have a place."""
        node = await self.start(0, "--name", "life", "--coin-length", "65536")
        await self.govern("net", "join", str(node.ticket))
        uses = ("--uses", str(most - 1))
        self._invite = await self.govern("invite", "create", "--role", "node", *uses)

    async def grow(self, count: int = 1) -> None:
        """More nodes, by the governor's invite; every node is in an epoch of all of them."""
        size, invite = len(self.nodes) + count, str(self._invite["ticket"])
        async with trio.open_nursery() as starting:
            for number in range(len(self.nodes), size):
                starting.start_soon(partial(self.start, number, "--join", "-", stdin=invite))
                await trio.sleep(0.5)
        await self.has_seats(size, self.live())
        self.note(f"grown to {size}")

    async def amend(self, resident: Resident, *arguments: str) -> None:
        """The governor changes the network; an epoch with the change has begun, and people talk."""
        epoch = (await self.govern("net", "show"))["epoch"]
        amended = await self.govern("net", *arguments)
        assert amended["adopted"] is True
        with trio.fail_after(PATIENCE_S):
            while (await self.govern("net", "show"))["epoch"] == epoch:
                await trio.sleep(0.2)
        await resident.goes_on()

    def policy_of(self, *measurements: str) -> str:
        """The path of a policy that accepts these."""
        names = ", ".join(f'"{one}"' for one in measurements)
        path = self._folder / f"policy-{len(measurements)}.toml"
        path.write_text(f"[simulated]\nmeasurements = [{names}]\n")
        return str(path)

    async def upgrade(self, resident: Resident) -> None:
        """Old and new program are accepted, nodes change one by one, then only the new one is."""
        rows = (await self.govern("verify", "network"))["nodes"]
        (old,) = {row["measurement"] for row in rows}  # type: ignore[attr-defined]
        await self.amend(resident, "propose", "--policy", self.policy_of(old, UPGRADE))
        for node in self.live():
            await node.stop()
            await self.votes_again(await self.start(node.number, "--measurement", UPGRADE))
        await self.amend(resident, "propose", "--policy", self.policy_of(UPGRADE))

    async def recover(self) -> None:
        """Once the nodes that are left say that they wait, the governor lets them go on."""
        with trio.fail_after(PATIENCE_S):
            while (await self.govern("net", "show"))["waits"] != "quorum":
                await trio.sleep(0.5)
            await trio.sleep(2)  # the other node began to wait a moment earlier or later
        recovered = await self.govern("net", "recover", "--yes")
        assert (recovered["done"], len(recovered["nodes"])) == (True, 2)  # type: ignore[arg-type]

    async def come_back(self, *numbers: int) -> None:
        """Start nodes again that were killed; all vote again."""
        async with trio.open_nursery() as starting:
            for number in numbers:
                starting.start_soon(self.start, number)
        for number in numbers:
            assert (await self.votes_again(self.nodes[number]))["by"] == "peers"

    async def has_seats(self, count: int, nodes: list[NodeProcess]) -> None:
        """Wait until these nodes are in an epoch of `count` seats."""
        for node in nodes:
            async with open_network(self.ticket_of(node), allow_simulated=True) as client:
                with trio.fail_after(PATIENCE_S):
                    while len((await client.connections[0].status()).seats) != count:
                        await trio.sleep(0.1)

    async def round_of(self, node: NodeProcess) -> int:
        """The newest round that a node is in, by its own word."""
        async with open_network(self.ticket_of(node), allow_simulated=True) as client:
            return (await client.connections[0].status()).round

    def ticket_of(self, node: NodeProcess) -> Ticket:
        """A members' ticket that leads to one node only."""
        return replace(self.ticket, addresses=(node.client_addresses[0],))

    async def votes_again(self, node: NodeProcess) -> dict[str, Any]:
        """The restart floor that a node found, once the first node holds a block above it."""
        floor = await node.wait_for("floor")
        async with open_network(self.ticket, allow_simulated=True) as client:
            with trio.fail_after(PATIENCE_S):
                while True:
                    seats = (await client.connections[0].status()).seats
                    newest = next(seat.last_round for seat in seats if seat.node == node.node)
                    if newest >= floor["round"]:
                        return floor

    async def set_back(self, number: int, copy: Path) -> NodeProcess:
        """End a node, and start it on an older copy of its folder."""
        await self.nodes[number].stop()
        directory = self.nodes[number].directory
        await trio.to_thread.run_sync(shutil.rmtree, directory)
        await trio.to_thread.run_sync(shutil.copytree, copy, directory)
        return await self.start(number)

    async def answers_nothing_old(self, node: NodeProcess, resident: Resident) -> None:
        """The first answer of a node to a current read holds everything said before."""
        await resident.session.barrier(TIMEOUT_MS)
        said = len(resident.said)
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    texts = await self.texts(resident.session, node)
                except (Fault, ExceptionGroup) as error:
                    if fault_in(error) is None:
                        raise
                    continue  # it says that it cannot tell yet
                assert texts[:said] == [str(number) for number in range(said)]
                return

    async def texts(self, session: MemberSession, node: NodeProcess) -> list[str]:
        """The lobby, as one node tells it."""
        async with open_network(self.ticket_of(node), allow_simulated=True) as client:
            via = client.connections[0]
            return [message.text async for message in rooms.messages(session, "lobby", via=via)]


@asynccontextmanager
async def resident_of(life: Life) -> AsyncIterator[Resident]:
    """A member who opens the lobby, and speaks and collects receipts until it is told to end."""
    async with (
        open_network(life.ticket, allow_simulated=True) as client,
        trio.open_nursery() as nursery,
    ):
        session = client.session(SigningKey(b"r" * 32))
        await session.open(TIMEOUT_MS)
        await session.submit(rooms.create("lobby", False, "resident"), TIMEOUT_MS)
        resident = Resident(session)
        nursery.start_soon(resident.speak)
        nursery.start_soon(resident.collect)
        yield resident
