"""The native core against its pure twins and against libsodium in a C loop, on one thread.

Every path is first checked to give the same answer on all sides. Signatures: distinct authors
without the key cache, or 16 authors with it. AEAD: one commit's worth of envelopes in one call. The
log index: a DAG of four authors, every block naming all four of the round below.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from ccp2p.benchmarks import clock, processor
from ccp2p.model.errors import LocalFault

PATHS = (
    "ed25519-batch",
    "ed25519-batch-cached",
    "ed25519-single",
    "aead-open",
    "aead-seal",
    "index-append",
    "index-lookup",
    "index-ancestors",
)
CACHED_AUTHORS = 16
MESSAGE_BYTES = 128
SINGLES = 16
INDEX_AUTHORS = 4
# Of each cipher: the nonce's bytes, and libsodium's name for it.
CIPHERS = {"aegis256": (32, "aegis256"), "xchacha20": (24, "xchacha20poly1305_ietf")}

Advance = Callable[[str, int, int], None]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: batch sizes, text sizes in bytes, items of a call, and runs of each."""

    paths: tuple[str, ...] = PATHS
    batches: tuple[int, ...] = (16, 64, 256, 1024)
    sizes: tuple[int, ...] = (16, 64, 256, 1024)
    envelopes: int = 256
    blocks: int = 100_000
    runs: int = 5


def measure(plan: Plan, advance: Advance) -> dict[str, Any]:
    """The `bench-native/1` object. LocalFault where the sides disagree or nothing native loads."""
    rows: list[Row] = []
    for done, path in enumerate(plan.paths):
        advance("paths", done, len(plan.paths))
        rows += _MEASURES[path](path, plan)
    advance("paths", len(plan.paths), len(plan.paths))
    return {"schema": "bench-native/1", "cpu": processor.describe(), "rows": rows}


def _row(path: str, algorithm: str, backend: str, n: int, size: int, us: dict[str, float]) -> Row:
    libsodium = us.get("libsodium")
    return {
        "path": path,
        "algorithm": algorithm,
        "backend": backend,
        "n": n,
        "size": size,
        "native_us": _rounded(us[backend]),
        "pure_us": _rounded(us["pure"]),
        "libsodium_us": None if libsodium is None else _rounded(libsodium),
    }


def _rounded(value_us: float) -> float:
    return float(f"{value_us:.4g}")


def _agree(what: str, *answers: object) -> None:
    if any(answer != answers[0] for answer in answers):
        raise LocalFault("bench", f"native, pure and libsodium disagree about {what}")


def _signatures(path: str, plan: Plan) -> Iterator[Row]:
    from ccp2p.crypto import _ed25519

    is_cached = path == "ed25519-batch-cached"
    for n in (1,) if path == "ed25519-single" else plan.batches:
        subjects, items = _signature_subjects(n, CACHED_AUTHORS if is_cached else n, is_cached)
        us = clock.medians_us(subjects, items, plan.runs)
        for backend in _ed25519.BACKENDS:
            yield _row(path, "ed25519", backend, n, MESSAGE_BYTES, us)


def _signature_subjects(n: int, authors: int, is_cached: bool) -> tuple[dict[str, clock.Work], int]:
    """Each side's work over n signatures (single ones: some calls of one), and how many it does."""
    from ccp2p.crypto import _ed25519, _ed25519_pure, _libsodium
    from ccp2p.crypto.signatures import SigningKey

    random = Random(n)
    keys = [SigningKey(random.randbytes(32)) for _ in range(authors)]
    messages = [random.randbytes(MESSAGE_BYTES) for _ in range(n)]
    items = [
        (keys[i % authors].public, keys[i % authors].sign(m), m) for i, m in enumerate(messages)
    ]
    publics, signed = [item[0] for item in items], [item[1] + item[2] for item in items]
    calls = SINGLES if n == 1 else 1

    def repeated(verify: Callable[[], object]) -> clock.Work:
        return lambda: [verify() for _ in range(calls)]

    _agree(
        "signatures",
        [True] * n,
        _ed25519_pure.verify_many(items),
        [True] * _libsodium.verify_all(publics, signed),
        *(_ed25519.verify_many(items, backend, is_cached) for backend in _ed25519.BACKENDS),
    )
    subjects: dict[str, clock.Work] = {
        backend: repeated(lambda name=backend: _ed25519.verify_many(items, name, is_cached))
        for backend in _ed25519.BACKENDS
    }
    subjects["pure"] = repeated(lambda: _ed25519_pure.verify_many(items))
    subjects["libsodium"] = repeated(lambda: _libsodium.verify_all(publics, signed))
    return subjects, n * calls


