"""What anybody with access to the disk can tell of a store, without a key."""

from pathlib import Path

import lmdb

from ccp2p.model.errors import LocalFault

_DATABASES = ("log", "references", "commits", "buckets", "meta")


def describe(path: Path) -> dict[str, dict[str, int]]:
    """Number of records and bytes of pages, by database; LocalFault when there is no store."""
    try:
        environment = lmdb.open(str(path), readonly=True, max_dbs=len(_DATABASES) + 1, create=False)
    except lmdb.Error:
        raise LocalFault("missing", f"there is no store in {path}") from None
    with environment, environment.begin() as transaction:
        found = {}
        for name in _DATABASES:
            database = environment.open_db(name.encode(), txn=transaction, create=False)
            stat = transaction.stat(database)
            pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
            found[name] = {"records": stat["entries"], "bytes": pages * stat["psize"]}
        return found
