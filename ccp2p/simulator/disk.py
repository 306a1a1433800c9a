"""A simulated disk: whole transactions in order, so that every older image of it exists.

LMDB itself is tried with real processes elsewhere; here a transaction is stored or it is not.
"""

from ccp2p.model import codec
from ccp2p.model.block import Block
from ccp2p.model.epoch import parse_record
from ccp2p.model.errors import LocalFault
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.receipts import kept_image
from ccp2p.node.roster_keeper import CLOSING
from ccp2p.storage.memory_store import MemoryStore
from ccp2p.storage.store import Batch


class Disk:
    """One node's disk. It outlives the node's crashes; `is_full` makes every write fail."""

    def __init__(self) -> None:
        self._journal: list[Batch] = []
        self.store = MemoryStore()
        self.is_full = False

    @property
    def images(self) -> int:
        """How many transactions it holds."""
        return len(self._journal)

    def write(self, batch: Batch) -> None:
        """Store a batch, durably; LocalFault `disk-full` stores nothing of it."""
        if self.is_full:
            raise LocalFault("disk-full", "the simulated disk is full")
        self._journal.append(batch)
        self.store.write(batch)

    def roll_back(self, image: int) -> None:
        """Restore the image of its first `image` transactions, as a hostile host can."""
        del self._journal[image:]
        self.store = MemoryStore()
        for batch in self._journal:
            self.store.write(batch)

    def copy(self, other: "Disk", record: NetworkRecord) -> None:
        """Hold the newest epoch of `record` as another disk does; see `node.joining.install`."""
        epoch = parse_record(record.signed.record).epoch
        theirs = other.store
        newest = theirs.newest_commit(epoch)
        buckets = {index: b"" for index, _ in self.store.buckets()} | dict(theirs.buckets())
        meta = {NetworkRecord.NAME: codec.encode(record), CLOSING: b""}
        self.write(
            Batch(
                epoch=epoch,
                blocks=[(Block.parse(data).reference, data) for _, data in theirs.blocks(epoch)],
                commits=list(theirs.commits(epoch, 1, newest)),
                buckets=buckets,
                meta=meta | kept_image(epoch, newest),
            )
        )
