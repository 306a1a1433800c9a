"""The replicated state: keys and values in 65,536 buckets under one root.

Writes collect in memory until `flush`, once a commit. Buckets come from disk when needed and are
checked against the tree, so a disk cannot change or replay one unseen. A key's bucket follows from
a secret that the first epoch's salt key fixes for good: a member who could compute it would grind
keys into one bucket and slow everyone down.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Final

from ccp2p.execution.bucket import SALT_BYTES, Bucket
from ccp2p.execution.state_tree import StateTree
from ccp2p.model import hashing, limits
from ccp2p.model.errors import Fault, LocalFault

SYSTEM: Final = b"\0"  # first byte of the host's own keys
APP: Final = b"\1"  # first byte of the app's keys

_PLACEMENT_KEY: Final = SYSTEM + b"placement"
_PLACEMENT_BUCKET: Final = 0
_MAX_PLACES: Final = 16_384  # keys whose bucket is remembered until the next commit

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
        self._cache: OrderedDict[int, Bucket] = OrderedDict()
        self._cached_bytes = 0
        self._tree = StateTree()
        self._written: dict[bytes, bytes | None] = {}
        self._unstored: dict[int, tuple[tuple[int, int], bytes]] = {}
        self.set_salt_key(salt_key)
        placement = hashing.keyed(hashing.BUCKET, salt_key, network)
        self._place_by(placement)
        self._written[_PLACEMENT_KEY] = placement

    @property
    def root(self) -> bytes:
        """The root as of the last flush."""
        return self._tree.root

    def set_salt_key(self, salt_key: bytes) -> None:
        """Salt later writes with another epoch's key; what is written keeps its salts."""
        self._salter = blake2b(digest_size=SALT_BYTES, person=hashing.SALT, key=salt_key)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        if key in self._written:
            return self._written[key]
        return self._bucket(self._place(key)).get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key, as of the next flush; reads see it at once."""
        self._written[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key, as of the next flush; reads see it at once."""
        self._written[key] = None

    def flush(self, epoch: int, commit: int) -> dict[int, bytes]:
        """Fold the writes of one commit into buckets and root; the changed buckets, encoded.

        An emptied bucket is empty bytes. They stay in memory until `stored` is told of them.
        """
        position = epoch.to_bytes(8, "big") + commit.to_bytes(8, "big")
        changed: dict[int, Bucket] = {}
        for key, value in self._written.items():
            index = self._place(key)
            bucket = changed.get(index)
            if bucket is None:
                bucket = changed[index] = self._borrow(index)
            if value is None:
                bucket.remove(key)
            else:
                bucket.put(key, value, self._salt(position, key))
        self._written.clear()
        self._places = {_PLACEMENT_KEY: _PLACEMENT_BUCKET}
        self._tree.update({index: bucket.digest() for index, bucket in changed.items()})
        encoded = {index: bucket.encode() for index, bucket in changed.items()}
        for index, data in encoded.items():
            self._unstored[index] = ((epoch, commit), data)
            self._keep(index, changed[index])
        return encoded

    def stored(self, epoch: int, commit: int) -> None:
        """The buckets of this commit and of those before it are on disk."""
        through = (epoch, commit)
        durable = [index for index, (when, _) in self._unstored.items() if when <= through]
        for index in durable:
            del self._unstored[index]

    def restore(
        self,
        buckets: Iterable[tuple[int, bytes]],
        root: bytes,
        prefixes: tuple[bytes, ...],
        fault: type[Fault],
    ) -> dict[bytes, bytes]:
        """Rebuild the tree from all buckets of an empty object's store, and compare the root.

        Returns the entries whose key starts with one of `prefixes`. Raises `fault` with code
        `malformed` or `state-mismatch`.
        """
        digests: dict[int, bytes] = {}
        found: dict[bytes, bytes] = {}
        placement = None
        for index, data in buckets:
            if not 0 <= index < limits.STATE_BUCKETS or index in digests:
                raise fault("malformed", "a bucket's number is impossible or comes twice")
            bucket = Bucket.decode(data, fault)
            digests[index] = bucket.digest()
            found.update(bucket.matching(prefixes))
            if index == _PLACEMENT_BUCKET:
                placement = bucket.get(_PLACEMENT_KEY)
        self._tree.update(digests)
        if self._tree.root != root:
            raise fault("state-mismatch", "the stored state does not match its root: refetch it")
        if placement is not None:
            self._place_by(placement)
            self._written.clear()
        return found

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every key with a prefix and its value, unordered. Reads the whole state."""
        for index in self._tree.occupied():
            bucket = self._cache.get(index)
            yield from (self._read(index) if bucket is None else bucket).matching(prefix)

    def proof(self, key: bytes) -> tuple[int, tuple[bytes, ...]]:
        """The bucket of a key and its path to the root."""
        index = self._place(key)
        return index, self._tree.proof(index)

    def part_digests(self) -> tuple[bytes, ...]:
        """The 256 nodes of the tree's third level; see `snapshot`."""
        return self._tree.part_digests()

    def _place_by(self, placement: bytes) -> None:
        self._placer = blake2b(digest_size=2, person=hashing.BUCKET, key=placement)
        self._places = {_PLACEMENT_KEY: _PLACEMENT_BUCKET}

    def _place(self, key: bytes) -> int:
        """The bucket of a key; remembered within a commit, where the same keys come up again."""
        place = self._places.get(key)
        if place is None:
            state = self._placer.copy()
            state.update(key)
            place = int.from_bytes(state.digest(), "big")
            if len(self._places) < _MAX_PLACES:
                self._places[key] = place
        return place

    def _salt(self, position: bytes, key: bytes) -> bytes:
        state = self._salter.copy()
        state.update(position + key)
        return state.digest()

    def _bucket(self, index: int) -> Bucket:
        bucket = self._cache.get(index)
        if bucket is not None:
            self._cache.move_to_end(index)
            return bucket
        bucket = self._read(index)
        self._keep(index, bucket)
        return bucket

    def _borrow(self, index: int) -> Bucket:
        """A bucket taken out of the cache to be changed; `_keep` puts it back at its new size."""
        bucket = self._cache.pop(index, None)
        if bucket is None:
            return self._read(index)
        self._cached_bytes -= bucket.size_bytes
        return bucket

    def _keep(self, index: int, bucket: Bucket) -> None:
        self._cache[index] = bucket
        self._cached_bytes += bucket.size_bytes
        while self._cached_bytes > self._cache_bytes:
            _, evicted = self._cache.popitem(last=False)
            self._cached_bytes -= evicted.size_bytes

    def _read(self, index: int) -> Bucket:
        expected = self._tree.leaf(index)
        if expected == hashing.ZERO_DIGEST:
            return Bucket()
        unstored = self._unstored.get(index)
        data = unstored[1] if unstored is not None else self._load_bucket(index)
        bucket = Bucket.decode(data, LocalFault) if data else Bucket()
        if bucket.digest() != expected:
            raise LocalFault("state-mismatch", "the disk returned another state than was written")
        return bucket
