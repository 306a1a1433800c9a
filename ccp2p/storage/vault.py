"""Under which keys the records of one store are: its own, and one that a group of nodes shares.

Until `begin` everything is under the store's own key, as it is where nobody shares one. After it
only what is `kept` by name stays there, and opens nothing else; the rest is under the key of the
epoch at hand, which comes from outside (`unlock`). It changes in one transaction (`turn`), which
seals all of it anew: no key is ever written down, not even under the next one, because a host may
copy its disk at any moment, and would come from the key of today to those of all days before.

The metadata's keys on disk stay blinded under the store's own key, so that they stay what they are.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import lmdb

from ccp2p.model import limits
from ccp2p.model.errors import LocalFault
from ccp2p.storage.environment import Environment
from ccp2p.storage.sealer import Sealer

CONTENT: Final = ("log", "references", "commits", "buckets", "journal")
SEALED: Final = (*CONTENT, "meta")
"""The databases whose records are sealed, one by one."""

_ROW: Final = b"vault"  # in the header: the network's id, sealed under the group's key

Bind = Callable[[lmdb.Transaction, str, bytes], bytes | None]
"""The associated data of a record by database and key; None when the record is going anyway."""

Also = Callable[[lmdb.Transaction], None]


class Vault:
    """`key`, `network`, `algorithm` and `kept` as in `LmdbStore`."""

    def __init__(
        self,
        environment: Environment,
        key: bytes,
        network: bytes,
        algorithm: str,
        kept: Collection[str],
    ) -> None:
        self.own = Sealer(key, network, algorithm)
        self._environment = environment
        self._network = network
        self._algorithm = algorithm
        self._is_shared = environment.get("header", _ROW) is not None
        self._kept = {self.own.blind("meta", name.encode()) for name in kept}
        self._sealer = None if self._is_shared else self.own
        self._key = self._older = b""

    @property
    def is_locked(self) -> bool:
        """Whether the key is lacking."""
        return self._sealer is None

    @property
    def sealer(self) -> Sealer:
        """What seals everything but `kept`; LocalFault (code `locked`) without the key."""
        if self._sealer is None:
            raise _locked()
        return self._sealer

    def require(self) -> None:
        """LocalFault (code `locked`) without the key."""
        if self.is_locked:
            raise _locked()

    def is_kept(self, blinded: bytes) -> bool:
        """Whether metadata with this key on disk stays under the store's own key."""
        return not self._is_shared or blinded in self._kept

    def bind_meta(self, name: str) -> tuple[bool, bytes, bytes]:
        """Of a named record: whether it is kept, its key on disk, and its associated data."""
        clear = name.encode()
        blinded = self.own.blind("meta", clear)
        is_kept = self.is_kept(blinded)
        # Bound to the key on disk: to be sealed anew, it must open without its name.
        return is_kept, blinded, self.own.bind("meta", clear if is_kept else blinded)

    def unlock(self, key: bytes) -> bool:
        """Take the group's key; False when this store is not under it."""
        row = self._environment.get("header", _ROW)
        if row is None:
            return False
        sealer = Sealer(key, self._network, self._algorithm)
        if sealer.try_open([_ROW], [row])[0] is None:
            return False
        self._take(key)
        return True

    def begin(self, key: bytes) -> None:
        """Drop everything but `kept`, whatever it is under, and go on under `key`."""
        self._is_shared = True
        databases = self._environment.databases
        with self._environment.transaction(write=True) as transaction:
            for name in CONTENT:
                transaction.drop(databases[name], delete=False)
            cursor = transaction.cursor(db=databases["meta"])
            more = cursor.first()
            while more:
                more = cursor.next() if self.is_kept(bytes(cursor.key())) else _delete(cursor)
            self._put(transaction, key)
        self._take(key)

    def turn(self, key: bytes, bind: Bind, write: Callable[[Sealer, Also], None]) -> None:
        """Go on under `key`; `write(sealer, also)` calls `also(transaction)` in its transaction."""
        older = self._key
        sealer = Sealer(key, self._network, self._algorithm, older)

        def also(transaction: lmdb.Transaction) -> None:
            for database in SEALED:
                last = self._reseal(transaction, sealer, database, b"", bind)
                while last:
                    last = self._reseal(transaction, sealer, database, last, bind)
            self._put(transaction, key)

        write(sealer, also)
        self._take(key, older)

    def forget(self) -> None:
        """Keep the key before no longer: who began to read before the turn is done."""
        if self._older:
            self._take(self._key)

    def _reseal(
        self,
        transaction: lmdb.Transaction,
        sealer: Sealer,
        database: str,
        after: bytes,
        bind: Bind,
    ) -> bytes:
        """Seal anew some records behind the key `after`; the last of their keys, or nothing."""
        db = self._environment.databases[database]
        rows, last = _chunk(transaction.cursor(db=db), after)
        found = [
            (key, bound, value)
            for key, value in rows
            if not (database == "meta" and self.is_kept(key))
            and (bound := bind(transaction, database, key)) is not None
        ]
        old = sealer.open_older([bound for _, bound, _ in found], [value for _, _, value in found])
        moved = [(*found[at][:2], value) for at, value in old]
        fresh = sealer.seal([bound for _, bound, _ in moved], [value for _, _, value in moved])
        transaction.cursor(db=db).putmulti(
            [(key, value) for (key, _, _), value in zip(moved, fresh, strict=True)]
        )
        return last

    def _put(self, transaction: lmdb.Transaction, key: bytes) -> None:
        sealer = Sealer(key, self._network, self._algorithm)
        (row,) = sealer.seal([_ROW], [self._network])
        transaction.put(_ROW, row, db=self._environment.databases["header"])

    def _take(self, key: bytes, older: bytes = b"") -> None:
        self._key, self._older = key, older
        self._sealer = Sealer(key, self._network, self._algorithm, older)


def _locked() -> LocalFault:
    return LocalFault("locked", "this store's key is held by its group, and was not given")


def _chunk(cursor: lmdb.Cursor, after: bytes) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
    """The rows behind `after`, as many as fit in memory, and the last one's key."""
    rows: list[tuple[bytes, bytes]] = []
    total = 0
    more = cursor.set_range(after + b"\0") if after else cursor.first()
    while more and len(rows) < limits.READ_CHUNK_RECORDS and total < limits.READ_CHUNK_BYTES:
        rows.append((bytes(cursor.key()), bytes(cursor.value())))
        total += len(rows[-1][1])
        more = cursor.next()
    return rows, rows[-1][0] if rows else b""


def _delete(cursor: lmdb.Cursor) -> bool:
    return bool(cursor.delete() and cursor.key())
