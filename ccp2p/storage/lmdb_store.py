"""A store in one LMDB environment: sealed, one process at a time, every write one fsynced commit.

Databases: `log` and `references` (key: sequence number), `commits` (key: epoch and index),
`buckets` (key: the bucket's number, itself a PRF of what it holds) with a `journal` before it (see
`bucket_journal`), `meta` (blinded keys), and `header`, whose fixed keys hold the format version in
clear, the sealed network id, and what `vault` keeps. A host sees how many records there are and how
long they are.

LocalFault codes: `missing`, `in-use`, `wrong-key`, `wrong-network`, `newer-version`, `corrupt`,
`disk-full` (nothing of the failed batch is stored, all before it is), `disk-failed` (open again),
`locked` (see `vault`) and `closed`.
"""

import struct
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import lmdb

from ccp2p.model import codec, limits
from ccp2p.model.block import BlockReference
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault
from ccp2p.storage import bucket_journal
from ccp2p.storage.bucket_journal import BucketJournal
from ccp2p.storage.environment import Environment
from ccp2p.storage.log_index import Entry, LogIndex
from ccp2p.storage.sealer import Sealer
from ccp2p.storage.store import Batch
from ccp2p.storage.vault import CONTENT, SEALED, Also, Vault

FORMAT_VERSION = 1

_DATABASES = ("header", *SEALED)
_MAX_REFERENCE_BYTES = 128
_sequence_key = struct.Struct(">Q")
_commit_key = struct.Struct(">QQ")
_bucket_key = struct.Struct(">I")
_place = struct.Struct(">QQ")


class _LoggedReference(Wire, frozen=True):
    epoch: int
    reference: BlockReference


# A row to write: database, key on disk, associated data, value.
_Row = tuple[str, bytes, bytes, bytes]


