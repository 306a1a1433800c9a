"""Many runs, on several processes where asked for, and what they show together."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat
from typing import Any

from ccp2p.simulator.run import PASS, Result, Setting, simulate


@dataclass(slots=True)
class Tally:
    """The sum of some runs. `failing` are those without a pass; latencies in microseconds."""

    runs: int = 0
    verdicts: dict[str, int] = field(
        default_factory=lambda: {"pass": 0, "no-progress": 0, "violated": 0}
    )
    failing: list[Result] = field(default_factory=list)
    latencies_us: list[int] = field(default_factory=list)
    deliveries: int = 0
    _quorum_delays_us: list[int] = field(default_factory=list)
    _traces: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count a run."""
        self.runs += 1
        self.verdicts[result.verdict] += 1
        self.deliveries += result.deliveries
        if result.verdict != PASS:
            self.failing.append(result)
        self.latencies_us.extend(result.latencies_us)
        self._quorum_delays_us.append(result.quorum_delay_us)
        self._traces.append((result.scenario, result.seed, result.trace_sha256))

    def verdict(self) -> str:
        """The worst verdict so far."""
        worst = [name for name in ("violated", "no-progress") if self.verdicts[name]]
        return worst[0] if worst else PASS

    def report(self) -> dict[str, Any]:
        """What `ccp2p sim --json` prints: schema `sim/1`."""
        latency_ms = percentiles_ms(self.latencies_us)
        quorum_ms = sum(self._quorum_delays_us) / max(1, len(self._quorum_delays_us)) / 1000
        return {
            "schema": "sim/1",
            "runs": self.runs,
            "verdicts": {name.replace("-", "_"): count for name, count in self.verdicts.items()},
            "failing": [
                {
                    "seed": one.seed,
                    "scenario": one.scenario,
                    "verdict": one.verdict.replace("-", "_"),
                    "check": one.check,
                }
                for one in self.failing
            ],
            "latency_ms": latency_ms,
            "latency_delays": (
                round(latency_ms["p50"] / quorum_ms, 2)
                if latency_ms and quorum_ms  # a node alone waits for nobody
                else None
            ),
            "trace_sha256": self.trace_sha256(),
        }

    def trace_sha256(self) -> str:
        """That of the only run; of several, the digest of theirs, one a line, in order."""
        if len(self._traces) == 1:
            return self._traces[0][2]
        lines = "".join(f"{name} {seed} {trace}\n" for name, seed, trace in sorted(self._traces))
        return sha256(lines.encode()).hexdigest()


def percentiles_ms(values_us: Sequence[int]) -> dict[str, float] | None:
    """p50, p90 and p99 by rank, in milliseconds; None of nothing."""
    if not values_us:
        return None
    ranked = sorted(values_us)

    def rank(percent: int) -> float:
        return round(ranked[min(len(ranked) - 1, len(ranked) * percent // 100)] / 1000, 1)

    return {"p50": rank(50), "p90": rank(90), "p99": rank(99)}


def campaign(
    names: Iterable[str], seeds: range, setting: Setting, jobs: int = 1
) -> Iterator[Result]:
    """Every scenario with every seed, in this order; `jobs` processes share the work."""
    pairs = [(name, seed) for name in names for seed in seeds]
    columns = ([name for name, _ in pairs], [seed for _, seed in pairs], repeat(setting))
    if jobs == 1:
        yield from map(simulate, *columns)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(simulate, *columns)
