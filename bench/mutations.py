"""How many seeds the simulator takes to find each fault put into the rules.

    PYTHONPATH=. python bench/mutations.py [NAME ...]

Prints a row of the table in docs/testing.md for each: scenario, nodes, seeds that it takes,
the check that fails, seconds of processor time until then.
"""

import sys
import time

import pytest

from ccp2p.simulator.run import PASS, Setting, simulate
from tests.simulator import mutations


def main() -> None:
    """Try every mutation named, or all."""
    for name in sys.argv[1:] or mutations.ALL:
        mutation = mutations.ALL[name]
        with pytest.MonkeyPatch.context() as patcher:
            mutations.apply(mutation, patcher)
            print(f"| `{name}` | {mutation.scenario} | {mutation.nodes} | {found(mutation)} |")


def found(mutation: mutations.Mutation) -> str:
    """How many seeds find a mutation which is in force, and how."""
    start = time.process_time()
    for seed in range(mutation.within):
        result = simulate(mutation.scenario, seed, Setting(nodes=mutation.nodes))
        if result.verdict != PASS:
            return f"{seed + 1} | {result.check} | {time.process_time() - start:.1f}"
    return f"none below {mutation.within} | | {time.process_time() - start:.1f}"


if __name__ == "__main__":
    main()