def _ciphers(path: str, plan: Plan) -> Iterator[Row]:
    make = _open_subjects if path == "aead-open" else _seal_subjects
    for algorithm in CIPHERS:
        for size in plan.sizes:
            us = clock.medians_us(make(algorithm, size, plan.envelopes), plan.envelopes, plan.runs)
            yield _row(path, algorithm, "libsodium-arena", plan.envelopes, size, us)


def _seal_subjects(algorithm: str, size: int, n: int) -> dict[str, clock.Work]:
    from ccp2p.crypto import _aead, _aead_pure, _libsodium

    random, (nonce_bytes, name) = Random(size), CIPHERS[algorithm]
    key, nonce, extra = random.randbytes(32), random.randbytes(nonce_bytes), random.randbytes(48)
    texts = [random.randbytes(size) for _ in range(n)]
    whole = (algorithm, [key] * n, nonce * n, [extra] * n, texts)
    _agree("sealing", _aead.seal_many(*whole), _aead_pure.seal_many(*whole))
    return {
        "libsodium-arena": lambda: _aead.seal_many(*whole),
        "pure": lambda: _aead_pure.seal_many(*whole),
        "libsodium": lambda: _libsodium.seal_all(name, key, nonce, extra, texts),
    }


def _open_subjects(algorithm: str, size: int, n: int) -> dict[str, clock.Work]:
    from ccp2p.crypto import _aead, _aead_pure, _libsodium

    random, (nonce_bytes, name) = Random(size), CIPHERS[algorithm]
    key, nonce, extra = random.randbytes(32), random.randbytes(nonce_bytes), random.randbytes(48)
    texts = [random.randbytes(size) for _ in range(n)]
    keys, extras = [key] * n, [extra] * n
    sealed = list(_aead.seal_many(algorithm, keys, nonce * n, extras, texts))
    bare = [item[nonce_bytes:] for item in sealed]
    whole = (algorithm, keys, extras, sealed)
    _agree("opening", texts, list(_aead.open_many(*whole)), list(_aead_pure.open_many(*whole)))
    _agree("opening", n, _libsodium.open_all(name, key, nonce, extra, bare))
    return {
        "libsodium-arena": lambda: _aead.open_many(*whole),
        "pure": lambda: _aead_pure.open_many(*whole),
        "libsodium": lambda: _libsodium.open_all(name, key, nonce, extra, bare),
    }


@dataclass(frozen=True, slots=True)
class _Dag:
    """The arguments of one append of `n` blocks, and the same digests shuffled."""

    n: int
    blocks: tuple[bytes, "array[int]", "array[int]", "array[int]", bytes]
    shuffled: bytes
    seed: bytes

    @classmethod
    def of(cls, n: int) -> "_Dag":
        random = Random(n)
        digests = [random.randbytes(32) for _ in range(n)]
        rounds = [i // INDEX_AUTHORS for i in range(n)]
        parents = [
            digests[(round_ - 1) * INDEX_AUTHORS + author]
            for round_ in rounds
            if round_
            for author in range(INDEX_AUTHORS)
        ]
        blocks = (
            b"".join(digests),
            array("q", [round_ + 1 for round_ in rounds]),
            array("q", [i % INDEX_AUTHORS for i in range(n)]),
            array("q", [INDEX_AUTHORS if round_ else 0 for round_ in rounds]),
            b"".join(parents),
        )
        random.shuffle(digests)
        return cls(n, blocks, b"".join(digests), random.randbytes(32))


def _index(path: str, plan: Plan) -> Iterator[Row]:
    from ccp2p.crypto import _log_index, _log_index_pure

    dag, coin = _Dag.of(plan.blocks), bytes(32)
    cores = {"native": _log_index, "pure": _log_index_pure}
    indexes = {name: core.BlockIndex(dag.seed, dag.n) for name, core in cores.items()}
    _agree("ids", *(index.append(*dag.blocks) for index in indexes.values()))
    questions: dict[str, Callable[[str], object]] = {
        "index-append": lambda name: cores[name].BlockIndex(dag.seed, dag.n).append(*dag.blocks),
        "index-lookup": lambda name: indexes[name].find(dag.shuffled),
        "index-ancestors": lambda name: indexes[name].ancestors(dag.n - 1, 0, coin),
    }
    ask = questions[path]
    _agree(path, *(ask(name) for name in cores))
    subjects = {name: (lambda name=name: ask(name)) for name in cores}
    us = clock.medians_us(subjects, dag.n, plan.runs)
    yield _row(path, "blocks", "native", dag.n, 32, us)


_MEASURES: dict[str, Callable[[str, Plan], Iterator[Row]]] = {
    path: {"ed25519": _signatures, "aead": _ciphers, "index": _index}[path.split("-")[0]]
    for path in PATHS
}
