"""Fuzz targets, one for each entry point of the extension: any bytes, both twins, one answer.

    python -m tests.crypto.fuzz index --seconds 60

runs one on random input; each `fuzz_*` is also what a coverage-guided fuzzer calls. Under the
sanitizer build they find what an answer does not show. `ext/checks/fuzz_ed25519.c` is the target of
the signatures' C code alone.
"""

import argparse
import time
from array import array
from collections.abc import Callable
from random import Random

from ccp2p.crypto import (
    _aead,
    _aead_pure,
    _ed25519,
    _ed25519_pure,
    _hashchain,
    _hashchain_pure,
    _log_index,
    _log_index_pure,
)
from ccp2p.crypto.signatures import SigningKey

KEY = SigningKey(bytes(32))
LONGEST = 4096


class Input:
    """Values cut off the front of the bytes; zero and empty once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def bytes(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "little")

    def text(self) -> bytes:
        return self.bytes(self.number(1))


def same(native: Callable[[], object], pure: Callable[[], object]) -> None:
    """Both give one value, or raise one kind of error."""
    assert _outcome(native) == _outcome(pure)


def _outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except (ValueError, TypeError, IndexError) as error:
        return type(error)


def fuzz_aead(data: bytes) -> None:
    source = Input(data)
    algorithm = ("aegis256", "xchacha20")[source.number(1) % 2]
    key_bytes = 31 if source.number(1) == 0 else 32
    nonce_bytes = 32 if algorithm == "aegis256" else 24
    keys, extras, texts = [], [], []
    while source:
        keys.append(source.bytes(2).ljust(key_bytes, b"k"))
        extras.append(source.text())
        texts.append(source.text())
    nonces = (data * 32)[: nonce_bytes * len(keys) - (data[-1:] == b"n")]
    sealing = (algorithm, keys, nonces, extras, texts)
    same(lambda: _aead.seal_many(*sealing), lambda: _aead_pure.seal_many(*sealing))
    if key_bytes == 32 and len(nonces) == nonce_bytes * len(keys):
        sealed = _aead.seal_many(*sealing)
        texts = [_spoiled(item, data[index]) for index, item in enumerate(sealed)]
    whole = (algorithm, keys, extras, texts)
    same(lambda: list(_aead.open_many(*whole)), lambda: list(_aead_pure.open_many(*whole)))


def _spoiled(sealed: bytes, how: int) -> bytes:
    """Mostly as it is; else shorter, or with a bit turned."""
    if how < 32:
        return sealed[:how]
    return _altered(sealed, how * 7) if how < 96 else sealed


def fuzz_hashchain(data: bytes) -> None:
    source = Input(data)
    steps, domain = source.number(1) - 8, source.bytes(source.number(1) % 17)
    start = source.bytes(32)
    same(
        lambda: _hashchain.walk(domain, start, steps),
        lambda: _hashchain_pure.walk(domain, start, steps),
    )


def fuzz_signatures(data: bytes) -> None:
    source, items = Input(data), []
    while source and len(items) < 32:
        kind, message = source.number(1), source.text()
        public, signature = KEY.public, KEY.sign(message)
        if kind & 1:
            signature = _altered(signature, source.number(2))
        if kind & 2:
            public = _altered(public, source.number(2))
        if kind & 4:
            public, signature = source.bytes(32), source.bytes(64)
        items.append((public, signature, message))
    for backend in _ed25519.BACKENDS:
        same(
            lambda name=backend: _ed25519.verify_many(items, name),
            lambda: _ed25519_pure.verify_many(items),
        )
    lengths = array("q", [len(item[2]) for item in items])
    offsets = array("q", [sum(lengths[:index]) for index in range(len(items))])
    for numbers in (offsets, lengths):
        if items and source.number(1) < 16:
            numbers[source.number(1) % len(items)] += source.number(1) - 128
    publics, signatures, messages = (b"".join(item[part] for item in items) for part in range(3))
    arena = (publics, signatures, messages, offsets, lengths)
    same(lambda: _ed25519.verify_arena(*arena), lambda: _ed25519_pure.verify_arena(*arena))


def _altered(data: bytes, bit: int) -> bytes:
    number = int.from_bytes(data, "little") ^ (1 << bit % (8 * len(data)))
    return number.to_bytes(len(data), "little")


def fuzz_index(data: bytes) -> None:
    source = Input(data)
    seed, capacity = source.bytes(1) * 32, source.number(1)
    if len(seed) != 32:
        return
    native = _log_index.BlockIndex(seed, capacity)
    pure = _log_index_pure.BlockIndex(seed, capacity)
    while source:
        count, cut = source.number(1) % 8, source.number(1)
        digests = b"".join(_digest(source) for _ in range(count))
        counts = array("q", [source.number(1) % 4 for _ in range(count)])
        parents = b"".join(_digest(source) for _ in range(sum(counts)))
        rounds = array("q", [source.number(1) for _ in range(count)])
        authors = array("q", [source.number(1) - (cut == 1) for _ in range(count)])
        batch = (digests, rounds, authors, counts, parents[: -cut if cut < 3 else None])
        same(lambda it=batch: native.append(*it), lambda it=batch: pure.append(*it))
        asked = digests + parents + source.bytes(1)
        same(lambda it=asked: native.find(it), lambda it=asked: pure.find(it))
        question = (source.number(1) % (len(pure) + 1), source.number(1), source.bytes(cut % 67))
        same(lambda it=question: native.ancestors(*it), lambda it=question: pure.ancestors(*it))
        ids = array("q", [question[0], source.number(1) - 1])
        for name in ("rounds", "authors", "digests"):
            same(
                lambda it=(name, ids): getattr(native, it[0])(it[1]),
                lambda it=(name, ids): getattr(pure, it[0])(it[1]),
            )
    events = [core.EventIndex(seed, capacity) for core in (_log_index, _log_index_pure)]
    for commit in data:
        ids = data[commit : commit + 33 * (commit % 8)]
        same(*(lambda it=(each, commit, ids): it[0].append(*it[1:]) for each in events))
        same(*(lambda it=(each, ids): it[0].find(it[1]) for each in events))
    assert events[0].head == events[1].head


def _digest(source: Input) -> bytes:
    """One of 64, so that digests meet again."""
    return bytes([source.number(1) % 64]) * 32


TARGETS = {
    "aead": fuzz_aead,
    "hashchain": fuzz_hashchain,
    "signatures": fuzz_signatures,
    "index": fuzz_index,
}


def run(name: str, seed: int, times: int) -> None:
    """`times` random inputs of one target; a failure shows the input."""
    random = Random(seed)
    for _ in range(times):
        data = random.randbytes(int(LONGEST ** random.random()))
        try:
            TARGETS[name](data)
        except AssertionError as error:
            raise AssertionError(f"{name} differs on {data.hex()}") from error


def main() -> None:
    """Run one target for a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed, end = options.seed, time.monotonic() + options.seconds
    while time.monotonic() < end:
        run(options.target, seed, 50)
        seed += 1
    print(f"{options.target}: nothing found; the next seed is {seed}")


if __name__ == "__main__":
    main()
