"""Total throughput against the number of groups that the same node processes run.

Four processes, each a node of every group; the same number of events in all, spread evenly. The
groups are made as users make them, while the nodes run. What one more network costs in memory is
told beside it, and the CPU: what all processes used of this machine's, and what it would carry if
nothing else ran on it.

    python bench/groups.py --groups 1 2 4 --events 12000
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from ccp2p.benchmarks.network import Load, Run, open_members, seal_load
from ccp2p.client.connection import fetch_offer
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.model.genesis import Parameters
from ccp2p.model.ticket import Ticket, parse_ticket
from ccp2p.node import setup as setups
from ccp2p.node.home import Listen
from ccp2p.node.setup import Founding, Wanted

NODES = 4
MAP_BYTES = 1 << 30
COIN_LENGTH = 1 << 20


async def main(groups: int, events: int, size: int) -> dict[str, object]:
    """Run the load over so many groups once."""
    with tempfile.TemporaryDirectory(prefix="ccp2p-groups-") as folder:
        plan = Plan(Path(folder), NODES, app="kv", coin_length=COIN_LENGTH)
        async with run_network(plan, lambda _: None) as network, AsyncExitStack() as stack:
            rss_mb = [resident_mb(network)]
            others = [await another(network, number) for number in range(1, groups)]
            tickets = [network.ticket, *others]
            rss_mb.append(resident_mb(network))
            clients = [
                await stack.enter_async_context(
                    open_network(ticket, allow_simulated=True, every_node=True)
                )
                for ticket in tickets
            ]
            load = Load(NODES, events // groups, size, 0.0, False, 4096 // groups)
            runs = [await prepared(client, load) for client in clients]
            return await measured(network, clients, runs, rss_mb, events // groups * groups)


def resident_mb(network: LocalNetwork) -> float:
    """The mean of the processes' peaks so far."""
    return sum(node.peak_rss_mb() for node in network.nodes) / NODES


async def another(network: LocalNetwork, number: int) -> Ticket:
    """One more group of the same nodes, which run; its member ticket with all addresses."""
    wanted = [
        Wanted(node.directory, Listen(), f"sim-{'abcd'[node.number]}", MAP_BYTES)
        for node in network.nodes
    ]
    founding = Founding(f"group-{number}", "kv", NODES, Parameters(coin_length=COIN_LENGTH))
    first = setups.found(wanted[0], founding, time.time_ns() // 1_000_000)
    id_ = first.network.hex()
    said = await network.nodes[0].wait_for("founding", lambda told: told["network"] == id_)
    ticket = parse_ticket(said["node_ticket"])
    offer = await fetch_offer(ticket.addresses[0], ticket.network, allow_simulated=True)
    for one in wanted[1:]:
        setups.join(one, ticket, offer.welcome)
    for node in network.nodes:
        ready = await node.wait_for("ready", lambda told: told["network"] == id_)
        if node.number == 0:
            member = parse_ticket(ready["ticket"])
    addresses = tuple(node.client_addresses[0] for node in network.nodes)
    return Ticket(
        member.network, member.name, "member", True, member.record, addresses, member.secret
    )


async def prepared(client: NetworkClient, load: Load) -> Run:
    """A group's members and sealed events."""
    sessions = await open_members(client, lambda *_: None)
    return Run(load, seal_load(sessions, load, lambda *_: None))


async def timed(run: Run, client: NetworkClient, into: list[float]) -> None:
    """Send one group's load; how long that took."""
    into.append(await run.measure(client, lambda *_: None))


async def measured(
    network: LocalNetwork,
    clients: list[NetworkClient],
    runs: list[Run],
    rss_mb: list[float],
    events: int,
) -> dict[str, object]:
    """All groups' loads at once."""
    before = sum(node.cpu_s() for node in network.nodes)
    seconds: list[float] = []
    own_s, started_s = time.process_time(), trio.current_time()
    async with trio.open_nursery() as nursery:
        for client, run in zip(clients, runs, strict=True):
            nursery.start_soon(timed, run, client, seconds)
    elapsed_s = trio.current_time() - started_s
    own_s = time.process_time() - own_s
    nodes_s = sum(node.cpu_s() for node in network.nodes) - before
    if any(run.refused for run in runs):
        sys.exit("events were refused; the figures would lie")
    latencies = sorted(one for run in runs for one in run.latencies_ms)
    cores = os.cpu_count() or 1
    return {
        "schema": "bench-groups/1",
        "groups": len(runs),
        "events": events,
        "events_per_s": round(events / elapsed_s),
        "seconds_of_each": [round(took_s, 2) for took_s in seconds],
        "latency_p50_ms": round(latencies[len(latencies) // 2]),
        "nodes_cpu_us_per_event": round(nodes_s * 1e6 / events, 1),
        "client_cpu_us_per_event": round(own_s * 1e6 / events, 1),
        "threads_used": round((nodes_s + own_s) / elapsed_s, 2),
        "threads": cores,
        "cpu_limit_events_per_s": round(events * cores / (nodes_s + own_s)),
        "rss_mb_one_network": round(rss_mb[0], 1),
        "rss_mb_all_networks": round(rss_mb[1], 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--events", type=int, default=12_000)
    parser.add_argument("--size", type=int, default=256)
    wanted = parser.parse_args()
    for count in wanted.groups:
        print(json.dumps(trio.run(main, count, wanted.events, wanted.size)), flush=True)
