"""A long run of one scenario, recorded run by run; it goes on where it stopped.

    python bench/seeds.py mixed runs.jsonl 4:0:4000 7:0:4000 10:0:2000
    python bench/seeds.py mixed runs.jsonl                              # only says what is recorded

An argument names a committee and its seeds (nodes:first:end). A file holds the runs of one
scenario, one a line.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ccp2p.simulator.run import PASS, Setting, simulate


def recorded(path: Path) -> list[dict[str, Any]]:
    """The runs of a file; a last line that was cut off is left out."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def wanted(arguments: list[str]) -> list[tuple[int, int]]:
    """Committees and seeds, each committee's share spread evenly over the whole run."""
    shares = []
    for argument in arguments:
        nodes, first, end = map(int, argument.split(":"))
        shares += [((seed - first) / (end - first), nodes, seed) for seed in range(first, end)]
    return [(nodes, seed) for _, nodes, seed in sorted(shares)]


def run(scenario: str, nodes: int, seed: int) -> dict[str, Any]:
    """One run, as it is recorded."""
    start = time.process_time()
    result = simulate(scenario, seed, Setting(nodes=nodes))
    return {
        "nodes": nodes,
        "seed": seed,
        "verdict": result.verdict,
        "check": result.check,
        "detail": result.detail,
        "deliveries": result.deliveries,
        "commits": result.commits,
        "trace": result.trace_sha256,
        "cpu_s": round(time.process_time() - start, 2),
    }


def main() -> None:
    """Run what is missing, then sum up."""
    scenario, path = sys.argv[1], Path(sys.argv[2])
    done = {(one["nodes"], one["seed"]) for one in recorded(path)}
    with path.open("a") as out:
        for nodes, seed in wanted(sys.argv[3:]):
            if (nodes, seed) not in done:
                print(json.dumps(run(scenario, nodes, seed)), file=out, flush=True)
    runs = recorded(path)
    counts = Counter((one["nodes"], one["verdict"]) for one in runs)
    for (nodes, verdict), count in sorted(counts.items()):
        print(f"n = {nodes}: {count} {verdict}")
    for one in runs:
        if one["verdict"] != PASS:
            print(f"  --nodes {one['nodes']} --seed {one['seed']}: {one['check']}: {one['detail']}")
    seconds = sum(one["cpu_s"] for one in runs)
    deliveries = sum(one["deliveries"] for one in runs)
    print(f"{len(runs)} runs, {deliveries} deliveries, {seconds:.0f} s of processor time")


if __name__ == "__main__":
    main()