class LmdbStore:
    """Opens the store in the folder `path`, or makes it when `create`.

    `key` has 32 bytes, `network` is the network id, `algorithm` one of `crypto.aead`, `map_bytes`
    the most that the file may grow to. `kept` are names of metadata that are under `key` also where
    a group shares another one for all else, which then waits for `unlock` or `begin`.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes,
        network: bytes,
        algorithm: str,
        map_bytes: int,
        create: bool,
        kept: Collection[str] = (),
    ) -> None:
        self._path = path
        self._network = network
        self._all_blocks = LogIndex()
        self._waiting_buckets = BucketJournal()
        self._writing = threading.Lock()
        self._environment = Environment(path, _DATABASES, map_bytes=map_bytes, create=create)
        self._vault = Vault(self._environment, key, network, algorithm, kept)
        self._own = self._vault.own
        try:
            self._check_header(create)
            if not self.is_locked:
                self._load()
        except BaseException:
            self.close()
            raise

    @property
    def is_locked(self) -> bool:
        """Whether all but `kept` metadata is out of reach, for want of a key."""
        return self._vault.is_locked

    def unlock(self, key: bytes) -> bool:
        """Open what is under a group's key; False when it is under another one, or none yet."""
        if not self._vault.unlock(key):
            return False
        self._load()
        return True

    def begin(self, key: bytes) -> None:
        """Drop all but `kept` metadata, be it locked or not, and go on under `key`."""
        with self._writing:
            self._vault.begin(key)
            self._all_blocks, self._waiting_buckets = LogIndex(), BucketJournal()

    def turn(self, key: bytes, batch: Batch) -> None:
        """Store `batch`, without blocks, and seal everything anew under `key`, or do nothing."""
        with self._writing:
            self._vault.turn(key, self._bound_of, partial(self._write, batch))

    def write(self, batch: Batch) -> None:
        """See `Store.write`."""
        with self._writing:
            self._write(batch)
            self._vault.forget()

    def blocks(self, epoch: int) -> Iterator[tuple[int, bytes]]:
        """See `Store.blocks`."""
        return self._read_log(self._index.of_epoch(epoch))

    def block(self, reference: BlockReference) -> bytes | None:
        """See `Store.block`."""
        entry = self._index.find(reference)
        if entry is None:
            return None
        return next((block for _, block in self._read_log([entry])), None)

    def blocks_above(self, epoch: int, rounds: Sequence[int]) -> Iterator[bytes]:
        """See `Store.blocks_above`."""
        return (block for _, block in self._read_log(self._index.above(epoch, rounds)))

    def commit(self, epoch: int, index: int) -> bytes | None:
        """See `Store.commit`."""
        key = _commit_key.pack(epoch, index)
        return self._open_one("commits", key, self._environment.get("commits", key))

    def commits(self, epoch: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """See `Store.commits`."""
        self._vault.require()
        bounds = (_commit_key.pack(epoch, first), _commit_key.pack(epoch, last))
        for rows in self._environment.rows("commits", *bounds):
            for key, value in self._open_rows("commits", rows):
                yield _commit_key.unpack(key)[1], value

    def newest_commit(self, epoch: int) -> int:
        """See `Store.newest_commit`."""
        self._vault.require()
        with self._environment.transaction() as transaction:
            cursor = transaction.cursor(db=self._environment.databases["commits"])
            beyond = cursor.set_range(_commit_key.pack(epoch + 1, 0))
            if not (cursor.prev() if beyond else cursor.last()):
                return 0
            held, index = _commit_key.unpack(cursor.key())
        return int(index) if held == epoch else 0

    def bucket(self, index: int) -> bytes | None:
        """See `Store.bucket`."""
        waiting = self._journal.get(index)
        if waiting is not None:
            return waiting or None
        key = _bucket_key.pack(index)
        return self._open_one("buckets", key, self._environment.get("buckets", key))

    def buckets(self) -> Iterator[tuple[int, bytes]]:
        """See `Store.buckets`."""
        waiting = self._journal.waiting()
        yield from ((index, data) for index, data in waiting.items() if data)
        for rows in self._environment.rows("buckets"):
            for key, value in self._open_rows("buckets", rows):
                if len(key) != _bucket_key.size:
                    raise LocalFault("corrupt", "a bucket of the store has an impossible key")
                index = _bucket_key.unpack(key)[0]
                if index not in waiting:
                    yield index, value

    def snapshot(self) -> "LmdbSnapshot":
        """See `Store.snapshot`."""
        with self._writing:  # so that what waits and what is in its place are of one moment
            waiting = self._journal.waiting()
            read = partial(self._bucket_in, self._vault.sealer)
            return LmdbSnapshot(self._environment.hold(), waiting, read)

    def meta(self, name: str) -> bytes | None:
        """See `Store.meta`."""
        is_kept, key, bound = self._vault.bind_meta(name)
        sealer = self._own if is_kept else self._vault.sealer
        sealed = self._environment.get("meta", key)
        return None if sealed is None else next(sealer.open([bound], [sealed]))

    def prune(self, epoch: int, below_round: int, below_commit: int) -> int:
        """See `Store.prune`."""
        with self._writing:
            entries = self._index.below(epoch, below_round, limits.MAX_PRUNE_RECORDS)
            # Forgotten first, so that no reader looks for a record that is already gone.
            self._index.remove(entries)
            try:
                return len(entries) + self._delete(
                    entries, _commit_key.pack(epoch, max(0, below_commit))
                )
            except LocalFault:
                self._index.add(entries)
                raise

    def close(self) -> None:
        """See `Store.close`."""
        self._environment.close()

    @property
    def _index(self) -> LogIndex:
        self._vault.require()
        return self._all_blocks

    @property
    def _journal(self) -> BucketJournal:
        self._vault.require()
        return self._waiting_buckets

    def _write(self, batch: Batch, sealer: Sealer | None = None, also: Also | None = None) -> None:
        blocks, journal = self._all_blocks, self._waiting_buckets
        if batch.replaces:
            blocks, journal = LogIndex(blocks.next_sequence), BucketJournal()
        entries = blocks.number((at for at, _ in batch.blocks), batch.epoch)
        # Buckets take their turns with execution's transactions, also with those that change none.
        takes_turn = bool(batch.commits or batch.buckets) and not batch.replaces
        due = self._journal.due(batch.buckets) if takes_turn else batch.buckets
        rows = [
            *self._log_rows(entries, dict(batch.blocks)),
            *self._commit_rows(batch),
            *(self._journal_rows(batch) if takes_turn else ()),
            *self._bucket_rows(due),
            *self._meta_rows(batch, are_kept=False),
        ]
        kept = list(self._meta_rows(batch, are_kept=True))
        sealed = [
            *(_seal(sealer or self._vault.sealer, rows) if rows else ()),
            *_seal(self._own, kept),
        ]
        by_database: dict[str, list[tuple[bytes, memoryview]]] = {}
        for (database, key, _, _), value in zip((*rows, *kept), sealed, strict=True):
            by_database.setdefault(database, []).append((key, value))
        databases = self._environment.databases
        with self._environment.transaction(write=True) as transaction:
            for database in CONTENT if batch.replaces else ():
                transaction.drop(databases[database], delete=False)
            for database, items in by_database.items():
                transaction.cursor(db=databases[database]).putmulti(items)
            for index, data in due.items():
                if not data:
                    transaction.delete(_bucket_key.pack(index), db=databases["buckets"])
            if takes_turn:
                self._forget_journal(transaction)
            if also is not None:
                also(transaction)
        blocks.add(entries)
        self._all_blocks, self._waiting_buckets = blocks, journal
        if takes_turn:
            journal.written(batch.buckets)

    def _forget_journal(self, transaction: lmdb.Transaction) -> None:
        """Delete the records whose buckets are all in their places after this transaction."""
        cursor = transaction.cursor(db=self._environment.databases["journal"])
        more = cursor.first()
        while more and _sequence_key.unpack(cursor.key())[0] < self._journal.oldest_needed:
            more = cursor.delete() and bool(cursor.key())

    def _delete(self, entries: Iterable[Entry], below_commit: bytes) -> int:
        """Delete blocks and a bounded number of commits below a key; how many commits."""
        databases = self._environment.databases
        commits = 0
        with self._environment.transaction(write=True) as transaction:
            for _, _, sequence in entries:
                key = _sequence_key.pack(sequence)
                transaction.delete(key, db=databases["log"])
                transaction.delete(key, db=databases["references"])
            cursor = transaction.cursor(db=databases["commits"])
            more = cursor.first()
            while (
                more and commits < limits.MAX_PRUNE_RECORDS and bytes(cursor.key()) < below_commit
            ):
                more = cursor.delete() and bool(cursor.key())
                commits += 1
        return commits

    def _check_header(self, create: bool) -> None:
        version = self._environment.get("header", b"format")
        identity = self._environment.get("header", b"identity")
        if version is None and identity is None and self._environment.is_empty():
            if not create:
                raise LocalFault("missing", f"the store in {self._path} was never finished")
            self._write_header()
            return
        found = int.from_bytes(version or b"", "big")
        if found > FORMAT_VERSION:
            raise LocalFault(
                "newer-version",
                f"{self._path} has format {found}, this program knows {FORMAT_VERSION}: upgrade it",
            )
        if found < FORMAT_VERSION or identity is None:
            raise LocalFault("corrupt", f"the header of the store in {self._path} is damaged")
        network = self._own.try_open([b"identity"], [identity])[0]
        if network is None:
            raise LocalFault("wrong-key", f"this key does not open the store in {self._path}")
        if network != self._network:
            raise LocalFault("wrong-network", f"the store in {self._path} is another network's")

    def _write_header(self) -> None:
        (identity,) = self._own.seal([b"identity"], [self._network])
        with self._environment.transaction(write=True) as transaction:
            header = self._environment.databases["header"]
            transaction.put(b"format", FORMAT_VERSION.to_bytes(4, "big"), db=header)
            transaction.put(b"identity", identity, db=header)

    def _load(self) -> None:
        self._load_index()
        self._load_journal()

    def _load_index(self) -> None:
        for rows in self._environment.rows("references"):
            opened = self._open_rows("references", rows)
            self._index.add(_entry(key, value) for key, value in opened)

    def _load_journal(self) -> None:
        for rows in self._environment.rows("journal"):
            for key, record in self._open_rows("journal", rows):
                self._journal.recover(_sequence_key.unpack(key)[0], record)

    def _log_rows(
        self, entries: Sequence[Entry], blocks: dict[BlockReference, bytes]
    ) -> Iterator[_Row]:
        for reference, epoch, sequence in entries:
            key = _sequence_key.pack(sequence)
            logged = codec.encode(_LoggedReference(epoch, reference))
            yield "references", key, self._own.bind("references", key), logged
            yield "log", key, self._bind_block(key, reference), blocks[reference]

    def _commit_rows(self, batch: Batch) -> Iterator[_Row]:
        for index, data in batch.commits:
            key = _commit_key.pack(batch.epoch, index)
            yield "commits", key, self._own.bind("commits", key), data

    def _journal_rows(self, batch: Batch) -> Iterator[_Row]:
        if batch.buckets:
            key = _sequence_key.pack(self._journal.next_turn)
            record = bucket_journal.encode(batch.buckets)
            yield "journal", key, self._own.bind("journal", key), record

    def _bucket_rows(self, due: Mapping[int, bytes]) -> Iterator[_Row]:
        prefix = self._own.bind("buckets", b"")
        for index, data in due.items():
            if data:
                key = _bucket_key.pack(index)
                yield "buckets", key, prefix + key, data

    def _meta_rows(self, batch: Batch, *, are_kept: bool) -> Iterator[_Row]:
        for name, data in batch.meta.items():
            is_kept, blinded, bound = self._vault.bind_meta(name)
            if is_kept == are_kept:
                yield "meta", blinded, bound, data

    def _bound_of(self, transaction: lmdb.Transaction, database: str, key: bytes) -> bytes | None:
        """What a record on disk is bound to; None for a block that is about to be pruned."""
        if database != "log":
            return self._own.bind(database, key)
        row = transaction.get(key, db=self._environment.databases["references"])
        logged = self._open_one("references", key, None if row is None else bytes(row))
        return None if logged is None else self._bind_block(key, _entry(key, logged)[0])

    def _bucket_in(self, sealer: Sealer, transaction: lmdb.Transaction, index: int) -> bytes | None:
        key = _bucket_key.pack(index)
        sealed = transaction.get(key, db=self._environment.databases["buckets"])
        if sealed is None:
            return None
        return next(sealer.open([self._own.bind("buckets", key)], [bytes(sealed)]))

    def _bind_block(self, key: bytes, reference: BlockReference) -> bytes:
        place = _place.pack(reference.round, reference.author)
        return self._own.bind("log", b"".join((key, place, reference.digest)))

    def _open_one(self, database: str, clear: bytes, sealed: bytes | None) -> bytes | None:
        if sealed is None:
            return None
        return next(self._vault.sealer.open([self._own.bind(database, clear)], [sealed]))

    def _open_rows(
        self, database: str, rows: Sequence[tuple[bytes, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
        bound = [self._own.bind(database, key) for key, _ in rows]
        values = self._vault.sealer.open(bound, [value for _, value in rows])
        return zip((key for key, _ in rows), values, strict=True)

    def _read_log(self, entries: Iterable[Entry]) -> Iterator[tuple[int, bytes]]:
        """Blocks of `entries`, read and opened about `limits.LOG_CHUNK_BYTES` at a time."""
        pending = iter(entries)
        while True:
            sequences, bound, sealed = self._log_chunk(pending)
            if not sequences:
                return
            yield from zip(sequences, self._vault.sealer.open(bound, sealed), strict=True)

    def _log_chunk(self, pending: Iterator[Entry]) -> tuple[list[int], list[bytes], list[bytes]]:
        sequences: list[int] = []
        bound: list[bytes] = []
        sealed: list[bytes] = []
        total = 0
        with self._environment.transaction() as transaction:
            for reference, _, sequence in pending:
                key = _sequence_key.pack(sequence)
                value = transaction.get(key, db=self._environment.databases["log"])
                if value is None:
                    if reference not in self._index:
                        continue  # pruned since the index was read
                    raise LocalFault("corrupt", "the log lost a block: restore or refetch it")
                sequences.append(sequence)
                bound.append(self._bind_block(key, reference))
                sealed.append(bytes(value))
                total += len(value)
                if total >= limits.LOG_CHUNK_BYTES:
                    break
        return sequences, bound, sealed


class LmdbSnapshot:
    """See `BucketSnapshot`: a read transaction that stays open, and what waited when it began."""

    def __init__(
        self,
        transaction: lmdb.Transaction,
        waiting: dict[int, bytes],
        read: Callable[[lmdb.Transaction, int], bytes | None],
    ) -> None:
        self._transaction: lmdb.Transaction | None = transaction
        self._waiting = waiting
        self._read = read

    def bucket(self, index: int) -> bytes | None:
        """See `BucketSnapshot.bucket`."""
        if self._transaction is None:
            raise LocalFault("closed", "this snapshot is closed")
        waiting = self._waiting.get(index)
        return self._read(self._transaction, index) if waiting is None else waiting or None

    def close(self) -> None:
        """See `BucketSnapshot.close`."""
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None
            self._waiting = {}


def _seal(sealer: Sealer, rows: Sequence[_Row]) -> Iterator[memoryview]:
    return sealer.seal([row[2] for row in rows], [row[3] for row in rows])


def _entry(key: bytes, value: bytes) -> Entry:
    logged = codec.decode(value, _LoggedReference, _MAX_REFERENCE_BYTES, LocalFault)
    return logged.reference, logged.epoch, int(_sequence_key.unpack(key)[0])
