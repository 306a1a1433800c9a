"""The replicated state: keys and values in 65,536 buckets under one root.

Writes collect in memory until `flush`, once a commit, which folds them into encoded buckets and
hashes all that changed in one native call (`crypto/buckets.py`). Buckets come from disk when needed
and are checked against the tree, so a disk cannot change or replay one unseen. A key's bucket
follows from a secret that the first epoch's salt key fixes for good: a member who could compute it
would grind keys into one bucket and slow everyone down.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from ccp2p.crypto import buckets
from ccp2p.execution.state_tree import StateTree
from ccp2p.model import hashing, limits
from ccp2p.model.errors import Fault, LocalFault

SYSTEM: Final = b"\0"  # first byte of the host's own keys
APP: Final = b"\1"  # first byte of the app's keys

_PLACEMENT_KEY: Final = SYSTEM + b"placement"
_CACHED_BYTES: Final = 150  # what Python needs for a cached bucket besides its bytes

LoadBucket = Callable[[int], bytes | None]


class State:
    """`load_bucket(index)` reads a stored bucket; `salt_key` is this epoch's secret, 32 bytes.

    After a LocalFault the object is of no use: the node stops.
    """

    def __init__(
        self,
        *,
        network: bytes,
        salt_key: bytes,
        load_bucket: LoadBucket,
        cache_bytes: int = limits.STATE_CACHE_BYTES,
    ) -> None:
        self._load_bucket = load_bucket
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._tree = StateTree()
        self._written: dict[bytes, bytes | None] = {}
        self._unstored: deque[tuple[tuple[int, int], dict[int, bytes]]] = deque()
        self._salt_key = salt_key
        placement = hashing.keyed(hashing.BUCKET, salt_key, network)
        self._place_by(placement)
        self._written[_PLACEMENT_KEY] = placement

    @property
    def root(self) -> bytes:
        """The root as of the last flush."""
        return self._tree.root

    @property
    def is_stored(self) -> bool:
        """Whether `stored` was told of all that was flushed."""
        return not self._unstored

    def set_salt_key(self, salt_key: bytes) -> None:
        """Salt later writes with another epoch's key; what is written keeps its salts."""
        self._salt_key = salt_key

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        if key in self._written:
            return self._written[key]
        found: bytes | None = buckets.find(self._bucket(self._place(key)), key)
        return found

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key, as of the next flush; reads see it at once."""
        self._written[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key, as of the next flush; reads see it at once."""
        self._written[key] = None

    def write(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Several of both at once: None removes a key."""
        self._written.update(writes)

    def flush(self, epoch: int, commit: int) -> dict[int, bytes]:
        """Fold the writes of one commit into buckets and root; the changed buckets, encoded.

        An emptied bucket is empty bytes. They stay in memory until `stored` is told of them.
        """
        if not self._written:
            return {}
        places, encoded, digests = buckets.fold(
            self._written, self._borrow_all, self._placement, self._salt_key, epoch, commit
        )
        self._written.clear()
        self._tree.update(places, digests)
        changed = dict(zip(places, encoded, strict=True))
        if changed:
            self._unstored.append(((epoch, commit), changed))
        self._cache.update(changed)
        self._cached_bytes += sum(map(len, encoded)) + _CACHED_BYTES * len(encoded)
        self._evict()
        return changed

    def stored(self, epoch: int, commit: int) -> None:
        """The buckets of this commit and of those before it are on disk."""
        while self._unstored and self._unstored[0][0] <= (epoch, commit):
            self._unstored.popleft()

    def restore(
        self,
        stored: Iterable[tuple[int, bytes]],
        root: bytes,
        prefixes: tuple[bytes, ...],
        fault: type[Fault],
    ) -> dict[bytes, bytes]:
        """Rebuild the tree from all buckets of an empty object's store, and compare the root.

        Returns the entries whose key starts with one of `prefixes`. Raises `fault` with code
        `malformed` or `state-mismatch`.
        """
        held: dict[int, bytes] = {}
        found: dict[bytes, bytes] = {}
        wanted = (_PLACEMENT_KEY, *prefixes)
        for index, data in stored:
            if not 0 <= index < limits.STATE_BUCKETS or index in held:
                raise fault("malformed", "a bucket's number is impossible or comes twice")
            held[index] = b""
            entries, held[index] = _check(data, fault)
            found.update(entry for entry in entries if entry[0].startswith(wanted))
        places = sorted(held)
        self._tree.update(places, b"".join(held[index] for index in places))
        if self._tree.root != root:
            raise fault("state-mismatch", "the stored state does not match its root: refetch it")
        placement = found.pop(_PLACEMENT_KEY, None)
        if placement is not None:
            self._place_by(placement)
            self._written.clear()
        return found

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every key with a prefix and its value, unordered. Reads the whole state."""
        for index in self._tree.occupied():
            data = self._cache.get(index)
            entries = buckets.entries(self._read(index) if data is None else data)
            yield from (entry for entry in entries if entry[0].startswith(prefix))

    def proof(self, key: bytes) -> tuple[int, tuple[bytes, ...]]:
        """The bucket of a key and its path to the root."""
        index = self._place(key)
        return index, self._tree.proof(index)

    def part_digests(self) -> tuple[bytes, ...]:
        """The 256 nodes of the tree's third level; see `snapshot`."""
        return self._tree.part_digests()

    def _place_by(self, placement: bytes) -> None:
        self._placement = placement
        self._placer = blake2b(
            digest_size=hashing.DIGEST_BYTES, person=hashing.BUCKET, key=placement
        )

    def _place(self, key: bytes) -> int:
        state = self._placer.copy()
        state.update(key)
        return int.from_bytes(state.digest()[:2], "big")

    def _bucket(self, index: int) -> bytes:
        data = self._cache.get(index)
        if data is not None:
            self._cache.move_to_end(index)
            return data
        data = self._read(index)
        self._keep(index, data)
        return data

    def _borrow_all(self, indices: Sequence[int]) -> list[bytes]:
        """Buckets taken out of the cache to be changed; `flush` puts the new ones in."""
        pop, is_empty = self._cache.pop, self._tree.is_empty
        cached = [pop(index, None) for index in indices]
        taken = [data for data in cached if data is not None]
        self._cached_bytes -= sum(map(len, taken)) + _CACHED_BYTES * len(taken)
        if len(taken) == len(cached):
            return taken
        return [
            data if data is not None else b"" if is_empty(index) else self._read(index)
            for index, data in zip(indices, cached, strict=True)
        ]

    def _keep(self, index: int, data: bytes) -> None:
        self._cache[index] = data
        self._cached_bytes += len(data) + _CACHED_BYTES
        self._evict()

    def _evict(self) -> None:
        while self._cached_bytes > self._cache_bytes:
            _, evicted = self._cache.popitem(last=False)
            self._cached_bytes -= len(evicted) + _CACHED_BYTES

    def _read(self, index: int) -> bytes:
        if self._tree.is_empty(index):
            return b""
        data = self._not_stored(index)
        if data is None:
            data = self._load_bucket(index) or b""
        if _digest(data, LocalFault) != self._tree.leaf(index):
            raise LocalFault("state-mismatch", "the disk returned another state than was written")
        return data

    def _not_stored(self, index: int) -> bytes | None:
        """The newest of a bucket's changes that the disk does not hold yet."""
        changes = (changed for _, changed in reversed(self._unstored) if index in changed)
        return next((changed[index] for changed in changes), None)


def _digest(data: bytes, fault: type[Fault]) -> bytes:
    """The hash of an encoded bucket; `fault` when it is malformed."""
    try:
        digest: bytes = buckets.digests([data])
        return digest
    except ValueError:
        raise fault("malformed", "a bucket of the state is malformed") from None


def _check(data: bytes, fault: type[Fault]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The entries and the hash of a bucket that somebody else kept."""
    if len(data) > limits.MAX_BUCKET_BYTES:
        raise fault("oversized", f"a bucket of {len(data)} bytes")
    digest = _digest(data, fault)
    return buckets.entries(data), digest
