"""One LMDB environment, held by one process: transactions, chunked scans, and faults by name.

LMDB's safest flags are kept: synchronous data and meta pages, no writable map, so that a stray
pointer of this process cannot alter the file, and cleared memory, so that none of it leaks into
the file's unused parts.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lmdb

from ccp2p.model import limits
from ccp2p.model.errors import LocalFault
from ccp2p.storage.folder_lock import FolderLock

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SPARSE_BYTES = 1 << 20  # less room than this on a disk is none
_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
)


class Environment:
    """The databases called `names` in the folder `path`, whose file may grow to `map_bytes`.

    Raises LocalFault `missing`, `in-use`, `corrupt`, `disk-full` or `disk-failed`; see
    `lmdb_store`.
    """

    def __init__(self, path: Path, names: Sequence[str], *, map_bytes: int, create: bool) -> None:
        self._path = path
        self._map_bytes = map_bytes
        self._lmdb: lmdb.Environment | None = None
        if not create and not (path / "data.mdb").exists():
            raise LocalFault("missing", f"there is no store in {path}")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = FolderLock(path)
        try:
            with self._faults():
                self._lmdb = lmdb.open(
                    str(path),
                    map_size=map_bytes,
                    max_dbs=len(names),
                    mode=0o600,
                    readahead=False,
                )
                self.databases = {name: self._lmdb.open_db(name.encode()) for name in names}
            for folder in (path, path.parent):
                _sync_folder(folder)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[lmdb.Transaction]:
        """A transaction: committed and durable after the block, or without effect if it raises."""
        if self._lmdb is None:
            raise LocalFault("closed", f"the store in {self._path} is closed")
        with self._faults(), self._lmdb.begin(write=write) as transaction:
            yield transaction

    def get(self, database: str, key: bytes) -> bytes | None:
        """One value, or None."""
        with self.transaction() as transaction:
            value = transaction.get(key, db=self.databases[database])
        return None if value is None else bytes(value)

    def hold(self) -> lmdb.Transaction:
        """A read transaction that stays open until its owner aborts it; one thread at a time."""
        if self._lmdb is None:
            raise LocalFault("closed", f"the store in {self._path} is closed")
        with self._faults():
            return self._lmdb.begin()

    def rows(
        self, database: str, first: bytes = b"", last: bytes | None = None
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        """Rows with `first <= key <= last` in key order, in chunks of bounded size.

        No transaction stays open between chunks, so a slow reader does not keep old pages alive.
        """
        while True:
            chunk = self._chunk(database, first, last)
            if not chunk:
                return
            yield chunk
            first = chunk[-1][0] + b"\0"

    def is_empty(self) -> bool:
        """Whether no database holds a record."""
        with self.transaction() as transaction:
            return not any(transaction.stat(db)["entries"] for db in self.databases.values())

    def close(self) -> None:
        """Close the file and give up the lock; harmless the second time."""
        if self._lmdb is not None:
            self._lmdb.close()
            self._lmdb = None
        self._lock.release()

    def _chunk(self, database: str, first: bytes, last: bytes | None) -> list[tuple[bytes, bytes]]:
        rows: list[tuple[bytes, bytes]] = []
        total = 0
        with self.transaction() as transaction:
            cursor = transaction.cursor(db=self.databases[database])
            more = cursor.set_range(first) if first else cursor.first()
            while more and len(rows) < limits.READ_CHUNK_RECORDS:
                key, value = bytes(cursor.key()), bytes(cursor.value())
                if last is not None and key > last:
                    break
                rows.append((key, value))
                total += len(value)
                more = total < limits.READ_CHUNK_BYTES and cursor.next()
        return rows

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: lmdb.Error) -> LocalFault:
        if isinstance(error, lmdb.MapFullError):
            return LocalFault(
                "disk-full",
                f"the store in {self._path} reached its limit of {self._map_bytes} bytes: "
                "raise the map size and start again",
            )
        if isinstance(error, lmdb.DiskError) or self._is_out_of_space(error):
            return LocalFault(
                "disk-full", f"the disk below {self._path} is full: make room and start again"
            )
        if isinstance(error, _DAMAGED):
            return LocalFault("corrupt", f"the store in {self._path} is damaged: restore it")
        return LocalFault("disk-failed", f"the store in {self._path} failed: {error}")

    def _is_out_of_space(self, error: lmdb.Error) -> bool:
        """LMDB reports a write that a full disk cut short as EIO, so then the disk is asked."""
        code = getattr(error, "code", 0)
        if code != errno.EIO:
            return code in _NO_SPACE
        disk = os.statvfs(self._path)
        return disk.f_bavail * disk.f_frsize < _SPARSE_BYTES


def _sync_folder(folder: Path) -> None:
    """Make a new file's directory entry durable; LMDB syncs only the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
