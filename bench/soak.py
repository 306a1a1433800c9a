"""A network under load whose nodes are killed one after the other, some of them on older disks.

Members post; a random node is killed with SIGKILL and started again, every third time on a copy
of its folder from an earlier turn; the next one only once this one proposes again. Epochs end
meanwhile, because the coin chain is short. With `--visits`, a new node comes in by invite after
every so many kills, has a seat, and leaves again; with `--strangers`, others hammer all doors. At
the end every node's transcript is read back and held against what was acknowledged. Exit code 1
unless nothing was lost, doubled or forked, and every node could be read; then the folder with its
disks and logs stays. Node 0 is not killed with `--watch`, so that its memory tells of all the time.

    python bench/soak.py --minutes 10 --nodes 4
    python bench/soak.py --minutes 60 --rate 50 --strangers 6 --visits 10 --watch --cache 8
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from memory import Memory
from msgspec.structs import replace
from strangers import Strangers

from ccp2p.client import rooms
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.devnet.process import NodeProcess
from ccp2p.model.errors import Fault, NotCommitted, fault_in
from ccp2p.model.outcome import Outcome

ROOM = "soak"
MEMBERS = 8
IN_FLIGHT = 16
TIMEOUT_MS = 120_000
PATIENCE_S = 180
PUT_BACK_EVERY = 3
MAX_VISITS = 1000


@dataclass(frozen=True, slots=True)
class Course:
    """What the network goes through; 0 in `rate`, `visits` and `strangers` is none of it.

    `rate` bounds the messages a second of all members together, `visits` is the kills between two
    newcomers, `strangers` how many there are at a time; `watch` spares node 0; `pause_s` is the
    time between a node that votes again and the next kill.
    """

    minutes: float
    seed: int
    rate: float
    visits: int
    strangers: int
    watch: bool
    pause_s: float


@dataclass
class Load:
    """What members sent, and the position in the room that each message was acknowledged at."""

    sessions: list[MemberSession]
    rate: float
    sent: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    is_over: bool = False

    async def post(self, member: int) -> None:
        """Send one message after the other, a bounded number at once, until it is over."""
        room_free = trio.Semaphore(IN_FLIGHT)
        number = 0
        while not self.is_over:
            await room_free.acquire()
            if self.rate:
                await trio.sleep(MEMBERS / self.rate)
            text = f"{member}:{number}"
            number += 1
            self.sent += 1

            def done(result: Outcome | Fault, text: str = text) -> None:
                self._count(text, result)
                room_free.release()

            self.sessions[member].post(rooms.post(ROOM, text), done)
        for _ in range(IN_FLIGHT):
            await room_free.acquire()

    def _count(self, text: str, result: Outcome | Fault) -> None:
        if isinstance(result, Fault):
            self.refused[result.code] += 1
        elif result.status != "ok":
            self.refused[result.body.decode(errors="replace")] += 1
        else:
            self.acknowledged[text] = rooms.posted_at(result.body)


class Soak:
    """The running network, who is killed next, and who comes for a while."""

    def __init__(self, network: LocalNetwork, nursery: trio.Nursery, course: Course) -> None:
        self.network = network
        self.kills = self.set_back = self.epoch = self.visits = 0
        self._nursery = nursery
        self._course = course
        self._random = random.Random(course.seed)

    async def trouble(self) -> None:
        """Kill one node after the other, until cancelled."""
        invite = await self._invite() if self._course.visits else ""
        while True:
            if self._course.visits and self.kills >= (self.visits + 1) * self._course.visits:
                await self._visit(invite)
            number = self._random.randrange(int(self._course.watch), len(self.network.nodes))
            node = self.network.nodes[number]
            node.kill()
            await node.ended.wait()
            self.kills += 1
            await self._swap_disk(node)
            floor = await self.start(number)
            say(f"killed node {number}; it votes again from {floor['round']} of epoch {self.epoch}")
            await trio.sleep(self._course.pause_s)

    async def _swap_disk(self, node: NodeProcess) -> None:
        """Put an older copy of the folder back, where there is one; else make one, at times."""
        copy = node.directory.with_name(f"copy-{node.number}")
        if copy.exists() and self.kills % PUT_BACK_EVERY == 0:
            await trio.to_thread.run_sync(shutil.rmtree, node.directory)
            await trio.to_thread.run_sync(copy.rename, node.directory)
            self.set_back += 1
            say(f"put an older disk of node {node.number} back")
        elif not copy.exists():
            await trio.to_thread.run_sync(shutil.copytree, node.directory, copy)

    async def start(self, number: int) -> dict[str, Any]:
        """Start a node on what its folder holds; its floor, once another has a new block of it."""
        node = self.network.nodes[number] = self.network.nodes[number].again()
        await self._nursery.start(node.run)
        floor = await node.wait_for("floor")
        witness = self.network.nodes[number - 1]
        with trio.move_on_after(PATIENCE_S):
            async with open_network(self.ticket_of(witness), allow_simulated=True) as client:
                began = (await client.connections[0].status()).epoch
                while True:
                    status = await client.connections[0].status()
                    self.epoch = max(self.epoch, status.epoch)
                    newest = next(s.last_round for s in status.seats if s.node == node.node)
                    if newest and (status.epoch, newest) >= (began, floor["round"]):
                        return floor
                    await trio.sleep(0.1)
        raise NotCommitted(f"node {number} found {floor}, and node {witness.number} no block of it")

    async def _invite(self) -> str:
        """A node ticket of the governor's, who is whoever started node 0."""
        await self._govern("net", "join", str(self.network.nodes[0].ticket))
        uses = ("--uses", str(MAX_VISITS))
        return str((await self._govern("invite", "create", "--role", "node", *uses))["ticket"])

    async def _govern(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "ccp2p", *arguments, "--json"]
        home = {"CCP2P_HOME": str(self.network.folder / "governor"), "CCP2P_ALLOW_SIMULATED": "1"}
        done = await trio.run_process(
            command, env=os.environ | home, capture_stdout=True, stderr=subprocess.DEVNULL
        )
        return json.loads(done.stdout)

    async def _visit(self, invite: str) -> None:
        """A new node comes in, has a seat, and leaves: two epochs end by it."""
        size = len(self.network.nodes)
        folder = self.network.folder / f"visitor-{self.visits}"
        guest = NodeProcess(size + self.visits, folder, [], ["--join", "-"])
        await self._nursery.start(guest.run, invite.encode())
        await guest.wait_for("ready")
        await self._has_seats(size + 1)
        await guest.stop()
        guest = NodeProcess(guest.number, folder, ["--leave"])
        await self._nursery.start(guest.run)
        await self._has_seats(size)
        await guest.wait_for("stopped")
        self.visits += 1
        say(f"visitor {self.visits} came, had a seat, and left")

    async def _has_seats(self, count: int) -> None:
        node = self.network.nodes[0]
        async with open_network(self.ticket_of(node), allow_simulated=True) as client:
            with trio.fail_after(PATIENCE_S):
                while len((await client.connections[0].status()).seats) != count:
                    await trio.sleep(0.2)

    def doors(self) -> list[str]:
        """Addresses for members and nodes, of those that are in."""
        return [
            address
            for node in self.network.live()
            for address in (*node.addresses, *node.client_addresses)
        ]

    def ticket_of(self, node: NodeProcess) -> Any:
        """A ticket that leads to one node only."""
        return replace(self.network.ticket, addresses=tuple(node.client_addresses[:1]))

    async def transcripts(self, reader: MemberSession) -> list[list[str]]:
        """The room as each node tells it, all of them up to now."""
        await reader.barrier(TIMEOUT_MS)
        return [await self._transcript(reader, node) for node in self.network.nodes]

    async def _transcript(self, reader: MemberSession, node: NodeProcess) -> list[str]:
        fault: Exception | None = None
        with trio.move_on_after(PATIENCE_S):
            while True:
                try:
                    async with open_network(self.ticket_of(node), allow_simulated=True) as client:
                        via = client.connections[0]
                        return [m.text async for m in rooms.messages(reader, ROOM, via=via)]
                except (Fault, ExceptionGroup) as error:
                    fault = fault_in(error)
                    if fault is None:
                        raise  # else it is behind, and says so
                await trio.sleep(0.5)
        raise NotCommitted(f"node {node.number} cannot be read: {fault!r}")

    def equivocations(self) -> int:
        """How often a node saw another sign a slot twice."""
        logs = [node.log_path.read_text() for node in self.network.nodes]
        return sum(log.count("equivocation") for log in logs)


