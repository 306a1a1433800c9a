"""How announcements of commits spread over 1,000 and 10,000 nodes, in hops and seconds.

    PYTHONPATH=. python bench/gossip.py TABLE.csv bench/results/gossip.jsonl

TABLE.csv has the round trips between regions. One line of JSON for each setting; settings that the
file has are not run again.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ccp2p.simulator.gossip import Setting, World
from ccp2p.simulator.links import region_latencies

HOUR, MINUTE = 0.2, 0.2 * 60  # a fifth of the nodes goes in an hour, or in a minute
SETTINGS = [
    Setting(1_000, 50, 0.0, 0.0, commits=20),
    Setting(1_000, 50, 0.1, HOUR, commits=60),
    Setting(1_000, 50, 0.1, MINUTE, commits=60),
    Setting(1_000, 50, 0.3, MINUTE, commits=20),
    Setting(10_000, 50, 0.0, 0.0),
    Setting(10_000, 50, 0.1, HOUR),
    Setting(10_000, 50, 0.1, MINUTE),
]


def quantiles(values: Sequence[int], scale: float) -> dict[str, float]:
    """The median, the 99th percentile and the greatest."""
    last = len(values) - 1
    places = {"p50": last // 2, "p99": last * 99 // 100, "max": last}
    return {name: values[place] / scale for name, place in places.items()}


def measure(setting: Setting, table: str) -> dict[str, Any]:
    """One run of one setting."""
    start = time.process_time()
    found = World(setting, region_latencies(table), seed=1).run()
    return {
        "setting": setting._asdict(),
        "heard": len(found.delays_us),
        "missed": found.missed,
        "seconds": quantiles(found.delays_us, 1e6),
        "hops": quantiles(found.hops, 1),
        "copies": round(found.copies, 2),
        "bytes_a_second": round(found.bytes_each),
        "cpu_s": round(time.process_time() - start, 1),
    }


def main() -> None:
    """Run what the file lacks."""
    table, path = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = [row["setting"] for row in rows]
    for setting in SETTINGS:
        if setting._asdict() not in done:
            with path.open("a") as out:
                out.write(json.dumps(measure(setting, table)) + "\n")


if __name__ == "__main__":
    main()
