"""Evidence and endorsements made to be slow to refuse, within all limits of size.

    python bench/attestation_hostile.py

Random mutations seldom look for slow inputs; these are what an attacker would try: much of
everything that is parsed before a signature can say no. Prints one JSON line each, with the better
of three times of a verdict in processor time, and with nothing remembered.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
from attestation_fuzz import forget, load

from ccp2p.attestation.policy import default_policy
from ccp2p.attestation.verify import verify
from ccp2p.model import limits

ROOM = limits.MAX_EVIDENCE_BYTES - 400
BEGIN = b"-----BEGIN CERTIFICATE-----\n"
ES384 = bytes.fromhex("a1013822")


def listed(item: bytes) -> bytes:
    """A CBOR list of as many items as there is room for."""
    count = ROOM // len(item)
    return b"\x9a" + count.to_bytes(4, "big") + item * count


def documents() -> Iterator[tuple[str, bytes]]:
    """Nitro documents that are well formed outside and large inside."""
    payloads = {
        "numbers": listed(b"\x00"),
        "empty maps": listed(b"\xa0"),
        "unknown tags": listed(b"\xc6\x00"),
        "a map": cbor2.dumps(dict.fromkeys(range(15000), 0)),
        "a list that lies": b"\x9a\x7f\xff\xff\xff" + bytes(ROOM - 5),
    }
    for name, payload in payloads.items():
        yield name, cbor2.dumps([ES384, {}, payload, bytes(96)])


def collaterals(genuine: bytes) -> Iterator[tuple[str, bytes]]:
    """Collateral with one part as large as it may be."""
    fields: dict[str, Any] = json.loads(genuine)
    info = json.loads(fields["tcb_info"])
    repeats = 180_000 // len(json.dumps(info["tcbLevels"]))
    parts = {
        "many levels": {"tcb_info": json.dumps({**info, "tcbLevels": info["tcbLevels"] * repeats})},
        "deep levels": {"tcb_info": "[" * 150_000},
        "a list of garbage": {"pck_crl": "30" * 90_000},
        "a chain of garbage": {
            "tcb_info_issuer_chain": (BEGIN.decode() + "A" * 20_000 + "\n") * 9,
        },
        "a chain that repeats": {"tcb_info_issuer_chain": fields["tcb_info_issuer_chain"] * 5},
    }
    for name, changed in parts.items():
        yield name, json.dumps({**fields, **changed}).encode()


def chains(leaf: bytes, chain: bytes) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Endorsements of a report: text without ends, and as many certificates as are taken."""
    yield "no ends", (BEGIN * 9 + b"A" * 200_000,)
    yield "lists of garbage", (b"-----BEGIN X509 CRL-----\n" * 9 + b"A" * 200_000,)
    yield "many chips", (*(leaf,) * 7, chain)
    yield "many roots", (leaf, chain * 4)


def cases() -> Iterator[tuple[str, str, bytes, tuple[bytes, ...], int]]:
    """(TEE, name, evidence, endorsements, time) of all."""
    report, endorsements, _, at = load("sev-snp", Path())[0]
    for name, parts in chains(*endorsements):
        yield "sev-snp", name, report, parts, at
    quote, endorsements, _, at = load("tdx", Path())[0]
    for name, part in collaterals(endorsements[0]):
        yield "tdx", name, quote, (part,), at
    for name, document in documents():
        yield "aws-nitro", name, document, (), at


def main() -> None:
    """Time every case."""
    for tee, name, evidence, endorsements, at in cases():
        best_ms, status = float("inf"), ""
        for _ in range(3):
            forget()
            start = time.thread_time()
            status = verify(evidence, endorsements, default_policy(), at, tee=tee).status
            best_ms = min(best_ms, (time.thread_time() - start) * 1000)
        shown = {"schema": "attestation-hostile/1", "tee": tee, "case": name, "status": status}
        print(json.dumps(shown | {"cpu_ms": round(best_ms, 1)}))


if __name__ == "__main__":
    main()
