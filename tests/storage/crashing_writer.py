"""A process that writes numbered batches to a store until somebody kills it.

Prints a batch's number once the store has acknowledged it. Arguments: the store's folder, and the
largest file that the process may write (0: any).
"""

import resource
import signal
import sys
from pathlib import Path

from ccp2p.model.block import BlockReference
from ccp2p.model.errors import LocalFault
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.store import Batch
from tests.storage.conftest import KEY, NETWORK


def batch(number: int) -> Batch:
    """Everything that batch `number` stores."""
    text = b"%d" % number
    blocks = [
        (BlockReference(number, author, text.rjust(32, b"\0")), (text + b".") * 2000)
        for author in range(3)
    ]
    buckets = {(number * 977 + step * 131) % 4096: text * 100 for step in range(20)}
    return Batch(0, blocks=blocks, commits=[(number, text)], buckets=buckets, meta={"last": text})


def main() -> None:
    """Write from the store's newest batch on."""
    folder, file_bytes = Path(sys.argv[1]), int(sys.argv[2])
    if file_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    store = LmdbStore(
        folder, key=KEY, network=NETWORK, algorithm="aegis256", map_bytes=1 << 28, create=True
    )
    number = int(store.meta("last") or b"0")
    while True:
        number += 1
        try:
            store.write(batch(number))
        except LocalFault as fault:
            print(fault.code, store.meta("last"), flush=True)
            return
        print(number, flush=True)


if __name__ == "__main__":
    main()
