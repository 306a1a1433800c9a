"""Verdicts a second of each verifier, on one core, over the published samples.

    python bench/attestation.py

Prints one JSON line a sample. `warm` repeats one verdict, as a node does that knows its peers'
chains; `cold` forgets every remembered certificate, link and collateral before each verdict.
Figures are a second of processor time, and the best of five rounds, because other work on the
machine only ever slows one down.
"""

import json
import time
from pathlib import Path

from attestation_fuzz import Case, forget, load

from ccp2p.attestation.verify import verify

SAMPLES = (
    ("sev-snp", 0),
    ("sev-snp", 7),
    ("tdx", 0),
    ("tdx", 6),
    ("sgx", 0),
    ("aws-nitro", 0),
    ("arm-cca", 1),
)
ROUNDS, REPEATS = 5, 60


def best_seconds(tee: str, sample: Case, cold: bool) -> float:
    """The mean time of one verdict in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        taken = 0.0
        for _ in range(REPEATS):
            if cold:
                forget()
            start = time.thread_time()
            verify(*sample, tee=tee)
            taken += time.thread_time() - start
        best = min(best, taken / REPEATS)
    return best


def main() -> None:
    """Measure every sample."""
    for tee, index in SAMPLES:
        sample = load(tee, Path())[index]
        status = verify(*sample, tee=tee).status
        figures = {
            kind: round(1 / best_seconds(tee, sample, kind == "cold")) for kind in ("warm", "cold")
        }
        print(
            json.dumps({"schema": "attestation-bench/1", "tee": tee, "status": status, **figures})
        )


if __name__ == "__main__":
    main()
