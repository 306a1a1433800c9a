"""How long a newcomer takes to join a network that has a history, on real processes.

Members write many keys, of 256-byte events; then a node joins by a ticket. Prints one JSON object:
seconds from the start of its process until it said each thing, until it follows live (`ready`) and
until it has a seat (`epoch`), and its CPU time.

    python bench/join.py --events 100000
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import trio

from ccp2p.client import kv
from ccp2p.client.network import NetworkClient, open_network
from ccp2p.crypto.signatures import SigningKey
from ccp2p.devnet.gate import Gate
from ccp2p.devnet.network import LocalNetwork, Plan, run_network
from ccp2p.devnet.process import NodeProcess
from ccp2p.model.errors import Fault
from ccp2p.model.outcome import Outcome

MEMBERS = 256
IN_FLIGHT = 8192
VALUE_BYTES = 100
TIMEOUT_MS = 60_000
LIMIT_S = 30
STEPS = {
    "admitted": "admitted as an observer",
    "fetching": "fetching the state",
}


async def write(client: NetworkClient, events: int) -> None:
    """So many keys, each written once."""
    sessions = [client.session(SigningKey.generate(), prefer=i) for i in range(MEMBERS)]
    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(session.open, TIMEOUT_MS)
    gate, results = Gate(IN_FLIGHT), list[Outcome | Fault]()

    def done(result: Outcome | Fault) -> None:
        results.append(result)
        gate.leave()

    for number in range(events):
        await gate.enter()
        body = kv.put_body(number.to_bytes(8, "big"), os.urandom(VALUE_BYTES))
        sessions[number % MEMBERS].post(body, done)
    while len(results) < events:
        await trio.sleep(0.1)
    refused = [result for result in results if getattr(result, "status", "") != "ok"]
    if refused:
        raise SystemExit(f"{len(refused)} writes failed, the first with {refused[0]}")


async def join(network: LocalNetwork, nursery: trio.Nursery) -> dict[str, Any]:
    """Start the newcomer; seconds until each step, and what it cost."""
    invite = (await network.nodes[0].wait_for("founding"))["node_ticket"].encode()
    number = len(network.nodes)
    node = NodeProcess(number, network.folder / "newcomer", ["--join", "-", "--vendor", "sim-a"])
    began_s, steps = trio.current_time(), dict[str, float]()
    await nursery.start(node.run, invite)
    while not node.reports("epoch"):
        said = node.log_path.read_text()
        steps |= {n: trio.current_time() for n, w in STEPS.items() if w in said and n not in steps}
        if node.reports("ready"):
            steps.setdefault("ready", trio.current_time())
        if not node.is_alive:
            raise SystemExit(f"the newcomer ended: {node.last_words()}")
        await trio.sleep(0.01)
    steps["epoch"] = trio.current_time()
    seconds = {name: round(at - began_s, 2) for name, at in steps.items()}
    return {"seconds": seconds, "cpu_s": node.cpu_s(), "peak_rss_mb": round(node.peak_rss_mb())}


async def measure(nodes: int, events: int, folder: Path) -> dict[str, Any]:
    """Run it all; what is printed."""
    async with (
        trio.open_nursery() as nursery,
        run_network(Plan(folder, nodes, app="kv"), lambda _: None) as network,
    ):
        async with open_network(network.ticket, allow_simulated=True, every_node=True) as client:
            await write(client, events)
        print("the history is written", file=sys.stderr, flush=True)
        found = await join(network, nursery)
        nursery.cancel_scope.cancel()
    return {
        "nodes": nodes,
        "events": events,
        **found,
        "limit_s": LIMIT_S,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccp2p-join-") as folder:
        print(json.dumps(trio.run(measure, options.nodes, options.events, Path(folder))))


if __name__ == "__main__":
    main()
