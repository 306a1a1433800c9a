"""Looks into nodes while they run; Python imports this file by its name at start.

    PYTHONPATH=bench/profile CCP2P_PROFILE=folder ccp2p bench network --nodes 4 --events 20000

leaves one `<process id>.prof` a node in the folder, for `python -m pstats`: what it did to execute
commits. With `CCP2P_COMMITS=folder` it leaves `<process id>.commits` there: a line for each write
of executed commits, with the newest's index and the machine's monotonic clock in nanoseconds.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

WRITE_EVERY = 4  # calls; a node ends by a signal, so the figures are written on the way


def profile_execution(folder: str) -> None:
    """Wrap the one call that opens and applies commits."""
    import cProfile

    from ccp2p.node.executor import Executor

    execute, profile, calls = Executor.execute, cProfile.Profile(), 0

    def profiled(self: Executor, commits: Sequence[Any]) -> Any:
        nonlocal calls
        calls += 1
        try:
            return profile.runcall(execute, self, commits)
        finally:
            if calls % WRITE_EVERY == 0:
                profile.dump_stats(os.path.join(folder, f"{os.getpid()}.prof"))

    Executor.execute = profiled  # type: ignore[method-assign]


def note_commits(folder: str) -> None:
    """Wrap what stores executed commits."""
    from ccp2p.node.replica import Replica

    store = Replica._store
    out = open(os.path.join(folder, f"{os.getpid()}.commits"), "a", buffering=1)  # noqa: SIM115

    async def noted(self: Replica, executed: Any) -> None:
        await store(self, executed)
        out.write(f"{self.executed} {time.monotonic_ns()}\n")

    Replica._store = noted  # type: ignore[method-assign]


if "node" in sys.orig_argv and os.environ.get("CCP2P_COMMITS"):
    note_commits(os.environ["CCP2P_COMMITS"])
if "node" in sys.orig_argv and os.environ.get("CCP2P_PROFILE"):
    profile_execution(os.environ["CCP2P_PROFILE"])