def say(text: str) -> None:
    """Progress goes to stderr."""
    print(f"{trio.current_time() - _began_s:7.1f} s  {text}", file=sys.stderr, flush=True)


_began_s = 0.0


async def soak(course: Course, plan: Plan) -> bool:
    """Run it; whether nothing was lost, duplicated or forked."""
    global _began_s
    _began_s = trio.current_time()
    async with (
        trio.open_nursery() as nursery,
        run_network(plan, say) as network,
        open_network(network.ticket, allow_simulated=True, every_node=True) as client,
    ):
        running = Soak(network, nursery, course)
        memory = Memory(lambda: [node.pid for node in network.live()])
        nursery.start_soon(memory.watch)
        strangers = Strangers(running.doors, course.seed)
        load = Load([await member(client, number) for number in range(MEMBERS)], course.rate)
        async with trio.open_nursery() as posting:
            for number in range(MEMBERS):
                posting.start_soon(load.post, number)
            with trio.move_on_after(course.minutes * 60):
                async with trio.open_nursery() as company:
                    company.start_soon(strangers.run, course.strangers)
                    await running.trouble()
            load.is_over = True
            say("no more trouble: waiting for every answer")
            posting.start_soon(_give_up_after, PATIENCE_S)
            await _answered(load)
            posting.cancel_scope.cancel()
        tell_of_company(running, strangers, memory)
        for number in [n for n, node in enumerate(network.nodes) if not node.is_alive]:
            await running.start(number)
        told = await running.transcripts(load.sessions[0])
        is_good = verdict(running, load, told)
        nursery.cancel_scope.cancel()
    return is_good


