"""How long no commit is executed while an epoch ends: on four real processes, beside the usual.

A fifth node joins and leaves again, so that each turn ends two epochs, while members post. One node
is asked every few milliseconds how far it is. Prints one JSON object: the usual time between two
commits, the time over each end of an epoch, how long a member waits for its outcome (the two apart
again, by whether the epoch changed meanwhile), and how busy the machine was.

    python bench/epoch_gap.py --turns 3
"""

import argparse
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from msgspec.structs import replace

from ccp2p.client import rooms
from ccp2p.client.connection import NodeConnection
from ccp2p.client.network import open_network
from ccp2p.client.session import MemberSession
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.devnet.process import NodeProcess
from ccp2p.devnet.replay import percentiles

MEMBERS = 4
TIMEOUT_MS = 60_000
POLL_S = 0.004
SETTLED_S = 12.0
"""Between one change and the next: a start of a process, its end, and what nodes do some seconds
after an epoch began (`node/tidying.py`) are no part of the next one's end."""


@dataclass
class Watch:
    """When the node's newest commit was first seen to be another; times in milliseconds."""

    usual_ms: list[float] = field(default_factory=list)
    over_epochs_ms: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    latency_over_epochs_ms: list[float] = field(default_factory=list)
    epoch: int = 0

    async def run(self, connection: NodeConnection) -> None:
        """Ask until cancelled."""
        last, seen_s = (0, 0), trio.current_time()
        while True:
            status = await connection.status()
            now_s, newest = trio.current_time(), (status.epoch, status.commit)
            if newest > last and status.commit:
                kept = self.usual_ms if newest[0] == last[0] else self.over_epochs_ms
                kept.append((now_s - seen_s) * 1000)
                last, seen_s = newest, now_s
                self.epoch = newest[0]
            await trio.sleep(POLL_S)


async def post(session: MemberSession, watch: Watch) -> None:
    """One message after the other."""
    while True:
        epoch, asked_s = watch.epoch, trio.current_time()
        await rooms.ask_post(session, "lobby", "a message of some length", TIMEOUT_MS)
        kept = watch.latency_ms if epoch == watch.epoch else watch.latency_over_epochs_ms
        kept.append((trio.current_time() - asked_s) * 1000)


async def turn(network: LocalNetwork, nursery: trio.Nursery, number: int, invite: bytes) -> None:
    """A newcomer gets a seat, and gives it up."""
    folder = network.folder / f"guest-{number}"
    guest = NodeProcess(number, folder, ["--join", "-", "--vendor", "sim-a"])
    await nursery.start(guest.run, invite)
    await guest.wait_for("epoch")
    await trio.sleep(SETTLED_S)
    await guest.stop()
    leaver = NodeProcess(number, folder, ["--leave", "--vendor", "sim-a"])
    await nursery.start(leaver.run)
    await leaver.wait_for("stopped")
    await trio.sleep(SETTLED_S)


async def measure(turns: int, folder: Path) -> dict[str, Any]:
    """Run it all; what is printed."""
    watch = Watch()
    async with (
        trio.open_nursery() as nursery,
        run_network(Plan(folder, 4), lambda _: None) as network,
        open_network(network.ticket, allow_simulated=True, every_node=True) as client,
    ):
        invite = (await network.nodes[0].wait_for("founding"))["node_ticket"].encode()
        sessions = [
            client.session(SigningKey(bytes([number + 1]) * 32), prefer=number)
            for number in range(MEMBERS)
        ]
        for number, session in enumerate(sessions):
            await session.open(TIMEOUT_MS)
            name = str(number)
            body = rooms.join("lobby", name) if number else rooms.create("lobby", False, name)
            await session.submit(body, TIMEOUT_MS)
            nursery.start_soon(post, session, watch)
        only_one = replace(network.ticket, addresses=network.ticket.addresses[:1])
        async with open_network(only_one, allow_simulated=True) as watched:
            nursery.start_soon(watch.run, watched.connections[0])
            await trio.sleep(SETTLED_S)
            for number in range(turns):
                await turn(network, nursery, 4 + number, invite)
            nursery.cancel_scope.cancel()
    usual = percentiles(watch.usual_ms[1:])  # the first is from when the watch began
    over_ms = [round(gap, 1) for gap in watch.over_epochs_ms]
    return {
        "usual_ms": usual,
        "over_epochs_ms": over_ms,
        "longest_to_p99": round(max(over_ms) / usual["p99"], 2) if usual and over_ms else None,
        "latency_ms": percentiles(watch.latency_ms),
        "latency_over_epochs_ms": percentiles(watch.latency_over_epochs_ms),
        "limit": 2,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccp2p-gap-") as folder:
        print(json.dumps(trio.run(measure, options.turns, Path(folder))))


if __name__ == "__main__":
    main()
