"""How soon nodes without a seat have each commit, and what they cost: real processes under load.

Seats found a network whose vendor cap they fill, so that whoever comes later, all of one vendor,
observes. Members open their sessions, and then write through the seats at a steady rate. A commit's
lag at an observer runs from when the first seat had it executed and stored until the observer had.
With `--cold` sessions open while the clock runs. Prints one JSON object.

    PYTHONPATH=. python bench/observers.py --seats 4 --observers 12 --rate 200 --seconds 20
    PYTHONPATH=. python bench/observers.py --seats 10 --observers 40 --rate 500 --round-ms 250
"""

import argparse
import json
import os
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.policy import simulated_policy
from ccp2p.benchmarks.network import MEMBERS, Load, Run, open_members, seal_load
from ccp2p.client.network import open_network
from ccp2p.devnet.process import NodeProcess
from ccp2p.devnet.replay import percentiles
from ccp2p.model.ticket import Ticket, parse_ticket

EVENT_BYTES = 256
SETTLE_S = 5.0
IN_FLIGHT = 4096


def vendor(seat: int, seats: int) -> str:
    """As few vendors as a cap of f seats each allows."""
    return f"sim-{seat // ((seats - 1) // 3)}"


async def found(
    folder: Path, seats: int, round_ms: int, nursery: trio.Nursery
) -> list[NodeProcess]:
    """The seats, all of them ready."""
    policy = folder / "policy.toml"
    policy.write_text(simulated_policy(measurement()) + '[caps]\nvendor = "f"\n')
    first = ["--founders", str(seats), "--name", "bench", "--app", "kv", "--policy", str(policy)]
    first += ["--round-ms", str(round_ms)]
    nodes = [
        NodeProcess(
            number,
            folder / f"seat-{number}",
            ["--vendor", vendor(number, seats)],
            ["--join", "-"] if number else first,
        )
        for number in range(seats)
    ]
    await nursery.start(nodes[0].run)
    invite = (await nodes[0].wait_for("founding"))["node_ticket"].encode()
    for node in nodes[1:]:
        await nursery.start(node.run, invite)
    for node in nodes:
        await node.wait_for("ready")
    return nodes


async def follow(folder: Path, count: int, seat: NodeProcess, nursery: trio.Nursery) -> Any:
    """So many observers, all of them ready."""
    invite = seat.reports("founding")[0]["node_ticket"].encode()
    nodes = []
    for number in range(count):
        directory = folder / f"observer-{number}"
        node = NodeProcess(number, directory, ["--vendor", "sim-0"], ["--join", "-"])
        await nursery.start(node.run, invite)
        await node.wait_for("ready")
        nodes.append(node)
    return nodes


def times(folder: Path, node: NodeProcess) -> list[tuple[int, int]]:
    """(commit, nanoseconds) of each write of a node, in order."""
    lines = (folder / f"{node.pid}.commits").read_text().splitlines()
    return [(int(commit), int(at)) for commit, at in (line.split() for line in lines)]


def reached(writes: Sequence[tuple[int, int]], commit: int) -> int | None:
    """When a node had a commit."""
    place = bisect_left(writes, (commit, 0))
    return writes[place][1] if place < len(writes) else None


def lags_ms(
    seats: Sequence[Sequence[tuple[int, int]]],
    observers: Sequence[Sequence[tuple[int, int]]],
    commits: range,
) -> list[float]:
    """Of every commit and observer."""
    found = []
    for commit in commits:
        begun = min(at for one in seats if (at := reached(one, commit)) is not None)
        ends = [reached(one, commit) for one in observers]
        if None in ends:
            raise SystemExit(f"an observer never had commit {commit}")
        found += [((end or 0) - begun) / 1e6 for end in ends]
    return found


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run it all; what is printed."""
    events = int(options.rate * options.seconds)
    first = 0 if options.cold else MEMBERS
    load = Load(options.seats, first + events, EVENT_BYTES, options.rate, False, IN_FLIGHT)
    async with trio.open_nursery() as nursery:
        seats = await found(folder, options.seats, options.round_ms, nursery)
        observers = await follow(folder, options.observers, seats[0], nursery)
        said = parse_ticket(seats[0].ticket or "")
        reach = tuple(node.client_addresses[0] for node in seats)
        ticket = Ticket(said.network, said.name, "member", True, said.record, reach, said.secret)
        await trio.sleep(SETTLE_S)
        async with open_network(ticket, allow_simulated=True, every_node=True) as client:
            sealed = seal_load(await open_members(client, _quiet), load, _quiet)
            if first:
                await Run(load, sealed[:first]).measure(client, _quiet)
                await trio.sleep(SETTLE_S)
            run = Run(load, sealed[first:])
            before = [(node.cpu_s(), times(folder, node)[-1][0]) for node in (*seats, *observers)]
            elapsed_s = await run.measure(client, _quiet)
        cpu = [
            node.cpu_s() - was for node, (was, _) in zip((*seats, *observers), before, strict=True)
        ]
        await trio.sleep(SETTLE_S)
        heard = [times(folder, node) for node in (*seats, *observers)]
        commits = range(max(commit for _, commit in before) + 1, run.highest_commit)
        lags = lags_ms(heard[: len(seats)], heard[len(seats) :], commits)
        memory = [node.peak_rss_mb() for node in observers]
        nursery.cancel_scope.cancel()
    if run.refused:
        raise SystemExit(f"{run.refused} events were refused; the figures would lie")
    share = [one / elapsed_s * 100 for one in cpu]
    return {
        "round_ms": options.round_ms,
        "seats": len(seats),
        "observers": len(observers),
        "events_per_s": round(events / elapsed_s, 1),
        "latency_ms": percentiles(run.latencies_ms),
        "commits_per_s": round(len(commits) / elapsed_s, 1),
        "lag_ms": percentiles(lags),
        "lag_ms_max": round(max(lags), 1),
        "cpu_percent_of_seat": round(sum(share[: len(seats)]) / len(seats), 1),
        "cpu_percent_of_observer": round(sum(share[len(seats) :]) / len(observers), 1),
        "observer_peak_rss_mb": round(sum(memory) / len(memory)),
        "load": os.getloadavg()[0],
    }


def _quiet(*_: object) -> None:
    pass


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seats", type=int, default=4)
    parser.add_argument("--observers", type=int, default=12)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--cold", action="store_true", help="count the openings of sessions, too")
    parser.add_argument("--round-ms", type=int, default=20, help="least time between two rounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccp2p-observers-") as folder:
        beside = str(Path(__file__).parent / "profile")
        paths = [beside, *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "CCP2P_COMMITS": folder}
        print(json.dumps(trio.run(measure, options, Path(folder))))


if __name__ == "__main__":
    main()
