"""A long fuzz run of the verifiers: mutated samples in, verdicts out, nothing else.

    python bench/attestation_fuzz.py TEE COUNT [SEED]

Every input is a published sample with one to four seeded mutations of its evidence, or of its
endorsements. A run fails on any exception, and on any accepted evidence that is not a sample byte
for byte. It prints one JSON line: counts by verdict, the slowest verdict in processor time,
and how many mutated endorsements made no difference (text round PEM blocks, JSON spacing). A busy
machine disturbs even processor time, so an input over the limit is timed again. The seed fixes
every input.
"""

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

from ccp2p.attestation import certificates, collateral, quote
from ccp2p.attestation.platform_key import read_platform_key
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import Policy, default_policy, parse_policy, trusting_platform_keys
from ccp2p.attestation.samples import Sample, parse_time, read_manifest
from ccp2p.attestation.verify import UNJUDGED, verify

EVIDENCE = Path(__file__).resolve().parents[1] / ".." / "shared" / "evidence"
LIMIT_MS = 50
INTERESTING = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
Case = tuple[bytes, tuple[bytes, ...], Policy, int]


def load(tee: str, folder: Path) -> list[Case]:
    """All genuine samples of a TEE; for the simulated one, evidence made in `folder`."""
    if tee == "simulated":
        platform = SimulatedPlatform(folder)
        policy = parse_policy("[simulated]\nany_measurement = true\n")
        return [(platform.evidence(bytes(range(64))), platform.endorsements, policy, 0)]
    entries = read_manifest(EVIDENCE / tee / "MANIFEST.toml")
    return [_case(EVIDENCE / tee, entry) for entry in entries if entry.expect != "reject"]


def _case(folder: Path, entry: Sample) -> Case:
    policy = default_policy()
    if entry.platform_key_file:
        key = read_platform_key((folder / entry.platform_key_file).read_bytes())
        policy = trusting_platform_keys(policy, (key,))
    endorsements = tuple((folder / name).read_bytes() for name in entry.endorsements)
    return (folder / entry.file).read_bytes(), endorsements, policy, parse_time(entry.at)


def mutate(data: bytes, other: bytes, source: random.Random) -> bytes:
    """`data` with one to four changes; `other` is what pieces are spliced from."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        _change(changed, other, source)
    return bytes(changed)


def _change(data: bytearray, other: bytes, source: random.Random) -> None:
    if not data:
        data.extend(other[:16])
        return
    start = source.randrange(len(data))
    size = min(source.choice((1, 1, 2, 4, 8, 32, 100)), len(data) - start)
    kind = source.randrange(9)
    if kind <= 2:
        data[start] ^= 1 << source.randrange(8)
    elif kind == 3:
        data[start] = source.choice(INTERESTING)
    elif kind == 4:
        data[start : start + size] = source.randbytes(size)
    elif kind == 5:
        del data[start : start + size]
    elif kind == 6:
        data[start:start] = data[start : start + size]
    elif kind == 7:
        origin = source.randrange(max(1, len(other) - size))
        data[start : start + size] = other[origin : origin + size]
    else:
        where = min(start, len(data) - 1)
        step = source.choice((1, -1, 16, 256))
        number = int.from_bytes(data[where : where + 2], "little") + step
        data[where : where + 2] = (number & 0xFFFF).to_bytes(2, "little")


def _cold_ms(
    evidence: bytes, endorsements: tuple[bytes, ...], policy: Policy, at: int, tee: str
) -> float:
    """The time of a verdict again, with nothing remembered: the better of two."""
    times = []
    for _ in range(2):
        forget()
        start = time.thread_time()
        verify(evidence, endorsements, policy, at, tee=tee)
        times.append((time.thread_time() - start) * 1000)
    return min(times)


def forget() -> None:
    """Empty every cache between verdicts."""
    certificates.parse_one.cache_clear()
    certificates.is_issued_by.cache_clear()
    certificates.spki_digest.cache_clear()
    collateral.parse_one.cache_clear()
    quote.parse_chain.cache_clear()


def run(tee: str, count: int, seed: int) -> dict[str, object]:
    """Judge `count` inputs; AssertionError on an acceptance that must not be."""
    import tempfile

    source = random.Random(seed)
    statuses: Counter[str] = Counter()
    slowest_ms, disturbed, over_50_ms, same_endorsements = 0.0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        cases = load(tee, Path(folder))
    originals = {evidence for evidence, _, _, _ in cases}
    for case in cases:
        verify(*case, tee=tee)  # imports are not part of a verdict's time
    for _ in range(count):
        evidence, endorsements, policy, at = source.choice(cases)
        spliced = source.choice(cases)[0]
        if endorsements and source.random() < 0.2:
            chosen = source.randrange(len(endorsements))
            parts = list(endorsements)
            parts[chosen] = mutate(parts[chosen], spliced, source)
            endorsements = tuple(parts)
        else:
            evidence = mutate(evidence, spliced, source)
        start = time.thread_time()
        verdict = verify(evidence, endorsements, policy, at, tee=tee)
        taken_ms = (time.thread_time() - start) * 1000
        slowest_ms = max(slowest_ms, taken_ms)
        if taken_ms > LIMIT_MS:
            disturbed += 1
            over_50_ms += _cold_ms(evidence, endorsements, policy, at, tee) > LIMIT_MS
        statuses[verdict.status] += 1
        assert UNJUDGED not in " ".join(verdict.reasons), (evidence.hex(), verdict.reasons)
        # A genuine signature under a changed byte would show here whatever the policy says.
        if verdict.status != "reject":
            assert evidence in originals, evidence.hex()
            same_endorsements += 1
    return {
        "schema": "fuzz/1",
        "tee": tee,
        "inputs": count,
        "seed": seed,
        "statuses": dict(statuses),
        "slowest_cpu_ms": round(slowest_ms, 1),
        "over_50_cpu_ms_once": disturbed,
        "over_50_cpu_ms": over_50_ms,
        "unchanged_by_mutation": same_endorsements,
    }


if __name__ == "__main__":
    chosen_seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), chosen_seed)))
