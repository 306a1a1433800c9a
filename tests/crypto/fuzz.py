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
    _blake2b,
    _blake2b_pure,
    _buckets,
    _buckets_pure,
    _ed25519,
    _ed25519_pure,
    _envelopes,
    _envelopes_pure,
    _hashchain,
    _hashchain_pure,
    _log_index,
    _log_index_pure,
)
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, hashing
from ccp2p.model.envelope import Envelope

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
    for one in zip(keys, extras, texts, strict=True):
        same(*(lambda c=c, it=one: c.open_one(algorithm, *it) for c in (_aead, _aead_pure)))


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


def fuzz_blake2b(data: bytes) -> None:
    source = Input(data)
    domain, key = source.bytes(source.number(1) % 18), source.bytes(source.number(1) % 67)
    messages, keys = [], []
    while source:
        messages.append(source.text() * source.number(1))
        keys.append(source.bytes(2).ljust(32 - (len(messages) == 31), b"k"))
    rows = (domain, data, source.number(1) + data[-1] % 40 if data else 1)
    for name in _blake2b.BACKENDS:
        _blake2b.use(name)
        same(*(lambda c=c: c.digest_each(domain, messages, key) for c in _BLAKE2B))
        same(*(lambda c=c: c.keyed_each(domain, keys, messages) for c in _BLAKE2B))
        same(*(lambda c=c: c.digest_rows(*rows) for c in _BLAKE2B))
    _blake2b.use("")


_BLAKE2B = (_blake2b, _blake2b_pure)
_BUCKETS = (_buckets, _buckets_pure)
_ENVELOPES = (_envelopes, _envelopes_pure)


def fuzz_buckets(data: bytes) -> None:
    source = Input(data)
    held: dict[int, bytes] = {}
    levels = [[bytearray(65_536 // 16**level * 32) for level in range(4)] for _ in _BUCKETS]
    key = bytes(32 - (source.number(1) == 0))
    while source:
        writes = {}
        for _ in range(source.number(1) % 16):
            name, kept = bytes([source.number(1) % 8]) * 2, source.number(1)
            writes[name] = source.text() if kept > 64 else None
        broken = source.number(1)
        for place in held if broken < 4 else ():
            held[place] = _spoiled(held[place], source.number(1)) if held[place] else b"x"
        arguments = (writes, lambda all_: [held.get(place, b"") for place in all_], key, key, 0, 1)
        same(*(lambda c=c, it=arguments: c.fold(*it) for c in _BUCKETS))
        for each in held.values():
            same(*(lambda c=c, it=each: c.entries(it) for c in _BUCKETS))
            same(*(lambda c=c, it=each: c.find(it, b"\1\1") for c in _BUCKETS))
        try:
            places, encoded, digests = _buckets_pure.fold(*arguments)
        except ValueError:
            return
        held.update(zip(places, encoded, strict=True))
        places = [place + (broken == 5) * 65_000 for place in places]
        leaves = (places, digests)
        calls = zip(_BUCKETS, levels, strict=True)
        same(*(lambda c=c, it=(it, *leaves): c.update_tree(*it) for c, it in calls))
        assert levels[0] == levels[1]
    chunk = data[: source.number(1)]
    same(*(lambda c=c: c.digests([chunk, data]) for c in _BUCKETS))


def fuzz_envelopes(data: bytes) -> None:
    source, network = Input(data), bytes(32)
    algorithm, epoch = ("aegis256", "xchacha20")[source.number(1) % 2], source.number(1)
    key, found = bytes(32 - (source.number(1) == 0)), []
    while source:
        kind, number = source.number(1), source.number(_number_bytes(source))
        tag = hashing.keyed(hashing.ENVELOPE, bytes(32), number.to_bytes(8, "big"))[:16]
        member = bytes(32) if kind & 1 else source.text()
        event = codec.encode((member, number, source.text(), bytes(64 - (kind & 2) // 2)))
        event = source.text() if kind & 12 == 12 else event
        padded = (len(event).to_bytes(4, "big") + event).ljust(256 << (kind & 48 == 48) * 2, b"\0")
        associated = b"event" + network + epoch.to_bytes(8, "big") + tag
        nonce = bytes(32 if algorithm == "aegis256" else 24)
        sealed = _aead_pure.seal_many(algorithm, [bytes(32)], nonce, [associated], [padded]).buffer
        whole = codec.encode(Envelope(epoch + (kind == 7), tag, b"o" * (kind == 9), sealed))
        found.append(_altered(whole, source.number(2)) if kind > 200 else whole)
    found.append(data)
    same(*(lambda c=c: c.tags_of(found, epoch) for c in _ENVELOPES))
    tags = _envelopes.tags_of(found, epoch)
    plain = [each for each, tag in zip(found, tags, strict=True) if tag is not None]
    for each in (plain, found):
        keys = ([bytes(32)] * len(each), [key] * len(each), [bytes(32)] * len(each))
        whole = (algorithm, network, epoch, each, *keys)
        same(*(lambda c=c, it=whole: c.open_events(*it) for c in _ENVELOPES))


def _number_bytes(source: Input) -> int:
    """Mostly small numbers, up to what eight bytes hold."""
    return (1, 1, 2, 4, 8)[source.number(1) % 5]


TARGETS = {
    "blake2b": fuzz_blake2b,
    "buckets": fuzz_buckets,
    "envelopes": fuzz_envelopes,
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