async def _answered(load: Load) -> None:
    while len(load.acknowledged) + load.refused.total() < load.sent:
        await trio.sleep(0.1)


async def _give_up_after(seconds: float) -> None:
    await trio.sleep(seconds)
    raise NotCommitted("messages without an answer: the network stands")


async def member(client: NetworkClient, number: int) -> MemberSession:
    """A member in the room; the first one makes it."""
    session = client.session(SigningKey(bytes([number + 1]) * 32), prefer=number)
    await session.open(TIMEOUT_MS)
    name = f"member {number}"
    body = rooms.join(ROOM, name) if number else rooms.create(ROOM, False, name)
    await session.submit(body, TIMEOUT_MS)
    return session


def verdict(running: Soak, load: Load, told: list[list[str]]) -> bool:
    """Hold every node's transcript against what was acknowledged, and print what came of it."""
    lost = sum(
        not (position < len(texts) and texts[position] == text)
        for texts in told
        for text, position in load.acknowledged.items()
    )
    duplicated = sum(len(texts) - len(set(texts)) for texts in told)
    forks = len({tuple(texts) for texts in told}) - 1 + running.equivocations()
    say(
        f"{running.kills} kills, {running.set_back} older disks, {load.sent} messages, "
        f"{len(load.acknowledged)} acknowledged, refused {dict(load.refused)}, "
        f"{running.epoch} epochs ended"
    )
    print(f"lost {lost}, duplicated {duplicated}, forks {forks}")
    return (lost, duplicated, forks) == (0, 0, 0) and not load.refused


def tell_of_company(running: Soak, strangers: Strangers, memory: Memory) -> None:
    """What came by, and what the nodes held meanwhile."""
    say(f"{running.visits} visitors; strangers: {dict(strangers.did)}")
    say(f"no node held more than {memory.most_mb():.0f} MB")
    for node in running.network.live():
        if growth := memory.growth(node.pid):
            say(
                f"node {node.number} over {growth.hours:.2f} h: {growth.from_mb:.1f} to "
                f"{growth.to_mb:.1f} MB, median {growth.median_mb:.1f}, slope "
                f"{growth.mb_per_hour:+.2f} MB/h, give or take {growth.noise_mb_per_hour:.2f}"
            )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--coin-length", type=int, default=512, help="rounds of 1.25 epochs")
    parser.add_argument("--rate", type=float, default=0, help="messages a second; 0: all they can")
    parser.add_argument("--visits", type=int, default=0, help="kills between two newcomers")
    parser.add_argument("--strangers", type=int, default=0, help="who hammer the doors at a time")
    parser.add_argument("--watch", action="store_true", help="never kill node 0")
    parser.add_argument("--pause", type=float, default=0, help="seconds between kills")
    parser.add_argument("--cache", type=int, help="MiB of state that a node keeps in memory")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    course = Course(
        minutes=options.minutes,
        seed=options.seed,
        rate=options.rate,
        visits=options.visits,
        strangers=options.strangers,
        watch=options.watch,
        pause_s=options.pause,
    )
    folder = Path(tempfile.mkdtemp(prefix="ccp2p-soak-"))
    good = False
    try:
        plan = Plan(
            folder,
            options.nodes,
            "rooms",
            coin_length=options.coin_length,
            node_arguments=("--cache-size", str(options.cache)) if options.cache else (),
        )
        good = trio.run(soak, course, plan)
    finally:
        if good:
            shutil.rmtree(folder)
        else:
            print(f"what is left is in {folder}", file=sys.stderr)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
